//! JSON to [`Policy`], or every fault at once.
//!
//! Defaults and bounds, and where they come from:
//!
//! - `ttl` 24 h is how long Stripe keeps a key at least. At most 30 days: beyond that memcached takes a number of seconds for a date (Adyen keeps keys
//!   for 31 days; who needs that, needs a database). It must be longer than the lease, or a key would be forgotten while its
//!   request still runs, and run again.
//! - `lease` 30 s is twice Envoy's default for a route's timeout. At least 1 s: memcached counts seconds. At most 1 h: a client whose request was
//!   lost waits that long for a certain answer.
//! - `derive` at most 60 s, longer than the lease, and only with a tenant: it makes one of two equal requests, meant or not.
//! - `wait` at most 30 s: few clients and load balancers wait longer.
//! - `max_body` 256 KiB by default, at most 15 MiB: with its headers an answer stays below the 16 MiB that the stores' replies may hold.
//! - `store.timeout` 10 ms to 10 s, and shorter than the lease: a claim that is answered later is over before it is known.
//! - `store.max_new_connections` 200 per second and proxy: at about 470 to one address a node's ports run out (docs/hosts.md).
//! - `release_on` are those of the statuses that a service may answer before it did anything (RFC 9110, 15.5; RFC 8470; RFC 6585).

mod lists;
mod regions;
mod store;

use crate::policy::{HEADER, HomeBy, Kind, Policy, Remote, Store};

use crate::store::{memcached, memory};
use core::time::Duration;
use sdk_shim::common::{Chain, Common};
use sdk_shim::config::{Bounds, Faults, Reader};
use sdk_shim::key::is_header_name;
use sdk_shim::overrides::Mode;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const LEASE: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 3_600);
const BODY: u64 = 256 << 10;
/// As many as [`crate::quota`] can count.
const MOST_PER_TENANT: u32 = 1_000;
const MOST_BODY: u64 = 15 << 20;

/// Reads a configuration.
///
/// ```
/// let policy = idempotency::config::read(br#"{"store": {"kind": "memory"}, "paths": ["/payments"]}"#).unwrap();
/// assert!(policy.covers(b"POST", b"/payments/7") && !policy.covers(b"POST", b"/payments2"));
/// let faults = idempotency::config::read(br#"{"ttl": "0s", "methods": ["GET"]}"#).unwrap_err();
/// assert_eq!(faults.len(), 3, "these two, and there is no store");
/// ```
pub fn read(bytes: &[u8]) -> Result<Policy, Faults> {
    read_and(bytes, |_| Faults::default())
}

/// Reads a configuration; what `check` finds wrong with it is told together with everything else.
pub fn read_and(bytes: &[u8], check: impl FnOnce(&Policy) -> Faults) -> Result<Policy, Faults> {
    sdk_shim::config::read_and(bytes, full, check)
}

fn full(read: &mut Reader<'_>) -> Policy {
    let common = Common::read(read);
    check_common(read, &common);
    let store = store::read(read, common.insecure_literal);
    let secrets = store::secrets(read, store.as_ref(), common.insecure_literal);
    let policy = Policy {
        secrets,
        methods: lists::methods(read),
        paths: lists::paths(read),
        header: read.text("header", HEADER, lists::NAME, is_header_name),
        required: read.bool("required", false),
        strict: read.bool("strict", false),
        derive: read.object("derive", |read| read.duration("ttl", MINUTE, Bounds::new(SECOND, MINUTE))),
        ttl: read.duration("ttl", DAY, Bounds::new(SECOND, LONGEST_TTL)),
        lease: read.duration("lease", LEASE, Bounds::new(SECOND, HOUR)),
        tenant: lists::tenant(read),
        selection: read.object("fingerprint", lists::selection).unwrap_or_default(),
        service_is_idempotent: read.bool("service_is_idempotent", false),
        wait: wait(read),
        reexecute: read.word("on_uncertain", false, &[("reject", false), ("reexecute", true)]),
        fail_open: read.word("on_store_error", false, &[("closed", false), ("open", true)]),
        pass_too_large: read.word("too_large", false, &[("reject", false), ("pass", true)]),
        max_body: usize::try_from(read.integer("max_body", BODY, Bounds::new(0, MOST_BODY))).unwrap_or_default(),
        release_on: lists::release_on(read),
        store_body: read.bool("store_body", true),
        per_tenant_in_flight: small(read, "per_tenant_in_flight", 0, Bounds::new(0, MOST_PER_TENANT)),
        replay_headers: lists::replay_headers(read),
        namespace: read.text("namespace", "", "at most 64 of a-z A-Z 0-9 _ . -", is_namespace),
        accept_reply_before_store: read.bool("accept_reply_before_store", false),
        mirror: read.object("mirror", regions::mirror),
        home: read.object("home", regions::home),
        common,
        // Where there is none, this one has the fewest further faults.
        store: store.clone().unwrap_or_else(store::placeholder),
    };
    check_keys(read, &policy);
    check_times(read, &policy);
    if let Some(store) = &store {
        check_store(read, &policy, store);
    }
    policy
}

fn check_common(read: &mut Reader<'_>, common: &Common) {
    if matches!(common.mode, Mode::ForceOpen | Mode::ForceClosed) {
        let found = format!("\"{}\"", common.mode.as_str());
        read.fault("mode", found, "\"enforce\", \"dry_run\", \"disabled\": the others are the circuit breaker's");
    }
    if common.chain == Chain::Upstream {
        read.fault("chain", "\"upstream\"", "\"downstream\": a key is claimed once per request, not once per attempt");
    }
}

/// Zero unless it waits.
fn wait(read: &mut Reader<'_>) -> Duration {
    let waits = read.word("on_in_flight", false, &[("reject", false), ("wait", true)]);
    let least = if waits { Duration::from_millis(1) } else { Duration::ZERO };
    let wait = read.duration("wait", Duration::ZERO, Bounds::new(least, LONGEST_WAIT));
    if waits && !read.has("wait") {
        read.fault("wait", "nothing", "how long to wait, as \"on_in_flight\" is \"wait\"");
    }
    if !waits && !wait.is_zero() {
        read.fault("wait", shown(wait), "0ms, or \"on_in_flight\": \"wait\" beside it");
    }
    wait
}

fn check_keys(read: &mut Reader<'_>, policy: &Policy) {
    if policy.strict && policy.header != HEADER {
        let allowed = format!("false: only {HEADER} has quoted keys, others are bare");
        read.fault("strict", format!("true with the header {}", policy.header), allowed);
    }
    if policy.derive.is_none() {
        return;
    }
    if policy.tenant.is_empty() {
        let allowed = "null, or \"tenant\" beside it: equal requests of two clients would be one";
        read.fault("derive", "an object without a tenant", allowed);
    }
    if policy.required {
        read.fault("required", "true with derive", "false, or no \"derive\": with it no request is without a key");
    }
}

fn check_times(read: &mut Reader<'_>, policy: &Policy) {
    let longer = format!("longer than the lease ({}), or a request that still runs is forgotten", shown(policy.lease));
    if policy.ttl <= policy.lease {
        read.fault("ttl", shown(policy.ttl), longer.as_str());
    }
    if let Some(ttl) = policy.derive.filter(|ttl| *ttl <= policy.lease) {
        read.fault("derive", format!("a ttl of {}", shown(ttl)), longer);
    }
}

fn check_store(read: &mut Reader<'_>, policy: &Policy, store: &Store) {
    match store {
        Store::Memory { slots, max_bytes, .. } => check_memory(read, policy, *slots, *max_bytes),
        Store::Remote(remote) => check_remote(read, policy, remote),
    }
}

fn check_memory(read: &mut Reader<'_>, policy: &Policy, slots: u32, max_bytes: u64) {
    if policy.home.is_some() {
        read.fault("home", "an object with a store in memory", "null: no other node sees this store");
    }
    let share = memory::share(slots, max_bytes);
    if policy.store_body && policy.max_body as u64 > share {
        let allowed = format!(
            "at most {share}, the part of the store's max_bytes that one set of its slots has, or \"store_body\": false"
        );
        read.fault("max_body", policy.max_body.to_string(), allowed);
    }
}

fn check_remote(read: &mut Reader<'_>, policy: &Policy, remote: &Remote) {
    if remote.timeout >= policy.lease {
        let allowed =
            format!("longer than the store's timeout ({}), or it is over before it is known", shown(remote.timeout));
        read.fault("lease", shown(policy.lease), allowed);
    }
    if remote.kind == Kind::Memcached && policy.ttl > Duration::from_millis(memcached::MAX_MILLIS) {
        let allowed = format!("at most {}ms: memcached takes more for a date", memcached::MAX_MILLIS);
        read.fault("ttl", shown(policy.ttl), allowed);
    }
    let by_tenant = policy.home.as_ref().is_some_and(|home| home.by == HomeBy::Tenant);
    if by_tenant && policy.tenant.len() != 1 {
        let found = format!("\"by\": \"tenant\" with {} tenant headers", policy.tenant.len());
        read.fault("home", found, "exactly one header in \"tenant\", or \"by\": {\"header\": \"...\"}");
    }
}

fn is_namespace(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn shown(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// A number that fits 32 bits.
fn small(read: &mut Reader<'_>, name: &'static str, default: u32, bounds: Bounds<u32>) -> u32 {
    let bounds = Bounds::new(u64::from(bounds.least), u64::from(bounds.most));
    u32::try_from(read.integer(name, u64::from(default), bounds)).unwrap_or(default)
}
