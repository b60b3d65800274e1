//! Host metrics as data: names with labels, defined on first use, and never more series than a cap.
//!
//! A proxy keeps every metric that was ever defined, so a metric per client-chosen value would fill its memory. A
//! [`Meter`] defines at most its cap; beyond it a counter counts nothing but itself, in
//! `holdfast_<plugin>_series_dropped_total`. Names are `holdfast_<plugin>_<what>;label=value;label=value`: Envoy's `stats_tags`
//! and Kong's `label_patterns` make Prometheus labels of the suffix.

use crate::cell::{self, CellError};
use crate::claim::{Holder, revise};
use crate::host::{Host, MetricId, MetricKind};
use crate::labels::Label;
use crate::window::Totals;
use core::cell::{Cell, RefCell};

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

/// Counters that something is decided by, four at most: where there can be no metrics, their totals are kept in one cell.
#[derive(Debug)]
pub struct Tallies {
    counters: Vec<Counter>,
    cell: Option<Sums>,
}

/// A cell's name, and what it held when it could be read last: numbers in text, as everything else here is text.
#[derive(Debug)]
struct Sums {
    name: String,
    last: RefCell<String>,
    /// What others wrote over again and again, and so wasn't added yet.
    owed: Cell<[u64; 4]>,
}

// === impl Tallies ===

impl Tallies {
    /// These counters, or a cell of this name.
    pub fn new<H: Host>(host: &H, counters: Vec<Counter>, name: impl FnOnce() -> String) -> Self {
        let has_none = !host.capabilities().metrics_at_once && counters.iter().any(|counter| !counter.exists());
        let cell = has_none.then(|| Sums { name: name(), last: RefCell::default(), owed: Cell::default() });
        Self { counters, cell }
    }

    /// Adds 1 to one of them.
    pub fn add<H: Host>(&self, host: &H, which: usize) {
        let _ = self.try_add(host, which);
    }

    /// The same for what is decided by at once: an error where the totals don't show it. Where others were quicker again and again, the next one takes it along.
    pub fn try_add<H: Host>(&self, host: &H, which: usize) -> Result<(), CellError> {
        match &self.cell {
            None => self.counters.get(which).copied().unwrap_or_default().add(host),
            Some(sums) => sums.add(host, which)?,
        }
        Ok(())
    }

    /// All of them, read in their order.
    pub fn totals<H: Host, const N: usize>(&self, host: &H) -> Totals<N> {
        let mut totals = Totals::default();
        if !self.is_in_cell(host, &mut totals.0) {
            totals.0.iter_mut().zip(&self.counters).for_each(|(total, counter)| *total = counter.read(host));
        }
        totals
    }

    /// The same, the last one read first.
    pub fn totals_backwards<H: Host, const N: usize>(&self, host: &H) -> Totals<N> {
        let mut totals = Totals::default();
        if !self.is_in_cell(host, &mut totals.0) {
            totals.0.iter_mut().zip(&self.counters).rev().for_each(|(total, counter)| *total = counter.read(host));
        }
        totals
    }

    /// Reads the cell, if there is one. What can't be read is what it was: totals that go back would empty windows.
    fn is_in_cell<H: Host>(&self, host: &H, totals: &mut [u64]) -> bool {
        let Some(sums) = &self.cell else { return false };
        if let Ok(seen) = cell::read::<H, Holder>(host, &sums.name) {
            sums.last.replace(seen.record.map(|held| held.0).unwrap_or_default());
        }
        numbers(&sums.last.borrow(), totals);
        true
    }
}

impl Sums {
    /// With what is owed. A store that can't be used at all is owed nothing: once it can, the windows that these belong to are gone.
    fn add<H: Host>(&self, host: &H, which: usize) -> Result<(), CellError> {
        let mut owed = self.owed.take();
        owed.iter_mut().skip(which).take(1).for_each(|count| *count += 1);
        let written = revise(host, &self.name, &|held| {
            let mut totals = [0; 4];
            numbers(held, &mut totals);
            totals.iter_mut().zip(owed).for_each(|(total, more)| *total = total.saturating_add(more));
            let [a, b, c, d] = totals;
            Some(format!("{a} {b} {c} {d}"))
        });
        if written == Err(CellError::Contended) {
            self.owed.set(owed);
        }
        written
    }
}

fn numbers(text: &str, totals: &mut [u64]) {
    totals.iter_mut().zip(text.split(' ')).for_each(|(total, word)| *total = word.parse().unwrap_or(0));
}
