//! The metrics of one key, each defined when it is first needed.

use crate::decide::Cause;
use crate::state::{Counts, Phase};
use core::cell::Cell;
use sdk_shim::host::Host;
use sdk_shim::labels::Label;
use sdk_shim::meter::{Lazy, Meter, Tallies};

/// The metrics of one key.
#[derive(Debug)]
pub struct KeyMetrics {
    key: String,
    /// Successes, failures, slow calls, throttled requests: what windows are made of.
    core: Tallies,
    rejected: [Lazy; 5],
    would_reject: [Lazy; 5],
    transitions: [Lazy; 4],
    probes: [Lazy; 3],
    rerouted: Lazy,
    stale: Lazy,
    store_errors: Lazy,
    state: Lazy,
    override_: Lazy,
    thin: Lazy,
    shown: Cell<(u64, u64)>,
}

/// How a probe ended, as labels spell it.
const PROBE_RESULTS: [&str; 3] = ["success", "failure", "unknown"];

impl KeyMetrics {
    /// Defines the counters that windows need; the others wait until something happens.
    pub fn new<H: Host>(host: &H, meter: &Meter, key: &str) -> Self {
        let calls = |outcome| meter.counter(host, "calls_total", &[(Label::Key, key), (Label::Outcome, outcome)]);
        let core = vec![
            calls("success"),
            calls("failure"),
            meter.counter(host, "slow_calls_total", &[(Label::Key, key)]),
            meter.counter(host, "throttled_total", &[(Label::Key, key)]),
        ];
        Self {
            key: key.to_owned(),
            core: Tallies::new(host, core, || meter.name("calls", &[(Label::Key, key)])),
            rejected: Default::default(),
            would_reject: Default::default(),
            transitions: Default::default(),
            probes: Default::default(),
            rerouted: Lazy::default(),
            stale: Lazy::default(),
            store_errors: Lazy::default(),
            state: Lazy::default(),
            override_: Lazy::default(),
            thin: Lazy::default(),
            shown: Cell::default(),
        }
    }

    /// What windows are made of.
    pub fn totals<H: Host>(&self, host: &H) -> Counts {
        self.core.totals(host)
    }

    /// A call ended.
    pub fn call<H: Host>(&self, host: &H, failed: bool, slow: bool) {
        self.core.add(host, usize::from(failed));
        if slow {
            self.core.add(host, 2);
        }
    }

    /// Client-side throttling refused a request, or would have.
    pub fn throttled<H: Host>(&self, host: &H) {
        self.core.add(host, 3);
    }

    /// A request was refused, or in a dry run would have been.
    pub fn refused<H: Host>(&self, host: &H, meter: &Meter, cause: Cause, enforced: bool) {
        let (set, what) =
            if enforced { (&self.rejected, "rejected_total") } else { (&self.would_reject, "would_reject_total") };
        let [open, half_open, recovering, throttle, forced] = set;
        let lazy = match cause {
            Cause::Open => open,
            Cause::HalfOpen => half_open,
            Cause::Recovering => recovering,
            Cause::Throttle => throttle,
            Cause::Forced => forced,
        };
        self.count(host, meter, lazy, what, Some((Label::Cause, cause.as_str())));
    }

    /// The breaker changed its phase.
    pub fn transition<H: Host>(&self, host: &H, meter: &Meter, to: &Phase) {
        let [closed, open, half_open, recovering] = &self.transitions;
        let lazy = match to {
            Phase::Closed => closed,
            Phase::Open { .. } => open,
            Phase::HalfOpen { .. } => half_open,
            Phase::Recovering => recovering,
        };
        self.count(host, meter, lazy, "transitions_total", Some((Label::To, to.as_str())));
        self.state.get(|| meter.gauge(host, "state", &[(Label::Key, &self.key)])).set(host, u64::from(to.code()));
    }

    /// A probe ended: `Some(true)` well, `Some(false)` badly, `None` without a verdict.
    pub fn probe<H: Host>(&self, host: &H, meter: &Meter, success: Option<bool>) {
        let [well, badly, unknown] = &self.probes;
        let [yes, no, nobody_knows] = PROBE_RESULTS;
        let (lazy, result) = match success {
            Some(true) => (well, yes),
            Some(false) => (badly, no),
            None => (unknown, nobody_knows),
        };
        self.count(host, meter, lazy, "probes_total", Some((Label::Result, result)));
    }

    /// A refused request was sent the other way.
    pub fn rerouted<H: Host>(&self, host: &H, meter: &Meter) {
        self.count(host, meter, &self.rerouted, "rerouted_total", None);
    }

    /// A result came from another generation.
    pub fn stale<H: Host>(&self, host: &H, meter: &Meter) {
        self.count(host, meter, &self.stale, "stale_total", None);
    }

    /// The key's cell could not be read or changed.
    pub fn store_error<H: Host>(&self, host: &H, meter: &Meter) {
        self.count(host, meter, &self.store_errors, "store_errors_total", None);
    }

    /// Shows the override in force (0 for none) and whether the key saw calls in a whole window, but too few to ever trip.
    pub fn show<H: Host>(&self, host: &H, meter: &Meter, override_: u64, thin: bool) {
        let (old_override, old_thin) = self.shown.replace((override_, u64::from(thin)));
        if override_ != old_override {
            self.override_.get(|| meter.gauge(host, "override", &[(Label::Key, &self.key)])).set(host, override_);
        }
        if u64::from(thin) != old_thin {
            self.thin.get(|| meter.gauge(host, "thin", &[(Label::Key, &self.key)])).set(host, u64::from(thin));
        }
    }

    /// Whether a gauge of [`KeyMetrics::show`] stands above zero.
    pub fn shows_anything(&self) -> bool {
        self.shown.get() != (0, 0)
    }

    fn count<H: Host>(&self, host: &H, meter: &Meter, lazy: &Lazy, what: &str, label: Option<(Label, &str)>) {
        let mut labels = vec![(Label::Key, self.key.as_str())];
        labels.extend(label);
        lazy.get(|| meter.counter(host, what, &labels)).add(host);
    }
}
