//! An order: a mode for one key, or for all keys of an instance, for a while.

use crate::state::{Known, Looks, Plugin};
use core::time::Duration;
use sdk_shim::cell::CellError;
use sdk_shim::config::{Bounds, Faults, Reader, parse};
use sdk_shim::directory::plugins;
use sdk_shim::host::Host;
use sdk_shim::overrides::{MAX_OVERRIDE, Mode, Override};
use sdk_shim::time::Instant;

/// All keys of an instance.
pub const ALL: &str = "*";
/// The shortest time: less is over before anybody has looked.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whose key.
    pub plugin: Plugin,
    /// In which chain.
    pub chain: &'static str,
    /// In which instance.
    pub instance: String,
    /// Its name as metrics show it, or [`ALL`].
    pub key: String,
    /// The mode and how long it lasts; `None` lifts what was ordered before.
    pub set: Option<(Mode, Duration)>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is obeyed from now on for these keys.
    Set(Vec<String>),
    /// No such instance has keys here; these have.
    NoInstance(Vec<String>),
    /// It has no such key; some that it has.
    NoKey(Vec<String>),
    /// It was set for so many keys, and then there was this. The same order may be given again.
    Failed(usize, Failure),
}

/// Why an order can't be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Shared data couldn't be read or changed.
    Cell(CellError),
    /// The entry has looked at as many keys as it may.
    TooMany,
    /// The plugin keeps its states in another way than this module knows: the two are of different versions.
    Version,
}

/// Reads an order; every fault at once.
///
/// ```
/// use control::order::read;
/// let order = read(br#"{"plugin": "circuit-breaker", "key": "orders", "mode": "force_open", "for": "10m"}"#).unwrap();
/// assert_eq!((order.chain, order.instance.as_str()), ("downstream", "default"));
/// assert_eq!(read(br#"{"plugin": "circuit-breaker", "mode": "open", "for": "2h"}"#).unwrap_err().len(), 3);
/// ```
pub fn read(bytes: &[u8]) -> Result<Order, Faults> {
    Reader::root(&parse(bytes)?, fields)
}

fn fields(read: &mut Reader<'_>) -> Order {
    for (name, allowed) in [
        ("plugin", "\"circuit-breaker\" or \"retry-budget\""),
        ("key", "a key, as metrics show it, or \"*\""),
        ("mode", "a mode, or \"none\""),
    ] {
        if !read.has(name) {
            read.fault(name, "nothing", allowed);
        }
    }
    let plugin = read.word("plugin", Plugin::CircuitBreaker, &Plugin::ALL.map(|plugin| (plugin.as_str(), plugin)));
    let own = if plugin == Plugin::CircuitBreaker { "downstream" } else { "upstream" };
    let short = |text: &str| !text.is_empty() && text.len() <= 256;
    let modes: Vec<_> = plugin.modes().into_iter().map(|(name, mode)| (name, Some(mode))).collect();
    let mode = read.word("mode", None, &modes);
    let lasting = read.duration("for", SHORTEST, Bounds::new(SHORTEST, MAX_OVERRIDE));
    // Of a mode that is none, nothing more is said.
    match (mode, read.has("for")) {
        (Some(Some(_)), false) => read.fault("for", "nothing", "a time from 1s to 1h beside a mode"),
        (Some(None), true) => read.fault("for", "a time", "nothing beside \"none\""),
        _ => {}
    }
    let mode = mode.flatten();
    Order {
        plugin,
        chain: read.word("chain", own, &[("downstream", "downstream"), ("upstream", "upstream")]),
        instance: read.text("instance", "default", "1 to 32 characters", |text| !text.is_empty() && text.len() <= 32),
        key: read.text("key", "", "1 to 256 characters", short),
        set: mode.map(|mode| (mode, lasting)),
    }
}

impl Order {
    /// As the directory has it.
    pub fn who(&self) -> String {
        [self.plugin.as_str(), ";", self.chain, ";", &self.instance].concat()
    }

    /// Until when it holds that begins now.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.set.map(|(_, lasting)| now.plus(lasting))
    }

    /// Carries it out.
    pub fn carry_out<H: Host>(&self, host: &H, looks: &Looks, now: Instant) -> Done {
        let entries = match plugins(host) {
            Ok(entries) => entries,
            Err(error) => return Done::Failed(0, Failure::Cell(error)),
        };
        let who = self.who();
        let place = entries.iter().find(|entry| entry.who == who).and_then(|entry| entry.place.as_ref());
        let Some(place) = place else {
            let with_keys = entries.into_iter().filter(|entry| entry.place.is_some());
            return Done::NoInstance(with_keys.map(|entry| entry.who).collect());
        };
        if !place.is_of(self.plugin.encoding()) {
            return Done::Failed(0, Failure::Version);
        }
        let mut known = place.keys(host);
        known.retain(|key| self.plugin.obeys_for(key));
        let mut keys = known.clone();
        keys.retain(|key| self.key == ALL || *key == self.key);
        // For none it would be obeyed by none, and nobody would be told.
        if keys.is_empty() {
            known.truncate(20);
            return Done::NoKey(known);
        }
        let set = self.set.and_then(|(mode, lasting)| Override::new(mode, now, lasting));
        for (done, key) in keys.iter().enumerate() {
            let known = looks.known(host, self.plugin, self.chain, &self.instance, place, key);
            let Some(known) = known else { return Done::Failed(done, Failure::TooMany) };
            if let Err(error) = set_for(host, &known, set) {
                return Done::Failed(done, Failure::Cell(error));
            }
        }
        Done::Set(keys)
    }
}

fn set_for<H: Host>(host: &H, known: &Known, set: Option<Override>) -> Result<(), CellError> {
    match known {
        Known::Breaker(track) => track.set_override(host, set),
        Known::Budget(account) => account.set_override(host, set),
    }
}
