//! What a panel is made of.

use super::look::Look;
use crate::observability::labels::{KEY, LE, NODE, REGION, ROUTE};

/// Panels below one title.
pub struct Row {
    /// The question that they answer.
    pub title: &'static str,
    /// They.
    pub panels: Vec<Panel>,
}

/// One picture.
pub struct Panel {
    /// What it shows.
    pub title: &'static str,
    /// What to make of it.
    pub description: &'static str,
    /// Grafana's unit.
    pub unit: &'static str,
    /// How it is drawn.
    pub look: Look,
    /// What is asked.
    pub queries: Vec<Query>,
}

/// One question to Prometheus.
pub struct Query {
    /// In its language, with Grafana's variables.
    pub expr: String,
    /// What a line is called.
    pub legend: String,
}

/// The series of a family that the variables choose: whatever a route is part of by the label `route`.
pub(super) fn on_route(name: &str) -> String {
    format!("{name}{{{REGION}=~\"$region\",{NODE}=~\"$instance\",{ROUTE}=~\"$route\"}}")
}

/// The same where the label is the plugin's key, which is the route unless configured otherwise.
pub(super) fn on_key(name: &str) -> String {
    format!("{name}{{{REGION}=~\"$region\",{NODE}=~\"$instance\",{KEY}=~\"$route\"}}")
}

/// The same of a node as a whole.
pub(super) fn on_node(name: &str) -> String {
    format!("{name}{{{REGION}=~\"$region\",{NODE}=~\"$instance\"}}")
}

/// Per second, summed by these labels, which are its name too.
pub(super) fn per_second(by: &[&str], series: &str) -> Query {
    summed(by, &format!("rate({series}[$__rate_interval])"))
}

pub(super) fn summed(by: &[&str], series: &str) -> Query {
    Query { expr: format!("sum by ({}) ({series})", by.join(", ")), legend: legend(by) }
}

pub(super) fn legend(by: &[&str]) -> String {
    by.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn quantile(q: &str, histogram: &str, by: &[&str]) -> Query {
    let labels = [by, &[LE]].concat().join(", ");
    let rates = format!("sum by ({labels}) (rate({}[$__rate_interval]))", on_route(&format!("{histogram}_bucket")));
    Query { expr: format!("histogram_quantile({q}, {rates})"), legend: format!("p{} {}", &q[2..], legend(by)) }
}

// === impl Query ===

impl Query {
    pub(super) fn named(mut self, name: &str) -> Self {
        self.legend = if self.legend.is_empty() { name.to_owned() } else { format!("{name} {}", self.legend) };
        self
    }
}

// === impl Panel ===

impl Panel {
    pub(super) fn new(
        look: Look,
        unit: &'static str,
        title: &'static str,
        description: &'static str,
        queries: Vec<Query>,
    ) -> Self {
        Self { title, description, unit, look, queries }
    }
}
