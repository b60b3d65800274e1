//! `observability/grafana/holdfast.json`: one row of panels for each question that somebody has at night.

use serde_json::{Value, json};

use super::labels::{NODE, REGION, ROUTE};
use super::panels::{Panel, Row, rows};
use super::table::{BUILD_INFO, REQUESTS};

/// Width of the page, in Grafana's units.
const WIDTH: u32 = 24;
/// Height of a panel.
const HEIGHT: u32 = 8;

/// The file.
pub fn file() -> String {
    let text = serde_json::to_string_pretty(&dashboard(&rows())).unwrap_or_default();
    format!("{text}\n")
}

fn dashboard(rows: &[Row]) -> Value {
    json!({
        "uid": "holdfast",
        "title": "Holdfast",
        "description": "How a failing service becomes retries, refusals and errors, route by route. Made from integration/src/observability.",
        "tags": ["holdfast", "envoy"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": variables()},
        "panels": laid_out(rows),
    })
}

fn variables() -> Value {
    let source = json!({"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0});
    json!([source, variable(REGION, BUILD_INFO), variable(ROUTE, REQUESTS), variable(NODE, BUILD_INFO)])
}

/// All of them unless chosen. `.*` fits a series without the label too: not everybody has regions.
fn variable(label: &str, of: &str) -> Value {
    json!({
        "name": label,
        "label": label,
        "type": "query",
        "datasource": datasource(),
        "query": {"query": format!("label_values({of}, {label})"), "refId": label},
        "definition": format!("label_values({of}, {label})"),
        "refresh": 2,
        "sort": 1,
        "multi": true,
        "includeAll": true,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
    })
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Rows below each other; the panels of a row share its width.
fn laid_out(rows: &[Row]) -> Vec<Value> {
    let (mut panels, mut top) = (Vec::new(), 0);
    for row in rows {
        panels.push(json!({
            "id": id(&panels), "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }));
        top += 1;
        for line in row.panels.chunks(3) {
            let width = WIDTH / u32::try_from(line.len()).unwrap_or(1);
            for (left, panel) in (0..).step_by(width as usize).zip(line) {
                let place = json!({"x": left, "y": top, "w": width, "h": HEIGHT});
                panels.push(rendered(panel, id(&panels), &place));
            }
            top += HEIGHT;
        }
    }
    panels
}

fn id(before: &[Value]) -> usize {
    before.len() + 1
}

fn rendered(panel: &Panel, id: usize, place: &Value) -> Value {
    let targets = panel.queries.iter().enumerate().map(|(nth, query)| {
        json!({
            "refId": format!("Q{nth}"), "datasource": datasource(), "expr": query.expr, "legendFormat": query.legend,
            "editorMode": "code", "range": !panel.look.is_instant(), "instant": panel.look.is_instant(),
            "format": if panel.look.is_instant() { "table" } else { "time_series" },
        })
    });
    json!({
        "id": id,
        "type": panel.look.name(),
        "title": panel.title,
        "description": panel.description,
        "datasource": datasource(),
        "gridPos": place,
        "targets": targets.collect::<Vec<_>>(),
        "fieldConfig": {"defaults": panel.look.defaults(panel.unit), "overrides": []},
        "options": panel.look.options(),
    })
}
