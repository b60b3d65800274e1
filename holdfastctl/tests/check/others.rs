//! Configurations of people who don't have Holdfast, or have other Wasm filters: nothing is said of them.

use crate::run::{answer, repository, told};

#[test]
fn configurations_without_holdfast_raise_no_alarm() {
    let folder = repository().join("holdfastctl/tests/others");
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert!(names.len() >= 10, "{} files", names.len());
    for name in &names {
        let answer = answer(&folder, &["check", name]);
        assert_eq!((told(&answer), answer["plugins"].as_u64()), (Vec::new(), Some(0)), "{name}");
    }
}
