//! The command, as a user runs it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the command in a folder.
pub(crate) fn holdfastctl(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfastctl"));
    // Without an Envoy that happens to be on this machine.
    command.args(arguments).current_dir(folder).env("PATH", "").output().expect("the command")
}

/// What it answers in JSON.
pub(crate) fn answer(folder: &Path, arguments: &[&str]) -> Value {
    let output = holdfastctl(folder, &[&["--json"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// `HF110 14:22` for each finding.
pub(crate) fn told(answer: &Value) -> Vec<String> {
    let findings = answer["findings"].as_array().expect("findings").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .map(|one| format!("{} {}:{}:{}", text(&one["code"]), text(&one["file"]), one["line"], one["column"]))
        .collect()
}

/// A folder of this test's own.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
