//! Host metrics: one table per process, shared by all its workers.

use super::crc32::crc32;
use super::trap::Trap;
use crate::flavor::Flavor;
use crate::host::{HostError, MetricId, MetricKind};
use std::collections::BTreeMap;

/// Longest name, in bytes, on `WasmX`: with `pw:<file>:` before it.
const WASMX_NAME: usize = 256;

/// Why the table gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The host answers with a status.
    Status(HostError),
    /// The host dies.
    Trap(Trap),
}

/// All metrics of one process.
#[derive(Debug)]
pub(super) struct Table {
    flavor: Flavor,
    metrics: BTreeMap<u32, Metric>,
}

#[derive(Debug)]
struct Metric {
    kind: MetricKind,
    name: String,
    total: u64,
    samples: Vec<u64>,
}

impl Table {
    pub(super) const fn new(flavor: Flavor) -> Self {
        Self { flavor, metrics: BTreeMap::new() }
    }

    /// Defines one for the filter of this file, whose name is a part of the metric's on `WasmX`.
    pub(super) fn define(&mut self, kind: MetricKind, file: &str, name: &str) -> Result<MetricId, Refusal> {
        let whole = format!("pw:{file}:{name}");
        if self.flavor == Flavor::WasmX && whole.len() > WASMX_NAME {
            return Err(Refusal::Trap(Trap::MetricName));
        }
        let id = self.known(kind, name).unwrap_or_else(|| self.fresh(&whole));
        let metric = || Metric { kind, name: name.to_owned(), total: 0, samples: Vec::new() };
        self.metrics.entry(id).or_insert_with(metric);
        Ok(MetricId(id))
    }

    pub(super) fn increment(&mut self, id: MetricId, by: u64) -> Result<(), Refusal> {
        let flavor = self.flavor;
        let metric = self.find(id)?;
        match metric.kind {
            MetricKind::Counter => metric.total = metric.total.wrapping_add(by),
            _ if flavor == Flavor::WasmX => return Err(Refusal::Trap(Trap::IncrementOnOther)),
            MetricKind::Gauge => metric.total = metric.total.wrapping_add(by),
            MetricKind::Histogram => return Err(Refusal::Status(HostError::BadArgument)),
        }
        Ok(())
    }

    pub(super) fn adjust(&mut self, id: MetricId, by: i64) -> Result<(), Refusal> {
        let flavor = self.flavor;
        let metric = self.find(id)?;
        match metric.kind {
            _ if flavor == Flavor::WasmX => return Err(Refusal::Trap(Trap::IncrementOnOther)),
            MetricKind::Gauge => metric.total = metric.total.wrapping_add_signed(by),
            MetricKind::Counter | MetricKind::Histogram => return Err(Refusal::Status(HostError::BadArgument)),
        }
        Ok(())
    }

    pub(super) fn record(&mut self, id: MetricId, value: u64) -> Result<(), Refusal> {
        let flavor = self.flavor;
        let metric = self.find(id)?;
        match metric.kind {
            MetricKind::Counter if flavor == Flavor::WasmX => return Err(Refusal::Trap(Trap::RecordOnCounter)),
            MetricKind::Counter => metric.total = metric.total.wrapping_add(value),
            MetricKind::Gauge => metric.total = value,
            MetricKind::Histogram => metric.samples.push(value),
        }
        Ok(())
    }

    pub(super) fn read(&mut self, id: MetricId) -> Result<u64, Refusal> {
        let flavor = self.flavor;
        let metric = self.find(id)?;
        match (metric.kind, flavor) {
            (MetricKind::Histogram, Flavor::WasmX) => Err(Refusal::Trap(Trap::ReadOfHistogram)),
            (MetricKind::Histogram, Flavor::Envoy) => Err(Refusal::Status(HostError::BadArgument)),
            _ => Ok(metric.total),
        }
    }

    /// `/reset_counters`: gauges and histograms stay.
    pub(super) fn reset_counters(&mut self) {
        let counters = self.metrics.values_mut().filter(|metric| metric.kind == MetricKind::Counter);
        counters.for_each(|metric| metric.total = 0);
    }

    /// The name behind an id, for the record of calls.
    pub(super) fn name(&self, id: MetricId) -> &str {
        self.metrics.get(&id.0).map_or("<unknown>", |metric| &metric.name)
    }

    /// Counters and gauges by name. Where a name has two kinds, the first one defined, as Envoy's `/stats` shows it.
    pub(super) fn totals(&self) -> BTreeMap<String, u64> {
        let numbers = self.metrics.values().rev().filter(|metric| metric.kind != MetricKind::Histogram);
        numbers.map(|metric| (metric.name.clone(), metric.total)).collect()
    }

    /// What a histogram got, in order.
    pub(super) fn samples(&self, name: &str) -> Vec<u64> {
        self.known(MetricKind::Histogram, name).map_or_else(Vec::new, |id| self.metrics[&id].samples.clone())
    }

    fn known(&self, kind: MetricKind, name: &str) -> Option<u32> {
        let same = |metric: &Metric| metric.name == name && (metric.kind == kind || self.flavor == Flavor::WasmX);
        self.metrics.iter().find(|(_, metric)| same(metric)).map(|(id, _)| *id)
    }

    fn fresh(&self, whole: &str) -> u32 {
        match self.flavor {
            Flavor::Envoy => u32::try_from(self.metrics.len()).unwrap_or(u32::MAX),
            Flavor::WasmX => crc32(whole.as_bytes()),
        }
    }

    fn find(&mut self, id: MetricId) -> Result<&mut Metric, Refusal> {
        let unknown = match self.flavor {
            Flavor::Envoy => Refusal::Status(HostError::NotFound),
            Flavor::WasmX => Refusal::Trap(Trap::UnknownMetric),
        };
        self.metrics.get_mut(&id.0).ok_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MetricKind::{Counter, Gauge, Histogram};

    const FILE: &str = "circuit_breaker";

    #[test]
    fn the_same_name_is_the_same_metric() {
        let mut table = Table::new(Flavor::Envoy);
        let (a, b) = (table.define(Counter, FILE, "c").unwrap(), table.define(Counter, FILE, "c").unwrap());
        table.increment(a, 2).unwrap();
        table.increment(b, 3).unwrap();
        assert_eq!(table.read(a), Ok(5));
    }

    #[test]
    fn envoy_makes_two_metrics_of_two_kinds() {
        let mut table = Table::new(Flavor::Envoy);
        let (counter, gauge) = (table.define(Counter, FILE, "x").unwrap(), table.define(Gauge, FILE, "x").unwrap());
        table.record(gauge, 9).unwrap();
        table.increment(counter, 1).unwrap();
        assert_eq!((table.read(counter), table.read(gauge)), (Ok(1), Ok(9)));
        assert_eq!(table.totals()["x"], 1);
    }

    #[test]
    fn wasmx_gives_the_first_kind_again_and_traps_on_the_wrong_verb() {
        let mut table = Table::new(Flavor::WasmX);
        let gauge = table.define(Gauge, FILE, "g").unwrap();
        assert_eq!(table.define(Counter, FILE, "g"), Ok(gauge));
        assert_eq!(table.increment(gauge, 1), Err(Refusal::Trap(Trap::IncrementOnOther)));
        let counter = table.define(Counter, FILE, "c").unwrap();
        assert_eq!(table.record(counter, 1), Err(Refusal::Trap(Trap::RecordOnCounter)));
        assert_eq!(table.read(MetricId(1)), Err(Refusal::Trap(Trap::UnknownMetric)));
        assert_eq!(table.define(Gauge, FILE, &"n".repeat(238)), Err(Refusal::Trap(Trap::MetricName)));
        assert!(table.define(Gauge, FILE, &"n".repeat(237)).is_ok());
    }

    #[test]
    fn a_gauge_counts_up_and_down_on_envoy_and_kills_wasmx() {
        let mut table = Table::new(Flavor::Envoy);
        let (gauge, counter) = (table.define(Gauge, FILE, "g").unwrap(), table.define(Counter, FILE, "c").unwrap());
        for (by, total) in [(1, 1), (1, 2), (-2, 0)] {
            table.adjust(gauge, by).unwrap();
            assert_eq!(table.read(gauge), Ok(total));
        }
        assert_eq!(table.adjust(counter, -1), Err(Refusal::Status(HostError::BadArgument)));
        let mut table = Table::new(Flavor::WasmX);
        let gauge = table.define(Gauge, FILE, "g").unwrap();
        assert_eq!(table.adjust(gauge, 1), Err(Refusal::Trap(Trap::IncrementOnOther)));
    }

    #[test]
    fn a_histogram_is_never_read() {
        for (flavor, refusal) in [
            (Flavor::Envoy, Refusal::Status(HostError::BadArgument)),
            (Flavor::WasmX, Refusal::Trap(Trap::ReadOfHistogram)),
        ] {
            let mut table = Table::new(flavor);
            let histogram = table.define(Histogram, FILE, "h").unwrap();
            table.record(histogram, 7).unwrap();
            assert_eq!(table.read(histogram), Err(refusal));
            assert_eq!(table.samples("h"), [7]);
        }
    }

    #[test]
    fn a_reset_spares_gauges() {
        let mut table = Table::new(Flavor::Envoy);
        let (counter, gauge) = (table.define(Counter, FILE, "c").unwrap(), table.define(Gauge, FILE, "g").unwrap());
        table.increment(counter, 5).unwrap();
        table.record(gauge, 5).unwrap();
        table.reset_counters();
        assert_eq!((table.read(counter), table.read(gauge)), (Ok(0), Ok(5)));
    }
}
