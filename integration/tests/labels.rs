//! The table of labels (`sdk-shim/src/labels.rs`) and the files that are made of it.
//!
//! `HOLDFAST_BLESS=1 cargo test -p integration --test labels` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use integration::TestResult;
use integration::config::from_yaml;
use regex::Regex;
use sdk_shim::labels::Label;
use sdk_shim::labels::rules::{HISTOGRAMS, Rule, label_patterns, stats_config, stats_tags};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The shipped Envoy configurations that tell Envoy of labels.
fn tagged() -> TestResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(repository().join("envoy-configs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml")
            && std::fs::read_to_string(&path)?.contains("\nstats_config:")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Where the block `stats_config` begins and ends in a file: up to the next line that isn't indented.
fn block(text: &str) -> TestResult<(usize, usize)> {
    let start = text.find("\nstats_config:").context("no stats_config")? + 1;
    let rest = &text[start..];
    let mut end = 0;
    for (n, line) in rest.split_inclusive('\n').enumerate() {
        if n > 0 && !line.starts_with(' ') {
            break;
        }
        end += line.len();
    }
    Ok((start, start + end))
}

/// Compares a file with what the table says, or writes it where that is asked for.
fn is_up_to_date(path: &Path, wanted: &str) -> TestResult {
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        std::fs::write(path, wanted)?;
    }
    let there = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    ensure!(
        there == wanted,
        "{} isn't what the table of labels says: run this test with HOLDFAST_BLESS=1",
        path.display()
    );
    Ok(())
}

#[test]
fn every_shipped_bootstrap_with_tags_has_those_of_the_table() -> TestResult {
    let files = tagged()?;
    ensure!(files.len() >= 2, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let (start, end) = block(&text)?;
        is_up_to_date(&path, &[&text[..start], &stats_config(), &text[end..]].concat())?;
    }
    Ok(())
}

#[test]
fn the_block_is_yaml_and_says_the_same_as_the_table() -> TestResult {
    let config = from_yaml(&stats_config())?;
    let tags = config["stats_config"]["stats_tags"].as_array().context("tags")?;
    for (there, rule) in tags.iter().zip(stats_tags()) {
        assert_eq!(
            (there["tag_name"].as_str(), there["regex"].as_str()),
            (Some(rule.label), Some(rule.pattern.as_str()))
        );
    }
    assert_eq!(tags.len(), stats_tags().len());
    let buckets = &config["stats_config"]["histogram_bucket_settings"][0];
    assert_eq!(buckets["match"]["safe_regex"]["regex"], HISTOGRAMS);
    Ok(())
}

// --- both engines on every label ---

/// A name that has every label, each with a value of its own.
fn name() -> String {
    let labels = Label::ALL.iter().enumerate().map(|(n, label)| format!(";{}=v-{n}_x.Y", label.as_str()));
    ["holdfast_circuit_breaker_calls_total".to_owned()].into_iter().chain(labels).collect::<Vec<_>>().concat()
}

/// As both engines do: group 1 goes out of the name, group 2 is the value.
fn parsed(rules: &[Rule], name: &str) -> TestResult<(String, BTreeMap<&'static str, String>)> {
    let (mut rest, mut labels) = (name.to_owned(), BTreeMap::new());
    for rule in rules {
        let Some(groups) = Regex::new(&rule.pattern)?.captures(name) else { continue };
        labels.insert(rule.label, groups[2].to_owned());
        rest = rest.replacen(&groups[1], "", 1);
    }
    Ok((rest, labels))
}

#[test]
fn both_engines_find_every_label_of_a_name_that_has_them_all() -> TestResult {
    for (rules, prefix) in [(stats_tags(), "wasmcustom."), (label_patterns(), "pw:circuit_breaker:")] {
        let (rest, labels) = parsed(&rules, &format!("{prefix}{}", name()))?;
        assert_eq!(rest, format!("{prefix}holdfast_circuit_breaker_calls_total"));
        for (n, label) in Label::ALL.into_iter().enumerate() {
            assert_eq!(labels[label.tag()], format!("v-{n}_x.Y"), "{label:?}");
        }
        assert_eq!(labels.len(), Label::ALL.len());
    }
    Ok(())
}

#[test]
fn an_older_envoys_cluster_becomes_a_label_too() -> TestResult {
    let (rest, labels) = parsed(&stats_tags(), "cluster.orders.eu.wasmcustom.holdfast_attempts_total;chain=upstream")?;
    assert_eq!(
        (rest.as_str(), labels["holdfast_cluster"].as_str()),
        ("wasmcustom.holdfast_attempts_total", "orders.eu")
    );
    assert_eq!(labels["chain"], "upstream");
    Ok(())
}

#[test]
fn names_of_others_are_left_alone() -> TestResult {
    for other in ["cluster.up.upstream_rq_503", "http.edge.rq;key=1", "wasmcustom.other_total;outcome=ok"] {
        assert_eq!(parsed(&stats_tags(), other)?, (other.to_owned(), BTreeMap::new()));
    }
    Ok(())
}

#[test]
fn buckets_are_for_our_times_and_nothing_else() -> TestResult {
    let ours = Regex::new(&format!("^(?:{HISTOGRAMS})$"))?;
    assert!(ours.is_match("wasmcustom.holdfast_request_duration_us;chain=downstream"));
    assert!(ours.is_match("cluster.a.b.wasmcustom.holdfast_attempt_ttfb_us;chain=upstream;instance=x"));
    assert!(
        !ours.is_match("wasmcustom.holdfast_requests_total;chain=us;instance=x")
            && !ours.is_match("cluster.a.upstream_rq_time")
    );
    Ok(())
}

// --- Istio ---

/// The tag regexes of Istio's bootstrap that could meet a name of ours (PEERS: `cache.`, `component.`, `tag.X;.`, `wasm_filter.`, `_rq_NNN`).
const ISTIO: [&str; 5] =
    [r"(cache\.(.+?)\.)", r"(component\.(.+?)\.)", r"(tag\.(.+?);\.)", r"(wasm_filter\.(.+?)\.)", r"(_rq_(\d{3}))$"];

#[test]
fn istios_own_tags_capture_nothing_of_a_name() -> TestResult {
    let names = metric_names()?;
    ensure!(names.len() > 30, "{names:?}");
    let labels = Label::ALL.map(|label| format!(";{}=", label.as_str())).concat();
    for istio in ISTIO {
        let regex = Regex::new(istio)?;
        for name in &names {
            let full = format!("wasmcustom.{name}{labels}");
            ensure!(!regex.is_match(&full), "{istio} takes a part of {full}");
        }
    }
    Ok(())
}

/// Every name that a plugin's code gives a metric, behind every plugin's own.
fn metric_names() -> TestResult<Vec<String>> {
    let word = Regex::new(r#""([a-z_]+_(?:total|us|permille|info))""#)?;
    let mut words = std::collections::BTreeSet::new();
    let mut folders = vec![repository().join("plugins"), repository().join("sdk-shim/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(path)?;
                words.extend(word.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
    }
    let plugins = ["", "circuit_breaker_", "retry_budget_", "idempotency_", "protocol_health_"];
    Ok(words.iter().flat_map(|word| plugins.map(|plugin| format!("holdfast_{plugin}{word}"))).collect())
}
