//! Host metrics as data: names with labels, defined on first use, and never more series than a cap.
//!
//! A proxy keeps every metric that was ever defined, so a metric per client-chosen value would fill its memory. A
//! [`Meter`] defines at most its cap; beyond it a counter counts nothing but itself, in
//! `holdfast_<plugin>_series_dropped_total`. Names are `holdfast_<plugin>_<what>;label=value;label=value`: Envoy's `stats_tags`
//! and Kong's `label_patterns` make Prometheus labels of the suffix.

use crate::host::{Host, MetricId, MetricKind};
use crate::labels::Label;
use crate::window::Totals;
use core::cell::Cell;

/// Defines the metrics of one plugin instance.
#[derive(Debug)]
pub struct Meter {
    plugin: &'static str,
    /// `;chain=...;instance=...`, which keeps instances apart.
    scope: String,
    left: Cell<u32>,
    dropped: Counter,
}

/// A counter, gauge or histogram that may turn out not to exist: then it counts nothing and reads 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(Option<MetricId>);

/// A metric defined when it is first needed.
#[derive(Debug, Default)]
pub struct Lazy(Cell<Option<Counter>>);

impl Meter {
    /// Metrics of `plugin` (as in `circuit_breaker`; nothing for the suite's own), labelled with `chain` and `instance`; at most `cap` of them in this
    /// VM.
    pub fn new<H: Host>(host: &H, plugin: &'static str, chain: &str, instance: &str, cap: u32) -> Self {
        let mut meter = Self {
            plugin,
            scope: format!(";chain={chain};instance={instance}"),
            left: Cell::new(cap),
            dropped: Counter(None),
        };
        meter.dropped = meter.counter(host, "series_dropped_total", &[]);
        meter
    }

    /// The full name of a metric.
    pub fn name(&self, what: &str, labels: &[(Label, &str)]) -> String {
        let mut name = String::from("holdfast_");
        for part in [self.plugin, if self.plugin.is_empty() { "" } else { "_" }, what, &self.scope] {
            name.push_str(part);
        }
        for (label, value) in labels {
            name.push(';');
            name.push_str(label.as_str());
            name.push('=');
            name.push_str(value);
        }
        name
    }

    /// A counter. Label values must be clean ([`crate::key::clean`]).
    pub fn counter<H: Host>(&self, host: &H, what: &str, labels: &[(Label, &str)]) -> Counter {
        self.define(host, MetricKind::Counter, what, labels)
    }

    /// A gauge.
    pub fn gauge<H: Host>(&self, host: &H, what: &str, labels: &[(Label, &str)]) -> Counter {
        self.define(host, MetricKind::Gauge, what, labels)
    }

    /// A histogram.
    pub fn histogram<H: Host>(&self, host: &H, what: &str, labels: &[(Label, &str)]) -> Counter {
        self.define(host, MetricKind::Histogram, what, labels)
    }

    /// A series wasn't made that somebody wanted.
    pub fn note_dropped<H: Host>(&self, host: &H) {
        self.dropped.add(host);
    }

    fn define<H: Host>(&self, host: &H, kind: MetricKind, what: &str, labels: &[(Label, &str)]) -> Counter {
        let name = self.name(what, labels);
        if self.left.get() == 0 || name.len() > host.capabilities().max_metric_name {
            self.dropped.add(host);
            return Counter(None);
        }
        self.left.set(self.left.get() - 1);
        Counter(host.define_metric(kind, &name).ok())
    }
}

impl Counter {
    /// Adds 1.
    pub fn add<H: Host>(self, host: &H) {
        if let Some(id) = self.0 {
            host.increment(id, 1);
        }
    }

    /// Adds some; nothing where it is nothing, which hosts refuse.
    pub fn add_many<H: Host>(self, host: &H, by: u64) {
        let Some(id) = self.0 else { return };
        let mut left = by;
        while left > 0 {
            let step = u32::try_from(left).unwrap_or(u32::MAX);
            host.increment(id, step);
            left -= u64::from(step);
        }
    }

    /// Moves a gauge up or down, beside all workers that do so too. Only where [`crate::flavor::Capabilities::gauges_count`].
    pub fn adjust<H: Host>(self, host: &H, by: i64) {
        if let Some(id) = self.0 {
            host.adjust(id, by);
        }
    }

    /// Records a value in a histogram.
    pub fn record<H: Host>(self, host: &H, value: u64) {
        self.set(host, value);
    }

    /// Sets a gauge.
    pub fn set<H: Host>(self, host: &H, value: u64) {
        if let Some(id) = self.0 {
            host.record(id, value);
        }
    }

    /// What it shows, over all workers.
    pub fn read<H: Host>(self, host: &H) -> u64 {
        self.0.and_then(|id| host.metric(id).ok()).unwrap_or(0)
    }

    /// Whether the metric exists.
    pub fn exists(self) -> bool {
        self.0.is_some()
    }
}

impl Lazy {
    /// The metric, defined by `define` the first time.
    pub fn get(&self, define: impl FnOnce() -> Counter) -> Counter {
        let counter = self.0.get().unwrap_or_else(define);
        self.0.set(Some(counter));
        counter
    }
}

/// Reads several counters together.
pub fn totals<H: Host, const N: usize>(host: &H, counters: [Counter; N]) -> Totals<N> {
    Totals(counters.map(|counter| counter.read(host)))
}
