//! TEMPORARY: what `plugins/metrics` will export, made up from the table.
//!
//! Until `metrics.wasm` is built, nobody exports the families of `Source::Metrics`; this serves them, so that the questions to them can be asked. To
//! take it out: give the gateway of `scene.rs` the module's entries, let `Scene::targets` name the gateway alone, and remove this file.

use integration::observability::labels::{
    CAPABILITY, CAUSE, CHAIN, CONFIG, GIT, INSTANCE, OUTCOME, PLUGIN, PROTOCOL, ROUTE, VERSION,
};
use integration::observability::table::{ATTEMPTS, FAMILIES, Family, Kind, SERIES_DROPPED, Source};
use integration::{Answer, TestResult, Upstream};

/// A node that says it all, and more with each look.
pub(crate) struct StandIn {
    server: Upstream,
}

// === impl StandIn ===

impl StandIn {
    pub(crate) fn start() -> TestResult<Self> {
        let stand_in = Self { server: Upstream::start("stand-in")? };
        stand_in.at(0);
        Ok(stand_in)
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    /// Shows all counters at this step. An outage: half of all fails, and each request is tried three times.
    pub(crate) fn at(&self, step: u64) {
        self.server.set_answer(Answer::typed("text/plain; version=0.0.4", page(step).as_bytes()));
    }
}

fn page(step: u64) -> String {
    FAMILIES.iter().filter(|family| family.source == Source::Metrics).map(|family| exposition(family, step)).collect()
}

fn exposition(family: &Family, step: u64) -> String {
    let (kind, name) = (format!("{:?}", family.kind).to_lowercase(), family.name);
    let value = match (family.kind, name) {
        (Kind::Gauge, _) => 1,
        (_, ATTEMPTS) => 3_000 * step,
        (_, SERIES_DROPPED) => step,
        _ => 1_000 * step,
    };
    let series = combinations(family.labels).into_iter().map(|labels| match family.kind {
        Kind::Histogram => histogram(name, &labels, value),
        _ => format!("{name}{{{labels}}} {value}\n"),
    });
    format!("# TYPE {name} {kind}\n{}", series.collect::<String>())
}

fn histogram(name: &str, labels: &str, count: u64) -> String {
    let buckets = [("1000", count / 2), ("10000", count), ("+Inf", count)];
    let buckets = buckets.map(|(le, count)| format!("{name}_bucket{{{labels},le=\"{le}\"}} {count}\n"));
    format!("{}{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}\n", buckets.concat(), count * 2_000)
}

/// Each combination of the labels' values, as the text format has it.
fn combinations(labels: &[&str]) -> Vec<String> {
    labels.iter().fold(vec![String::new()], |before, label| {
        let more = before.iter().flat_map(|start| values(label).iter().map(move |value| (start, value)));
        more.map(
            |(start, value)| {
                if start.is_empty() { format!("{label}=\"{value}\"") } else { format!("{start},{label}=\"{value}\"") }
            },
        )
        .collect()
    })
}

fn values(label: &str) -> &'static [&'static str] {
    match label {
        CHAIN => &["downstream"],
        INSTANCE => &["default"],
        ROUTE => &["orders", "payments"],
        PROTOCOL => &["rest", "grpc"],
        OUTCOME => &["ok", "server_fault"],
        CAUSE => &["open", "store", "pool_overflow"],
        PLUGIN => &["circuit-breaker", "idempotency"],
        CONFIG => &["0a1b2c3d", "4e5f6071"],
        VERSION => &["0.1.0", "0.2.0"],
        GIT => &["abcdef0"],
        CAPABILITY => &["trailers", "headers_stop_iteration"],
        other => panic!("the stand-in has no value for {other}"),
    }
}
