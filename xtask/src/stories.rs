//! The stories of `integration/tests`: which of them another proxy, or another form of the modules, can tell otherwise.

use std::fs;
use std::path::Path;

/// No proxy is in them: they are about files, stores and the services of tests.
const WITHOUT_A_PROXY: [&str; 14] = [
    "chaos_report",
    "compose",
    "harness_ledger",
    "harness_shop",
    "harness_stores",
    "labels",
    "simulation",
    "stores",
    "stores_cluster",
    "stores_edges",
    "stores_index",
    "stores_settle",
    "stores_webdis",
    "wasmx",
];

/// Storms over each store. `idempotency_faults` has the same load over the same stores, and things that go wrong besides.
const TOLD_WORSE_ELSEWHERE: [&str; 1] = ["idempotency_storm"];

/// What is worth being told a second time, as words for `cargo test`.
pub(crate) fn again(root: &Path) -> Vec<String> {
    let again = all(root).into_iter().filter(|name| !once().any(|told| told == name));
    again.flat_map(|name| ["--test".to_owned(), name]).collect()
}

fn once() -> impl Iterator<Item = &'static str> {
    WITHOUT_A_PROXY.into_iter().chain(TOLD_WORSE_ELSEWHERE)
}

/// As cargo finds them: each file, and each folder with a `main.rs`; sorted.
fn all(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("integration/tests")).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let stories =
        files.filter(|path| path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file());
    let mut names: Vec<String> = stories.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn what_is_told_once_is_there_and_has_no_proxy_in_it() {
        let all = all(root());
        for name in once() {
            assert!(all.iter().any(|story| story == name), "no story {name}");
        }
        for name in WITHOUT_A_PROXY {
            let text = fs::read_to_string(root().join("integration/tests").join(name).with_extension("rs")).unwrap();
            for word in ["Envoy::", "Wasm::", "mod idempotency;", "mod story;", "mod health;", "mod budget;"] {
                assert!(!text.contains(word), "{name} has `{word}` in it");
            }
        }
    }

    #[test]
    fn the_others_are_told_again() {
        let words = again(root());
        let told = |name: &str| words.iter().any(|word| word == name);
        assert!(told("breaker_opens") && told("configs") && told("idempotency_faults") && told("suite_adversary"));
        assert!(!told("stores") && !told("idempotency_storm") && !told("idempotency"), "{words:?}");
    }
}
