//! What is configured: validated once, `Eq`, without floats. `config.rs` makes it, `decide.rs` obeys it.

use core::time::Duration;
use sdk_shim::answers::AnswerSet;
use sdk_shim::common::{Chain, Common, Secret};
use sdk_shim::config::Faults;
use sdk_shim::flavor::Capabilities;
use sdk_shim::host::Host;
use sdk_shim::key::digest;
use sdk_shim::ratio::{PPM, Ratio};
use sdk_shim::time::nanos;

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Retries per request.
    pub ratio: Ratio,
    /// Retries that there may be besides, per [`Floor::per`]: a route with few requests must be able to retry at all.
    pub floor: Floor,
    /// How far back requests and retries are looked at.
    pub ttl: Duration,
}

/// A rate: `count` per `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Floor {
    /// How many.
    pub count: u64,
    /// In how long.
    pub per: Duration,
}

// === impl Budget ===

impl Budget {
    /// Millionths of a retry that a window may hold which counted so many requests: `ratio * requests + floor * ttl`, exactly.
    pub const fn allowance_ppm(&self, requests: u64) -> u128 {
        self.ratio.ppm() as u128 * requests as u128 + self.floor_ppm()
    }

    /// The floor's share of it.
    pub const fn floor_ppm(&self) -> u128 {
        let millionths = self.floor.count as u128 * nanos(self.ttl) as u128 * PPM as u128;
        match millionths.checked_div(nanos(self.floor.per) as u128) {
            Some(floor) => floor,
            None => 0,
        }
    }
}

/// Which requests may be retried although their method isn't idempotent (RFC 9110, 9.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryUnsafe {
    /// None.
    Never,
    /// Those that carry an idempotency key. Only if the service itself dedupes by it.
    Keyed,
    /// All.
    Always,
}

/// The budget of requests that say of themselves that they are retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRetries {
    /// Retries per first try.
    pub budget: Budget,
    /// Headers by which a request says so.
    pub headers: Vec<String>,
    /// Who is believed; `None` for everybody who can reach this listener.
    pub trusted_proof: Option<Proof>,
}

/// A header and the secret that must be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The header.
    pub header: String,
    /// Its value.
    pub token: Secret,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The settings of every plugin.
    pub common: Common,
    /// How many retries the proxy may make.
    pub budget: Budget,
    /// Answers that the routes' policies retry. One of these needs a grant to be retried.
    pub retry_on: AnswerSet,
    /// The longest wait that a service may ask for with its answer and still be retried.
    pub max_pushback: Duration,
    /// Which methods are retried.
    pub retry_unsafe: RetryUnsafe,
    /// A budget for retries that clients make.
    pub client_retries: Option<ClientRetries>,
    /// Fields that were configured, not defaulted, and that speak of the proxy's own retries.
    pub steering_fields: Vec<&'static str>,
}

impl Policy {
    /// A hash of the fields that give the counts their meaning. Cells are named by it: a push that changes anything else keeps the window.
    pub fn meaning(&self) -> String {
        digest(format!("{}ms {}", self.budget.ttl.as_millis(), self.common.key.describe()).as_bytes())
    }

    /// What this host lacks for this policy, its secrets included.
    pub fn check_on<H: Host>(&self, host: &H) -> Faults {
        let mut faults = self.check_host(host.capabilities());
        let proof = self.client_retries.as_ref().and_then(|client| client.trusted_proof.as_ref());
        let secrets = [
            (self.common.debug_token.as_ref(), "$.debug_token"),
            (proof.map(|proof| &proof.token), "$.client_retries.trusted_proof.token"),
        ];
        for (secret, path) in secrets {
            if let Some(Err(missing)) = secret.map(|secret| secret.resolve(host, path)) {
                faults.append(missing);
            }
        }
        faults
    }

    /// What this host lacks for this policy.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        let mut faults = self.common.check_host(caps);
        if caps.steers_retries {
            return faults;
        }
        let lacks = "this host lacks the capability steers_retries: nobody but itself decides about its retries";
        for field in &self.steering_fields {
            faults.push(&format!("$.{field}"), "a setting of the proxy's own retries", format!("nothing: {lacks}"));
        }
        if self.client_retries.is_none() && self.common.chain == Chain::Downstream {
            faults.push("$.client_retries", "null", format!("an object, the budget of clients' retries: {lacks}"));
        }
        faults
    }
}
