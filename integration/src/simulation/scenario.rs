//! What is simulated.

use core::time::Duration;

use sdk_shim::ratio::{PPM, Ratio};
use sdk_shim::time::Instant;

use super::failure::{Capacity, Failure};

/// When the service of [`Scenario::outage`] stalls, and until when, in seconds.
pub(super) const STALL: (u32, u32) = (20, 25);
/// How long that story is.
pub(super) const OUTAGE_SECONDS: u32 = 80;

/// A system, its load, and what befalls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Layers of gateways in front of the service.
    pub layers: usize,
    /// Gateways per layer.
    pub nodes: u32,
    /// Clients' requests per second and node of the first layer.
    pub load: u32,
    /// Attempts that a layer's route allows, the first one included: `num_retries` + 1.
    pub tries: u32,
    /// For how long clients send. What is under way then is followed to its end.
    pub duration: Duration,
    /// After so long a client's request has failed (Envoy's route timeout).
    pub deadline: Duration,
    /// How the service fails.
    pub failure: Failure,
    /// Chance begins here.
    pub seed: u64,
}

// === impl Scenario ===

impl Default for Scenario {
    /// A healthy service behind three layers.
    fn default() -> Self {
        Self {
            layers: 3,
            nodes: 100,
            load: 20,
            tries: 4,
            duration: Duration::from_secs(30),
            deadline: Duration::from_secs(15),
            failure: Failure::default(),
            seed: 1,
        }
    }
}

impl Scenario {
    /// Every attempt fails: what is retried is retried in vain.
    #[must_use]
    pub fn everything_fails(self) -> Self {
        self.fails(Ratio::ONE)
    }

    /// One attempt in ten fails, by chance: a retry helps.
    #[must_use]
    pub fn one_in_ten_fails(self) -> Self {
        self.fails(Ratio::from_ppm(PPM / 10).unwrap_or(Ratio::ONE))
    }

    fn fails(self, share: Ratio) -> Self {
        Self { failure: Failure { share, ..Failure::default() }, ..self }
    }

    /// A service that can do twice what is asked of it stalls for five seconds, from the twentieth on: does it come back?
    #[must_use]
    pub fn outage(self) -> Self {
        let at = |second: u32| Instant::from_millis(u64::from(second) * 1_000);
        let stall = Some((at(STALL.0), at(STALL.1)));
        let capacity = Capacity { stall, ..Capacity::of(u64::from(self.requests_per_second()) * 2) };
        let failure = Failure { capacity: Some(capacity), ..Failure::default() };
        Self { failure, duration: Duration::from_secs(OUTAGE_SECONDS.into()), ..self }
    }

    /// What the clients ask for.
    pub const fn requests_per_second(&self) -> u32 {
        self.nodes.saturating_mul(self.load)
    }
}
