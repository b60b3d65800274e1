//! What is shown: the plugins of this `vm_id`, and the keys of breakers and budgets.

use circuit_breaker::metrics::KeyMetrics;
use circuit_breaker::state::{Phase, State};
use circuit_breaker::track::Track;
use core::cell::RefCell;
use hashbrown::HashMap;
use retry_budget::account::{Account, cell_name};
use sdk_shim::cell::CellError;
use sdk_shim::directory::{Entry, Place, configuration, plugins};
use sdk_shim::host::Host;
use sdk_shim::json::{Object, Value};
use sdk_shim::key::is_stand_in;
use sdk_shim::keys::Named;
use sdk_shim::meter::Meter;
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;
use std::rc::Rc;

/// Keys that are remembered. A proxy keeps each look at a metric, so none may be taken twice.
pub const MOST: usize = 20_000;
/// What is said of one more.
pub(crate) const TOO_MANY: &str = "this VM has looked at 20000 keys, and can look at no more";

/// A plugin whose keys have a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// `circuit-breaker`.
    CircuitBreaker,
    /// `retry-budget`.
    RetryBudget,
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub enum Known {
    /// A breaker's.
    Breaker(Rc<Track>),
    /// A budget's.
    Budget(Rc<Account>),
}

/// The keys that this VM was asked about.
#[derive(Debug)]
pub struct Looks {
    known: RefCell<HashMap<String, Known>>,
    most: usize,
}

// === impl Plugin ===

impl Plugin {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::CircuitBreaker, Self::RetryBudget];

    /// As metrics and orders name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitBreaker => "circuit-breaker",
            Self::RetryBudget => "retry-budget",
        }
    }

    /// The number of its cells' encoding.
    pub const fn encoding(self) -> u8 {
        match self {
            Self::CircuitBreaker => circuit_breaker::state::ENCODING,
            Self::RetryBudget => retry_budget::state::ENCODING,
        }
    }

    /// Whether an order for this key is obeyed: a breaker never acts on what stands for everybody beyond `max_keys`.
    pub fn obeys_for(self, key: &str) -> bool {
        self == Self::RetryBudget || !is_stand_in(key)
    }

    /// What may be ordered; `none` lifts it.
    pub fn modes(self) -> Vec<(&'static str, Option<Mode>)> {
        let its_own = |mode: Mode| self == Self::CircuitBreaker || !matches!(mode, Mode::ForceOpen | Mode::ForceClosed);
        let modes = Mode::ALL.iter().filter(|(_, mode)| its_own(*mode)).map(|(name, mode)| (*name, Some(*mode)));
        modes.chain([("none", None)]).collect()
    }
}

// === impl Looks ===

impl Looks {
    /// At so many keys, at most.
    pub fn at_most(most: usize) -> Self {
        Self { known: RefCell::default(), most }
    }

    /// A key of an instance; `None` where it would be one too many.
    pub fn known<H: Host>(
        &self,
        host: &H,
        plugin: Plugin,
        chain: &str,
        instance: &str,
        place: &Place,
        key: &str,
    ) -> Option<Known> {
        // The prefix says whose it is.
        let name = [&place.prefix, &place.suffix, ";", key].concat();
        if let Some(known) = self.known.borrow().get(&name) {
            return Some(known.clone());
        }
        let mut all = self.known.borrow_mut();
        (all.len() < self.most).then(|| {
            let known = look(host, plugin, (chain, instance), place, key);
            all.insert(name, known.clone());
            known
        })
    }
}

fn look<H: Host>(host: &H, plugin: Plugin, (chain, instance): (&str, &str), place: &Place, key: &str) -> Known {
    match plugin {
        Plugin::CircuitBreaker => {
            let meter = Meter::new(host, "circuit_breaker", chain, instance, u32::MAX);
            let named = Named { name: key, prefix: &place.prefix, observe_only: false };
            Known::Breaker(Rc::new(Track::new(named, KeyMetrics::new(host, &meter, key))))
        }
        Plugin::RetryBudget => {
            let meter = Meter::new(host, "retry_budget", chain, instance, u32::MAX);
            let kind = if chain == "downstream" { "client_" } else { "" };
            let cell = cell_name(&place.prefix, key) + &place.suffix;
            Known::Budget(Rc::new(Account::open(host, &meter, kind, key, cell)))
        }
    }
}

// --- as JSON ---

/// An object of fields that are named once each.
pub(crate) fn object(fields: Vec<(&str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Value::Object(Object::new(fields).unwrap_or_default())
}

/// Everything, with `limit` keys of each instance.
pub fn all<H: Host>(host: &H, looks: &Looks, limit: usize) -> Result<Value, CellError> {
    let now = host.now();
    let told = plugins(host)?.iter().map(|entry| one(host, looks, entry, limit, now)).collect::<Result<_, _>>()?;
    Ok(object(vec![
        ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("now_ms", Value::from(now.as_millis())),
        ("plugins", Value::Array(told)),
    ]))
}

fn one<H: Host>(host: &H, looks: &Looks, entry: &Entry, limit: usize, now: Instant) -> Result<Value, CellError> {
    let mut parts = entry.who.splitn(3, ';').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (name, chain, instance) = (part(), part(), part());
    let mut fields = vec![
        ("plugin", Value::from(name.as_str())),
        ("chain", Value::from(chain.as_str())),
        ("instance", Value::from(instance.as_str())),
        ("config", configuration(host, &entry.who)?.map_or(Value::Null, Value::from)),
    ];
    let plugin = Plugin::ALL.into_iter().find(|plugin| plugin.as_str() == name);
    if let (Some(plugin), Some(place)) = (plugin, &entry.place) {
        if place.is_of(plugin.encoding()) {
            let keys = place.keys(host);
            let shown = keys.iter().take(limit).map(|key| {
                let known = looks.known(host, plugin, &chain, &instance, place, key);
                described(host, key, known.as_ref(), now)
            });
            fields.push(("keys", Value::Array(shown.collect())));
            fields.push(("keys_total", Value::from(u64::try_from(keys.len()).unwrap_or(u64::MAX))));
        } else {
            fields.push(("error", Value::from("this module and the plugin are of different versions")));
        }
    }
    Ok(object(fields))
}

fn described<H: Host>(host: &H, key: &str, known: Option<&Known>, now: Instant) -> Value {
    let told = match known {
        Some(Known::Breaker(track)) => track.stored(host).map(|state| breaker(host, track, &state, now)),
        Some(Known::Budget(account)) => budget(host, account, now),
        None => Ok(vec![("error", Value::from(TOO_MANY))]),
    };
    let mut fields = told.unwrap_or_else(|error| vec![("error", Value::from(error.to_string()))]);
    fields.push(("key", Value::from(key)));
    object(fields)
}

fn breaker<H: Host>(host: &H, track: &Track, state: &State, now: Instant) -> Vec<(&'static str, Value)> {
    let [successes, failures, slow, throttled] = track.metrics.totals(host).0.map(Value::from);
    let counts = vec![("success", successes), ("failure", failures), ("slow", slow), ("throttled", throttled)];
    let mut fields = vec![
        ("state", Value::from(state.phase.as_str())),
        ("since_ms", Value::from(state.since.as_millis())),
        ("generation", Value::from(state.generation)),
        ("opens", Value::from(u64::from(state.opens))),
        ("override", overridden(state.override_, now)),
        ("calls_total", object(counts)),
    ];
    match &state.phase {
        Phase::Open { until } => fields.push(("until_ms", Value::from(until.as_millis()))),
        Phase::HalfOpen { leases, succeeded, .. } => {
            fields.push(("probes", Value::from(u64::try_from(leases.len()).unwrap_or(u64::MAX))));
            fields.push(("succeeded", Value::from(u64::from(*succeeded))));
        }
        Phase::Closed | Phase::Recovering => {}
    }
    fields
}

fn budget<H: Host>(host: &H, account: &Account, now: Instant) -> Result<Vec<(&'static str, Value)>, CellError> {
    account.refresh(host, now, core::time::Duration::ZERO)?;
    let (window, slots) = (account.window(host), account.slots());
    Ok(vec![
        ("requests", Value::from(window.requests)),
        ("retries", Value::from(window.retries)),
        ("frozen", Value::from(slots.is_frozen())),
        ("override", overridden(slots.override_, now)),
    ])
}

/// The operator's word, as long as it is in force.
fn overridden(set: Option<Override>, now: Instant) -> Value {
    let set = set.filter(|set| set.in_force(now));
    set.map_or(Value::Null, |set| {
        object(vec![("mode", Value::from(set.mode.as_str())), ("until_ms", Value::from(set.until.as_millis()))])
    })
}
