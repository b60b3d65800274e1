//! Each question of the committed files, asked of a real Prometheus that watches a real Envoy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::observability::alerts::alerts;
use integration::observability::{Prometheus, repository};
use integration::{TestResult, eventually};
use serde_json::Value;

use crate::scene::Scene;

const RULES: &str = "observability/rules/holdfast.rules.yaml";
const DASHBOARD: &str = "observability/grafana/holdfast.json";
/// For a rate over five minutes that has to be reached within seconds.
const LONG: Duration = Duration::from_secs(240);

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

#[test]
fn every_question_of_rules_and_dashboard_has_an_answer() -> TestResult {
    let asked = [of_rules()?, of_dashboard()?].concat();
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
    drop(waiting);
    Ok(())
}
