//! How long an answer stands.
//!
//! ```text
//! age   0 ------- fresh --------------- stale -----------------
//!       | given   | given, and a new    | nobody is told of it:
//!       |         | one is fetched      | everybody waits for a new one
//! ```

use super::ask::Health;
use core::time::Duration;
use sdk_shim::time::Instant;

/// What each service said last, in the order of the probe's clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache(Option<(Instant, Vec<Health>)>);

/// What the cache has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// This stands.
    Fresh(Vec<Health>),
    /// This stands while a new one is fetched.
    Stale(Vec<Health>),
    /// Nothing that stands.
    Nothing,
}

// === impl Cache ===

impl Cache {
    /// All have answered.
    pub fn put(&mut self, now: Instant, healths: Vec<Health>) {
        self.0 = Some((now, healths));
    }

    /// What was fetched since then.
    pub fn since(&self, then: Instant) -> Option<&[Health]> {
        self.0.as_ref().filter(|(at, _)| *at >= then).map(|(_, healths)| healths.as_slice())
    }

    /// What stands now. After a step of the clock backwards nothing does: nobody knows how old it is.
    pub fn look(&self, now: Instant, fresh: Duration, stale: Duration) -> Look {
        match &self.0 {
            Some((at, healths)) if *at <= now && now.since(*at) < fresh => Look::Fresh(healths.clone()),
            Some((at, healths)) if *at <= now && now.since(*at) < stale => Look::Stale(healths.clone()),
            _ => Look::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_for_a_while() {
        let (fresh, stale) = (Duration::from_secs(1), Duration::from_secs(10));
        let mut cache = Cache::default();
        let at = |millis: u64| Instant::from_millis(1_000_000 + millis);
        assert_eq!(cache.look(at(0), fresh, stale), Look::Nothing);
        cache.put(at(0), vec![Health::Well]);
        assert_eq!(cache.look(at(999), fresh, stale), Look::Fresh(vec![Health::Well]));
        assert_eq!(cache.look(at(1_000), fresh, stale), Look::Stale(vec![Health::Well]));
        assert_eq!(cache.look(at(9_999), fresh, stale), Look::Stale(vec![Health::Well]));
        assert_eq!(cache.look(at(10_000), fresh, stale), Look::Nothing);
        assert_eq!(cache.look(Instant::from_millis(999_999), fresh, stale), Look::Nothing, "the clock stepped back");
    }
}
