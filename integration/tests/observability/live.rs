//! Each question of the committed files, asked of a real Prometheus that watches a real Envoy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::observability::alerts::alerts;
use integration::observability::labels::{CLUSTER, OF_ANY};
use integration::observability::table::{FAMILIES, Kind, Source};
use integration::observability::{Prometheus, repository};
use integration::{TestResult, eventually};
use regex::Regex;
use serde_json::Value;

use crate::scene::Scene;

const RULES: &str = "observability/rules/holdfast.rules.yaml";
const DASHBOARD: &str = "observability/grafana/holdfast.json";
/// For a rate over five minutes that has to be reached within seconds.
const LONG: Duration = Duration::from_secs(240);

/// What a panel shows side by side, each by itself: words of the metrics plugin that nobody may rename unnoticed.
const WORDS: [&str; 11] = [
    "holdfast_requests_total{protocol=\"rest\",outcome=\"replay\"}",
    "holdfast_requests_total{protocol=\"grpc\",outcome=\"ok\"}",
    "holdfast_requests_total{route=\"_other\",holdfast_instance=\"crowded\"}",
    "holdfast_attempts_total{protocol=\"grpc\",outcome=\"ok\"}",
    "holdfast_streams_open{protocol=\"sse\"} == 1",
    "holdfast_streams_total{protocol=\"sse\",outcome=\"ok\"}",
    "holdfast_rejections_total{plugin=\"circuit-breaker\",cause=\"open\"}",
    "holdfast_rejections_total{plugin=\"retry-budget\",cause=\"budget\"}",
    "holdfast_rejections_total{plugin=\"idempotency\",cause=\"mismatch\"}",
    "holdfast_upstream_errors_total{cause=\"timeout\"}",
    "holdfast_host_capability == 1",
];

/// Whose a question is, and the question.
type Asked = (String, String);

/// All of the rules', from the file.
fn of_rules() -> TestResult<Vec<Asked>> {
    let file: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(repository().join(RULES))?)?;
    let rules =
        file["groups"].as_array().context("groups")?.iter().filter_map(|group| group["rules"].as_array()).flatten();
    let asked = rules.map(|rule| {
        Some((rule["record"].as_str().or(rule["alert"].as_str())?.to_owned(), rule["expr"].as_str()?.to_owned()))
    });
    asked.collect::<Option<_>>().context("a rule without a name or an expression")
}

/// All of the dashboard's, from the file, as Grafana sends them when everything is chosen.
fn of_dashboard() -> TestResult<Vec<Asked>> {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(repository().join(DASHBOARD))?)?;
    let mut asked = Vec::new();
    for panel in file["panels"].as_array().context("panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().context("expr")?.replace("$__rate_interval", "1m");
            let expr = ["region", "route", "instance"]
                .iter()
                .fold(expr, |expr, name| expr.replace(&format!("${name}\""), ".*\""));
            ensure!(!expr.contains('$'), "a variable is left: {expr}");
            asked.push((panel["title"].to_string(), expr));
        }
    }
    for variable in file["templating"]["list"].as_array().context("variables")? {
        let Some(definition) = variable["definition"].as_str() else { continue };
        let inside = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = inside.and_then(|inside| inside.split_once(", ")).context("definition")?;
        asked.push((format!("variable {label}"), format!("count by ({label}) ({metric}{{{label}!=\"\"}})")));
    }
    Ok(asked)
}

/// Each choice within the rules' expressions, alone: a sum hides a part that chooses nothing.
fn of_choices() -> TestResult<Vec<Asked>> {
    let choice = Regex::new(r"(?:holdfast|envoy)_[a-z_]+\{[^}]+\}")?;
    let rules = of_rules()?;
    let choices = rules.iter().flat_map(|(whose, expr)| choice.find_iter(expr).map(move |found| (whose, found)));
    Ok(choices.map(|(whose, found)| (whose.clone(), found.as_str().to_owned())).collect())
}

/// Each of our families, with all its labels.
fn of_table() -> Vec<Asked> {
    let ours = FAMILIES.iter().filter(|family| family.source != Source::Envoy);
    let asked = ours.map(|family| {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("{label}!=\"\"")).collect();
        let ending = if family.kind == Kind::Histogram { "_count" } else { "" };
        (family.name.to_owned(), format!("{}{ending}{{{}}}", family.name, labels.join(",")))
    });
    asked.collect()
}

/// A label that the table doesn't know would be one that no panel sums over.
fn has_no_other_labels(prometheus: &Prometheus) -> TestResult {
    for (name, expr) in of_table() {
        let family = FAMILIES.iter().find(|family| family.name == name).context("a family")?;
        for series in prometheus.query(&expr)? {
            let labels = series["metric"].as_object().context("labels")?.keys();
            // Envoy 1.36 puts a cluster's name before the metrics of a VM that a cluster started.
            let known =
                |label: &str| [family.labels, &OF_ANY, &["holdfast_cluster", CLUSTER]].concat().contains(&label);
            let strangers: Vec<_> = labels.filter(|label| !known(label)).collect();
            ensure!(strangers.is_empty(), "{name} has {strangers:?} too: {series}");
        }
    }
    Ok(())
}

#[test]
fn every_question_of_rules_and_dashboard_has_an_answer() -> TestResult {
    let words = WORDS.map(|word| ("words".to_owned(), word.to_owned())).to_vec();
    let asked = [of_rules()?, of_dashboard()?, of_choices()?, of_table(), words].concat();
    ensure!(asked.len() > 100, "only {} questions", asked.len());
    let scene = Scene::set()?;
    let prometheus = Prometheus::start(&scene.targets(), &repository().join(RULES))?;
    // A rate needs a look before.
    eventually("what is recorded was seen before anything happened", LONG, || {
        Ok::<_, anyhow::Error>(!prometheus.query("holdfast:vm_reloads:sum == 0")?.is_empty())
    })?;
    let waiting = scene.play()?;
    eventually("every question has an answer", LONG, || {
        scene.go_on()?;
        let mut unanswered = Vec::new();
        for (whose, expr) in &asked {
            if prometheus.query(expr)?.is_empty() {
                unanswered.push(format!("{whose}: {expr}"));
            }
        }
        ensure!(unanswered.is_empty(), "{} of {}:\n{}", unanswered.len(), asked.len(), unanswered.join("\n"));
        let told = prometheus.query("count by (alertname) (ALERTS)")?;
        let told: BTreeSet<_> = told.iter().filter_map(|series| series["metric"]["alertname"].as_str()).collect();
        let silent: Vec<_> = alerts().iter().map(|alert| alert.name).filter(|name| !told.contains(name)).collect();
        ensure!(silent.is_empty(), "Prometheus tells nothing of {silent:?}");
        Ok::<_, anyhow::Error>(true)
    })?;
    has_no_other_labels(&prometheus)?;
    let skewed = prometheus.query("count by (plugin) (ALERTS{alertname=\"HoldfastConfigSkew\"})")?;
    let skewed: Vec<_> = skewed.iter().filter_map(|series| series["metric"]["plugin"].as_str()).collect();
    let expected = "circuit-breaker";
    ensure!(skewed == [expected], "only the breaker is configured differently: {skewed:?}");
    drop(waiting);
    Ok(())
}
