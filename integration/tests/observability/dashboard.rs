//! The dashboard's file, as Grafana would read it.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use integration::TestResult;
use integration::observability::repository;
use serde_json::{Value, json};

fn dashboard() -> TestResult<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(repository().join("observability/grafana/holdfast.json"))?)?)
}

fn panels(dashboard: &Value) -> TestResult<&Vec<Value>> {
    dashboard["panels"].as_array().context("panels")
}

/// The cells of Grafana's grid that a panel covers.
fn cells(panel: &Value) -> TestResult<Vec<(u64, u64)>> {
    let side = |name: &str| panel["gridPos"][name].as_u64().with_context(|| format!("{}: {name}", panel["title"]));
    let (left, top, width, height) = (side("x")?, side("y")?, side("w")?, side("h")?);
    ensure!(left + width <= 24, "{} is wider than the page", panel["title"]);
    Ok((left..left + width).flat_map(|x| (top..top + height).map(move |y| (x, y))).collect())
}

#[test]
fn panels_cover_each_other_nowhere() -> TestResult {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard()?)? {
        ensure!(cells(panel)?.into_iter().all(|cell| taken.insert(cell)), "{} lies on another panel", panel["title"]);
        ensure!(ids.insert(panel["id"].as_u64()), "{} has another one's id", panel["title"]);
    }
    Ok(())
}

#[test]
fn every_panel_asks_the_chosen_source_and_has_a_unit() -> TestResult {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let dashboard = dashboard()?;
    for panel in panels(&dashboard)?.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().context("targets")?;
        let chosen = targets.iter().chain([panel]).all(|one| one["datasource"] == source);
        ensure!(!targets.is_empty() && chosen, "{}", panel["title"]);
        let defaults = &panel["fieldConfig"]["defaults"];
        ensure!(defaults["unit"].is_string() || defaults["mappings"].is_array(), "{} has no unit", panel["title"]);
    }
    Ok(())
}

#[test]
fn source_region_route_and_node_can_be_chosen() -> TestResult {
    let dashboard = dashboard()?;
    let variables = dashboard["templating"]["list"].as_array().context("variables")?;
    let names: Vec<_> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names, ["datasource", "region", "route", "instance"]);
    let minimum = dashboard["schemaVersion"].as_u64().context("schemaVersion")?;
    ensure!(minimum >= 38, "older than Grafana 10");
    Ok(())
}
