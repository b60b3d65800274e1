//! JSON to [`Policy`], or every fault at once.
//!
//! Defaults and where they come from: `ratio` 0.2 and a `ttl` of 10 s are Finagle's and Linkerd's, and the Gateway API's (GEP-3388). The floor of 1 per second
//! is a tenth of theirs, because it adds up over nodes. The gRPC statuses are those that Envoy's policies retry by name. `client_retries.ratio` 0.1 is
//! Google's (Site Reliability Engineering, ch. 21).

use crate::policy::{Budget, ClientRetries, Floor, Policy, Proof, RetryUnsafe};
use core::time::Duration;
use sdk_shim::answers::AnswerSet;
use sdk_shim::common::{Chain, Common, Secret, read_secret};
use sdk_shim::config::{Bounds, Faults, Reader};
use sdk_shim::json::Value;
use sdk_shim::key::is_header_name;
use sdk_shim::overrides::Mode;
use sdk_shim::ratio::{PPM, Ratio};

/// `CANCELLED`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `INTERNAL`, `UNAVAILABLE`: what Envoy's `retry_on` has names for.
const GRPC_RETRIED: [u64; 5] = [1, 4, 8, 13, 14];
/// By which a request may say that it is a retry.
const MARKS: [&str; 3] = ["x-retry-attempt", "x-envoy-attempt-count", "grpc-previous-rpc-attempts"];
/// Marks that one request may be asked for.
const MOST_MARKS: usize = 8;
/// As many as one tick looks after, or slots would last longer than they say.
const MOST_KEYS: u32 = 1_000;
const ALIASES: [&str; 3] = ["percent", "interval", "minRetryRate"];
/// Fields that speak of the proxy's own retries.
const STEERING: [&str; 9] = [
    "ratio",
    "min_retries_per_second",
    "ttl",
    "percent",
    "interval",
    "minRetryRate",
    "retry_on",
    "max_pushback",
    "retry_unsafe",
];

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const TTL: Duration = Duration::from_secs(10);
const FIFTH: Ratio = share(5);
const TENTH: Ratio = share(10);

const fn share(of: u32) -> Ratio {
    match Ratio::from_ppm(PPM / of) {
        Some(share) => share,
        None => Ratio::ONE,
    }
}

/// Reads a configuration.
///
/// ```
/// let policy = retry_budget::config::read(br#"{"percent": 20, "interval": "10s"}"#).unwrap();
/// assert_eq!(policy.budget, retry_budget::config::read(b"{}").unwrap().budget);
/// let faults = retry_budget::config::read(br#"{"ratio": 2, "ttl": "0s"}"#).unwrap_err();
/// assert_eq!(faults.len(), 2);
/// ```
pub fn read(bytes: &[u8]) -> Result<Policy, Faults> {
    read_and(bytes, |_| Faults::default())
}

/// Reads a configuration; what `check` finds wrong with it is told together with everything else.
pub fn read_and(bytes: &[u8], check: impl FnOnce(&Policy) -> Faults) -> Result<Policy, Faults> {
    sdk_shim::config::read_and(bytes, full, check)
}

fn full(read: &mut Reader<'_>) -> Policy {
    let steering_fields = STEERING.into_iter().filter(|field| read.has(field)).collect();
    let common = Common::read(read);
    check_mode(read, &common);
    check_chain(read, common.chain);
    if common.max_keys > MOST_KEYS {
        let allowed = format!("a whole number from 1 to {MOST_KEYS}: each key's slots are begun by every tick");
        read.fault("max_keys", common.max_keys.to_string(), allowed);
    }
    let insecure_literal = common.insecure_literal;
    Policy {
        budget: proxys_budget(read),
        retry_on: read
            .object("retry_on", |read| AnswerSet::read(read, &GRPC_RETRIED))
            .unwrap_or_else(|| AnswerSet::server_errors(&GRPC_RETRIED)),
        max_pushback: read.duration("max_pushback", TTL, Bounds::new(Duration::ZERO, Duration::from_secs(300))),
        retry_unsafe: read.word("retry_unsafe", RetryUnsafe::Never, &RETRY_UNSAFE),
        client_retries: read.object("client_retries", |read| client_retries(read, insecure_literal)),
        steering_fields,
        common,
    }
}

const RETRY_UNSAFE: [(&str, RetryUnsafe); 3] =
    [("never", RetryUnsafe::Never), ("keyed", RetryUnsafe::Keyed), ("always", RetryUnsafe::Always)];

fn check_mode(read: &mut Reader<'_>, common: &Common) {
    if matches!(common.mode, Mode::ForceOpen | Mode::ForceClosed) {
        let found = format!("\"{}\"", common.mode.as_str());
        read.fault("mode", found, "\"enforce\", \"dry_run\", \"disabled\": the others are the circuit breaker's");
    }
}

/// What needs the request before it is routed can't be done once per attempt.
fn check_chain(read: &mut Reader<'_>, chain: Chain) {
    let misplaced = ["retry_unsafe", "client_retries"].into_iter().filter(|field| read.has(field)).collect::<Vec<_>>();
    for field in misplaced.into_iter().filter(|_| chain == Chain::Upstream) {
        read.fault(
            field,
            "a field of the downstream entry",
            "nothing here: it belongs to the entry with \"chain\": \"downstream\"",
        );
    }
}

/// Under our names or the Gateway API's, but not both.
fn proxys_budget(read: &mut Reader<'_>) -> Budget {
    let aliased = ALIASES.iter().any(|name| read.has(name));
    let own: Vec<&str> = ["ratio", "min_retries_per_second", "ttl"].into_iter().filter(|name| read.has(name)).collect();
    let budget = budget(read, FIFTH);
    let percent = read.integer("percent", 20, Bounds::new(0, 100));
    let interval = read.duration("interval", TTL, Bounds::new(SECOND, HOUR));
    let floor = read.object("minRetryRate", min_retry_rate).unwrap_or(Floor { count: 1, per: SECOND });
    if !aliased {
        return budget;
    }
    for name in own {
        read.fault(
            name,
            "a field beside the Gateway API's names",
            "either ratio, min_retries_per_second, ttl or percent, interval, minRetryRate",
        );
    }
    let ppm = u32::try_from(percent).unwrap_or(0).saturating_mul(PPM / 100);
    Budget { ratio: Ratio::from_ppm(ppm).unwrap_or(FIFTH), floor, ttl: interval }
}

fn budget(read: &mut Reader<'_>, ratio: Ratio) -> Budget {
    Budget {
        ratio: read.ratio("ratio", ratio, Ratio::ZERO),
        floor: Floor { count: read.integer("min_retries_per_second", 1, Bounds::new(0, 10_000)), per: SECOND },
        ttl: read.duration("ttl", TTL, Bounds::new(SECOND, HOUR)),
    }
}

fn min_retry_rate(read: &mut Reader<'_>) -> Floor {
    Floor {
        count: read.integer("count", 10, Bounds::new(0, 1_000_000)),
        per: read.duration("interval", SECOND, Bounds::new(SECOND, HOUR)),
    }
}

fn client_retries(read: &mut Reader<'_>, insecure_literal: bool) -> ClientRetries {
    let allowed = "a lower-case header name of at most 64 characters";
    let marks = MARKS.map(str::to_owned).to_vec();
    let header = |item: &Value| item.as_str().filter(|name| is_header_name(name)).map(str::to_owned);
    let headers = read.list("headers", marks, allowed, header);
    if headers.is_empty() || headers.len() > MOST_MARKS {
        read.fault("headers", format!("{} usable names", headers.len()), format!("1 to {MOST_MARKS} names"));
    }
    ClientRetries {
        budget: budget(read, TENTH),
        headers,
        trusted_proof: read.object("trusted_proof", |read| proof(read, insecure_literal)),
    }
}

fn proof(read: &mut Reader<'_>, insecure_literal: bool) -> Proof {
    let header =
        read.text("header", "x-holdfast-proof", "a lower-case header name of at most 64 characters", is_header_name);
    let token = read.object("token", |read| read_secret(read, insecure_literal)).flatten();
    // Without one an empty header would be proof enough.
    if !read.has("header") || token.is_none() {
        read.fault("", "no header, or no usable token", "{\"header\": \"...\", \"token\": {\"env\": \"...\"}}");
    }
    Proof { header, token: token.unwrap_or(Secret::Literal(String::new())) }
}
