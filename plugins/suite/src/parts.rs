//! Who is in it, and who comes after whom.

use circuit_breaker::CircuitBreaker;
use idempotency::Idempotency;
use metrics::Metrics;
use protocol_health::ProtocolHealth;
use retry_budget::RetryBudget;
use sdk_shim::common::Chain;

/// How many there are.
pub const PARTS: usize = 5;

/// A plugin of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whatever it was spoken in.
    ProtocolHealth,
    /// Each request and each attempt, counted once.
    Metrics,
    /// At most one execution per key.
    Idempotency,
    /// Calls end before they cost anything.
    CircuitBreaker,
    /// Retries are a share of the requests.
    RetryBudget,
}

// === impl Part ===

impl Part {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; PARTS] =
        [Self::ProtocolHealth, Self::Metrics, Self::Idempotency, Self::CircuitBreaker, Self::RetryBudget];

    /// As the configuration spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProtocolHealth => "protocol_health",
            Self::Metrics => "metrics",
            Self::Idempotency => "idempotency",
            Self::CircuitBreaker => "circuit_breaker",
            Self::RetryBudget => "retry_budget",
        }
    }

    /// As metrics and logs spell it.
    pub fn plugin(self) -> String {
        self.as_str().replace('_', "-")
    }

    /// In which order requests (or attempts) meet them: who is first sees what the client sent, and who is last speaks to the router, or to the
    /// service. Answers come the other way.
    pub const fn in_order(chain: Chain) -> [Self; PARTS] {
        match chain {
            Chain::Downstream => Self::ALL,
            Chain::Upstream => {
                [Self::Metrics, Self::Idempotency, Self::CircuitBreaker, Self::RetryBudget, Self::ProtocolHealth]
            }
        }
    }
}

/// Those that are configured.
#[derive(Debug, Default)]
pub struct Parts {
    /// See [`Part::ProtocolHealth`].
    pub protocol_health: Option<ProtocolHealth>,
    /// See [`Part::Metrics`].
    pub metrics: Option<Metrics>,
    /// See [`Part::Idempotency`].
    pub idempotency: Option<Idempotency>,
    /// See [`Part::CircuitBreaker`].
    pub circuit_breaker: Option<CircuitBreaker>,
    /// See [`Part::RetryBudget`].
    pub retry_budget: Option<RetryBudget>,
}

/// What each of them remembers of one request, or attempt.
#[derive(Debug)]
pub struct Calls {
    /// See [`Part::ProtocolHealth`].
    pub protocol_health: protocol_health::filter::Call,
    /// See [`Part::Metrics`].
    pub metrics: metrics::filter::Call,
    /// See [`Part::Idempotency`].
    pub idempotency: idempotency::request::Shared,
    /// See [`Part::CircuitBreaker`].
    pub circuit_breaker: circuit_breaker::filter::Call,
    /// See [`Part::RetryBudget`].
    pub retry_budget: retry_budget::filter::Call,
}

/// Does something with a part's plugin and its call, where it is configured.
macro_rules! with_part {
    ($parts:expr, $calls:expr, $part:expr, |$plugin:ident, $call:ident| $act:expr, else $otherwise:expr) => {
        match $part {
            Part::ProtocolHealth => match &$parts.protocol_health {
                Some($plugin) => {
                    let $call = &mut $calls.protocol_health;
                    $act
                }
                None => $otherwise,
            },
            Part::Metrics => match &$parts.metrics {
                Some($plugin) => {
                    let $call = &mut $calls.metrics;
                    $act
                }
                None => $otherwise,
            },
            Part::Idempotency => match &$parts.idempotency {
                Some($plugin) => {
                    let $call = &mut $calls.idempotency;
                    $act
                }
                None => $otherwise,
            },
            Part::CircuitBreaker => match &$parts.circuit_breaker {
                Some($plugin) => {
                    let $call = &mut $calls.circuit_breaker;
                    $act
                }
                None => $otherwise,
            },
            Part::RetryBudget => match &$parts.retry_budget {
                Some($plugin) => {
                    let $call = &mut $calls.retry_budget;
                    $act
                }
                None => $otherwise,
            },
        }
    };
}
pub(crate) use with_part;

/// The same for what isn't about a request.
macro_rules! with_plugin {
    ($parts:expr, $part:expr, |$plugin:ident| $act:expr, else $otherwise:expr) => {
        match $part {
            Part::ProtocolHealth => $parts.protocol_health.as_ref().map_or($otherwise, |$plugin| $act),
            Part::Metrics => $parts.metrics.as_ref().map_or($otherwise, |$plugin| $act),
            Part::Idempotency => $parts.idempotency.as_ref().map_or($otherwise, |$plugin| $act),
            Part::CircuitBreaker => $parts.circuit_breaker.as_ref().map_or($otherwise, |$plugin| $act),
            Part::RetryBudget => $parts.retry_budget.as_ref().map_or($otherwise, |$plugin| $act),
        }
    };
}
pub(crate) use with_plugin;
