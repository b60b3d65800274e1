//! The metrics of one key, each defined when it is first needed.

use crate::decide::Cause;
use crate::policy::Budget;
use crate::state::Window;
use core::cell::Cell;
use sdk_shim::common::Common;
use sdk_shim::host::Host;
use sdk_shim::labels::Label;
use sdk_shim::meter::{Lazy, Meter};
use sdk_shim::overrides::Mode;
use sdk_shim::ratio::PPM;

/// Metrics per key, at most.
pub const SERIES_PER_KEY: u32 = 24;

/// The meter of an entry. The budget's counters carry `chain=upstream` whoever writes them.
pub fn meter<H: Host>(host: &H, common: &Common, chain: &str) -> Meter {
    let cap = common.max_keys.saturating_mul(SERIES_PER_KEY).saturating_add(64);
    Meter::new(host, "retry_budget", chain, &common.instance, cap)
}

/// What the upstream entry tells of a key besides its account.
#[derive(Debug)]
pub struct UpstreamMetrics {
    key: String,
    retries: Lazy,
    refused: [Lazy; 2],
    would_refuse: [Lazy; 2],
    hedged: Lazy,
    store_errors: Lazy,
    left: Lazy,
    amplification: Lazy,
    override_: Lazy,
    shown_override: Cell<u8>,
}

impl UpstreamMetrics {
    /// Shows at once how many retries per ttl the floor alone allows: with many nodes that adds up.
    pub fn new<H: Host>(host: &H, meter: &Meter, key: &str, budget: &Budget) -> Self {
        meter.gauge(host, "floor", &[(Label::Key, key)]).set(host, whole(budget.floor_ppm()));
        Self {
            key: key.to_owned(),
            retries: Lazy::default(),
            refused: Default::default(),
            would_refuse: Default::default(),
            hedged: Lazy::default(),
            store_errors: Lazy::default(),
            left: Lazy::default(),
            amplification: Lazy::default(),
            override_: Lazy::default(),
            shown_override: Cell::default(),
        }
    }

    /// An attempt that isn't the first began.
    pub fn retry<H: Host>(&self, host: &H, meter: &Meter) {
        self.count(host, meter, &self.retries, "retries_total", None);
    }

    /// A retry was refused, or in a dry run would have been.
    pub fn refused<H: Host>(&self, host: &H, meter: &Meter, cause: Cause, enforced: bool) {
        let (set, what) =
            if enforced { (&self.refused, "refused_total") } else { (&self.would_refuse, "would_refuse_total") };
        let [budget, pushback] = set;
        let lazy = if cause == Cause::Pushback { pushback } else { budget };
        self.count(host, meter, lazy, what, Some((Label::Cause, cause.as_str())));
    }

    /// A hedged attempt passed although there was nothing left.
    pub fn hedged_over_budget<H: Host>(&self, host: &H, meter: &Meter) {
        self.count(host, meter, &self.hedged, "hedged_over_budget_total", None);
    }

    /// The key's cell could not be read or changed.
    pub fn store_error<H: Host>(&self, host: &H, meter: &Meter) {
        self.count(host, meter, &self.store_errors, "store_errors_total", None);
    }

    /// What the window shows: retries left, and attempts per thousand requests.
    pub fn show<H: Host>(&self, host: &H, meter: &Meter, window: &Window, left: u64, override_: Option<Mode>) {
        let key = [(Label::Key, self.key.as_str())];
        self.left.get(|| meter.gauge(host, "left", &key)).set(host, left);
        let attempts = window.requests.saturating_add(window.retries);
        let permille = attempts.saturating_mul(1_000).checked_div(window.requests).unwrap_or(1_000);
        self.amplification.get(|| meter.gauge(host, "amplification_permille", &key)).set(host, permille);
        let code = override_.map_or(0, Mode::code);
        if self.shown_override.replace(code) != code {
            self.override_.get(|| meter.gauge(host, "override", &key)).set(host, u64::from(code));
        }
    }

    fn count<H: Host>(&self, host: &H, meter: &Meter, lazy: &Lazy, what: &str, label: Option<(Label, &str)>) {
        count(host, meter, &self.key, lazy, what, label);
    }
}

/// What the downstream entry tells of a key.
#[derive(Debug)]
pub struct DownstreamMetrics {
    key: String,
    steered: [Lazy; 3],
    would_steer: [Lazy; 3],
    retries: Lazy,
    shed: Lazy,
    would_shed: Lazy,
    store_errors: Lazy,
}

impl DownstreamMetrics {
    /// Nothing is defined before it is needed.
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            steered: Default::default(),
            would_steer: Default::default(),
            retries: Lazy::default(),
            shed: Lazy::default(),
            would_shed: Lazy::default(),
            store_errors: Lazy::default(),
        }
    }

    /// The router was told not to retry a request, or in a dry run would have been.
    pub fn steered<H: Host>(&self, host: &H, meter: &Meter, cause: Cause, enforced: bool) {
        let (set, what) =
            if enforced { (&self.steered, "steered_total") } else { (&self.would_steer, "would_steer_total") };
        let [budget, not_idempotent, client_retry] = set;
        let lazy = match cause {
            Cause::Budget | Cause::Pushback => budget,
            Cause::Unsafe => not_idempotent,
            Cause::ClientRetry => client_retry,
        };
        count(host, meter, &self.key, lazy, what, Some((Label::Cause, cause.as_str())));
    }

    /// A client's retry came.
    pub fn client_retry<H: Host>(&self, host: &H, meter: &Meter) {
        count(host, meter, &self.key, &self.retries, "client_retries_total", None);
    }

    /// It was shed, or in a dry run would have been.
    pub fn client_shed<H: Host>(&self, host: &H, meter: &Meter, enforced: bool) {
        if enforced {
            count(host, meter, &self.key, &self.shed, "client_shed_total", None);
        } else {
            let label = Some((Label::Cause, Cause::ClientRetry.as_str()));
            count(host, meter, &self.key, &self.would_shed, "would_refuse_total", label);
        }
    }

    /// The key's cell could not be read or changed.
    pub fn store_error<H: Host>(&self, host: &H, meter: &Meter) {
        count(host, meter, &self.key, &self.store_errors, "store_errors_total", None);
    }
}

fn count<H: Host>(host: &H, meter: &Meter, key: &str, lazy: &Lazy, what: &str, label: Option<(Label, &str)>) {
    let mut labels = vec![(Label::Key, key)];
    labels.extend(label);
    lazy.get(|| meter.counter(host, what, &labels)).add(host);
}

fn whole(ppm: u128) -> u64 {
    u64::try_from(ppm / u128::from(PPM)).unwrap_or(u64::MAX)
}
