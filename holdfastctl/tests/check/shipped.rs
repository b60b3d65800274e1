//! What we ship is good.

use crate::run::{answer, repository, told};

fn files(folder: &str, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> =
        names.filter(|name| name.ends_with(end)).map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    files
}

#[test]
fn every_shipped_file_is_clean_alone_and_together() {
    let mut all = Vec::new();
    for (folder, end) in [("envoy-configs", ".yaml"), ("integration/compose/envoy", ".yaml"), ("kong-configs", ".yml")]
    {
        let files = files(folder, end);
        assert!(!files.is_empty(), "{folder}");
        all.extend(files);
    }
    all.push("kong-configs/kong.conf".to_owned());
    let clean = |files: &[&str]| {
        let answer = answer(&repository(), &[&["check"], files].concat());
        assert_eq!(told(&answer), [""; 0], "{files:?}");
        answer["plugins"].as_u64().expect("a number")
    };
    for file in &all {
        clean(&[file]);
    }
    let together: Vec<&str> = all.iter().map(String::as_str).collect();
    assert!(clean(&together) >= 30);
}

/// Kong gives filters no environment, so what is there to be tried out has its secret in it, and says so.
#[test]
fn the_trial_in_kong_is_clean_but_for_its_secret() {
    let file = "integration/compose/kong/kong.yml";
    let answer = answer(&repository(), &["check", file]);
    assert_eq!(told(&answer), [format!("HF003 {file}:100:19")]);
}

#[test]
fn the_snippet_found_in_the_wild_is_accepted_and_its_trap_is_told() {
    let file = "kong-configs/snippets/circuit-breaker.yml";
    let answer = answer(&repository(), &["check", file]);
    assert_eq!(
        told(&answer),
        [format!("HF203 {file}:9:11"), format!("HF201 {file}:15:11"), format!("HF202 {file}:15:11")]
    );
}
