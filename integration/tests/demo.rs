//! The demo, told fast: its own verdict is the test.

use std::process::Command;

use integration::TestResult;

#[test]
fn the_story_happens() -> TestResult {
    let picture = tempfile::NamedTempFile::new()?;
    let demo =
        Command::new(env!("CARGO_BIN_EXE_demo")).args(["--fast", "--plain", "--svg"]).arg(picture.path()).output()?;
    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    assert!(told.contains("The breaker opened") && told.contains("requests that hit the sick region"), "{told}");
    let picture = std::fs::read_to_string(picture.path())?;
    assert!(picture.starts_with("<svg") && picture.contains("recovering"), "{picture}");
    Ok(())
}
