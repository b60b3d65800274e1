//! The files as they are committed, without any proxy.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use integration::TestResult;
use integration::observability::alerts::alerts;
use integration::observability::labels::{LE, OF_ANY};
use integration::observability::panels::rows;
use integration::observability::query::{grouped, selectors};
use integration::observability::table::{FAMILIES, Kind, Source, family};
use integration::observability::{files, promtool, repository, rules};
use serde_json::Value;

/// Every expression, with a word for whose it is.
fn expressions() -> Vec<(String, String)> {
    let recorded = rules::recordings().into_iter().map(|rule| (rule.name, rule.expr));
    let told = alerts().into_iter().map(|alert| (alert.name.to_owned(), alert.expr));
    let shown = rows().into_iter().flat_map(|row| row.panels).flat_map(|panel| {
        panel.queries.into_iter().map(|query| (panel.title.to_owned(), query.expr)).collect::<Vec<_>>()
    });
    recorded.chain(told).chain(shown).collect()
}

#[test]
fn committed_files_are_what_the_table_gives() -> TestResult {
    for (path, text) in files() {
        let file = repository().join(path);
        if std::env::var_os("HOLDFAST_BLESS").is_some() {
            std::fs::write(&file, &text)?;
        }
        let committed = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        ensure!(committed == text, "{path} isn't what the table gives: HOLDFAST_BLESS=1 writes it anew");
    }
    Ok(())
}

#[test]
fn every_metric_and_label_that_is_asked_for_is_in_the_table() -> TestResult {
    let recorded: BTreeSet<String> = rules::recordings().into_iter().map(|rule| rule.name).collect();
    for (whose, expr) in expressions() {
        let mut known: BTreeSet<&str> = OF_ANY.into();
        let mut of_recorded = false;
        for selector in selectors(&expr) {
            let Some(family) = family(&selector.name) else {
                // Recorded, or chosen by a pattern for its name, which the live test answers for.
                let fine = recorded.contains(&selector.name)
                    || selector.labels.first().is_some_and(|label| label == "__name__");
                ensure!(fine, "{whose}: {} isn't in the table", selector.name);
                of_recorded = true;
                continue;
            };
            known.extend(family.labels);
            known.extend((family.kind == Kind::Histogram).then_some(LE));
            let strangers: Vec<_> = selector
                .labels
                .iter()
                .filter(|label| !family.labels.contains(&label.as_str()) && !OF_ANY.contains(&label.as_str()))
                .collect();
            ensure!(strangers.is_empty(), "{whose}: {} has no label {strangers:?}", selector.name);
        }
        let strangers: Vec<_> = grouped(&expr).into_iter().filter(|label| !known.contains(label.as_str())).collect();
        ensure!(of_recorded || strangers.is_empty(), "{whose}: nothing has a label {strangers:?}: {expr}");
    }
    Ok(())
}

/// Without its tag a label stays part of the name, and whatever asks for it gets nothing.
#[test]
fn the_shipped_tags_know_every_label_of_ours() -> TestResult {
    let tags = std::fs::read_to_string(repository().join("envoy-configs/stats-tags.yaml"))?;
    let ours = FAMILIES.iter().filter(|family| family.source != Source::Envoy);
    for label in ours.flat_map(|family| family.labels) {
        ensure!(tags.contains(&format!("tag_name: {label},")), "stats-tags.yaml makes no label of {label}");
    }
    Ok(())
}

#[test]
fn nothing_is_in_the_table_that_nobody_asks_for() {
    let asked: BTreeSet<&str> = expressions()
        .iter()
        .flat_map(|(_, expr)| selectors(expr))
        .filter_map(|selector| family(&selector.name))
        .map(|family| family.name)
        .collect();
    let idle: Vec<_> = FAMILIES.iter().map(|family| family.name).filter(|name| !asked.contains(name)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn names_are_there_once() {
    let panels = rows().into_iter().flat_map(|row| row.panels.into_iter().map(move |panel| (row.title, panel.title)));
    let names: Vec<_> = alerts().iter().map(|alert| ("alert", alert.name)).chain(panels).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), distinct.len());
}

#[test]
fn promtool_finds_no_fault_in_the_rules() -> TestResult {
    promtool(
        &repository().join("observability/rules"),
        &["check", "rules", "--lint=all", "--lint-fatal", "holdfast.rules.yaml"],
    )
    .map(drop)
}

#[test]
fn every_alert_fires_when_it_should_and_keeps_silent_when_it_nearly_should() -> TestResult {
    let folder = repository().join("observability/rules");
    promtool(&folder, &["test", "rules", "holdfast.test.yaml"])?;

    let text = std::fs::read_to_string(folder.join("holdfast.test.yaml"))?;
    let stories: Value = serde_yaml_ng::from_str(&text)?;
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for story in stories["tests"].as_array().context("tests")? {
        let (woken, told) = told(story)?;
        // Where there is nothing at all, silence proves little.
        let ours = story["input_series"].to_string().contains("\"holdfast_")
            || story["input_series"].to_string().contains("\"envoy_");
        silent.extend(told.difference(&woken).filter(|_| ours).cloned());
        fires.extend(woken);
    }
    for alert in alerts() {
        ensure!(fires.contains(alert.name), "{} has no story in which it fires", alert.name);
        ensure!(silent.contains(alert.name), "{} has no story in which it keeps silent", alert.name);
    }
    Ok(())
}

/// The alerts that fire in a story, and those that it asks for.
fn told(story: &Value) -> TestResult<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut fires, mut asked) = (BTreeSet::new(), BTreeSet::new());
    for check in story["alert_rule_test"].as_array().context("alert_rule_test")? {
        let name = check["alertname"].as_str().context("alertname")?.to_owned();
        let expected = check["exp_alerts"].as_array().context("exp_alerts")?;
        let whole =
            |alert: &Value| alert["exp_labels"].is_object() && alert["exp_annotations"]["runbook_url"].is_string();
        ensure!(expected.iter().all(whole), "{name}: labels or annotations aren't told");
        if !expected.is_empty() {
            fires.insert(name.clone());
        }
        asked.insert(name);
    }
    Ok((fires, asked))
}
