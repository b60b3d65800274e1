//! How a panel is drawn.

use serde_json::{Value, json};

/// The kinds of panels that the dashboard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Lines over time.
    Lines,
    /// Areas on each other: parts of a whole.
    Stacked,
    /// The phases of breakers, a bar each.
    Phases,
    /// What is so now.
    Table,
}

// === impl Look ===

impl Look {
    /// Grafana's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lines | Self::Stacked => "timeseries",
            Self::Phases => "state-timeline",
            Self::Table => "table",
        }
    }

    /// Whether it shows one moment.
    pub const fn is_instant(self) -> bool {
        matches!(self, Self::Table)
    }

    /// `fieldConfig.defaults`.
    pub fn defaults(self, unit: &str) -> Value {
        match self {
            Self::Lines => {
                json!({"unit": unit, "min": 0, "custom": {"fillOpacity": 5, "showPoints": "never", "lineWidth": 1}})
            }
            Self::Stacked => json!({
                "unit": unit, "min": 0,
                "custom": {"fillOpacity": 40, "showPoints": "never", "lineWidth": 1, "stacking": {"mode": "normal", "group": "A"}},
            }),
            Self::Phases => json!({"mappings": phases(), "custom": {"fillOpacity": 80, "lineWidth": 0}}),
            Self::Table => json!({"unit": unit, "custom": {"align": "auto"}}),
        }
    }

    /// `options`.
    pub fn options(self) -> Value {
        match self {
            Self::Lines | Self::Stacked => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Self::Phases => {
                json!({"mergeValues": true, "showValue": "auto", "rowHeight": 0.9, "legend": {"showLegend": true, "displayMode": "list", "placement": "bottom"}})
            }
            Self::Table => json!({"showHeader": true}),
        }
    }
}

/// The codes of `holdfast_circuit_breaker_state`.
fn phases() -> Value {
    json!([{"type": "value", "options": {
        "0": {"text": "closed", "color": "green", "index": 0},
        "1": {"text": "open", "color": "red", "index": 1},
        "2": {"text": "half-open", "color": "orange", "index": 2},
        "3": {"text": "recovering", "color": "yellow", "index": 3},
    }}])
}
