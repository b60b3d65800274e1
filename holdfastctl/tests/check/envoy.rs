//! What Envoy itself says, where there is one. Here scripts play it (`tests/envoys`); `integration/tests/configs` asks the real ones.

use crate::run::{folder, repository, told};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const BOOTSTRAP: &str =
    "static_resources:\n  listeners: []\n  clusters: []\nroute: {cluster: servise}\ncert: /etc/holdfast/no-such.crt\n";

fn envoys(name: &str) -> PathBuf {
    repository().join("holdfastctl/tests/envoys").join(name).canonicalize().expect("a folder")
}

/// `path` is all that is on PATH.
fn check(folder: &Path, path: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfastctl"));
    let arguments = [&["--json", "check", "envoy.yaml"], arguments].concat();
    command.args(arguments).current_dir(folder).env("PATH", path).output().expect("the command")
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn an_envoy_that_is_there_is_asked_of_a_bootstrap() {
    let folder = folder("asked");
    std::fs::write(folder.join("envoy.yaml"), BOOTSTRAP).expect("a file");
    let output = check(&folder, &envoys("refuses"), &[]);
    let answer = answer(&output);
    assert_eq!(told(&answer), ["HF118 envoy.yaml:4:18"]);
    assert_eq!(answer["findings"][0]["found"], "route: unknown cluster 'servise'");
    assert_eq!(answer["findings"][0]["allowed"], "what Envoy takes (asked: 1.40.0)");
    assert_eq!(output.status.code(), Some(1));
    let good = check(&folder, &envoys("content"), &[]);
    assert_eq!((told(&self::answer(&good)), good.status.code()), (Vec::new(), Some(0)));
}

#[test]
fn nobody_is_asked_who_is_not_wanted() {
    let folder = folder("unasked");
    std::fs::write(folder.join("envoy.yaml"), BOOTSTRAP).expect("a file");
    assert_eq!(check(&folder, &envoys("refuses"), &["--no-envoy"]).status.code(), Some(0));
    let other = envoys("content").join("envoy");
    assert_eq!(check(&folder, &envoys("refuses"), &["--envoy", &other.display().to_string()]).status.code(), Some(0));
    // One that was named must be there.
    assert_eq!(check(&folder, &envoys("content"), &["--envoy", "/nowhere/envoy"]).status.code(), Some(2));
    // A fragment is no bootstrap.
    std::fs::write(folder.join("envoy.yaml"), "resources: []\n").expect("a file");
    assert_eq!(check(&folder, &envoys("refuses"), &[]).status.code(), Some(0));
}

#[test]
fn a_file_that_only_the_gateway_has_is_a_note_and_no_alarm() {
    let folder = folder("absent");
    std::fs::write(folder.join("envoy.yaml"), BOOTSTRAP).expect("a file");
    let output = check(&folder, &envoys("lacks"), &["--strict"]);
    let answer = answer(&output);
    assert_eq!((told(&answer), output.status.code()), (Vec::new(), Some(0)));
    let note = "envoy.yaml: Envoy read it as far as /etc/holdfast/no-such.crt, which isn't on this machine";
    assert_eq!(answer["notes"], serde_json::json!([note]));
}
