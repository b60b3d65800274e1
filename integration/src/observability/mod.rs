//! What an SRE looks at: Prometheus rules and a Grafana dashboard, made from one table of names.
//!
//! A dashboard outlives the names that it asks for: a metric is renamed, a panel stays empty, and nobody notices until the night that it was made for. So
//! names and labels stand in one table ([`table`], [`labels`]); rules and panels are made of it, the files in `observability/` are what
//! [`files`] gives, and a test says so. Another one asks a real Prometheus each of their questions.

pub mod alerts;
pub mod dashboard;
pub mod labels;
pub mod panels;
pub mod query;
pub mod rules;
mod server;
pub mod slo;
pub mod table;

pub use server::{Prometheus, Target, ask, promtool};

use std::path::{Path, PathBuf};

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each file that is made, by its path in the repository.
pub fn files() -> [(&'static str, String); 2] {
    [
        ("observability/rules/holdfast.rules.yaml", rules::file()),
        ("observability/grafana/holdfast.json", dashboard::file()),
    ]
}
