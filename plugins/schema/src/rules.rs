//! What a schema can't say: rules over several fields, and what only a host knows.
//!
//! The one table of them. The property test lets parser and schema differ where one of these applies and nowhere else, each has an example that only the
//! parser refuses, and the table in `kong-configs/README.md` is made of it.

use sdk_shim::config::Fault;
use sdk_shim::flavor::Flavor;

/// One of them.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The plugin whose it is; `None` for every plugin.
    pub plugin: Option<&'static str>,
    /// For people.
    pub sentence: &'static str,
    /// Whether a parser's fault is about it.
    pub is: fn(&Fault) -> bool,
    /// A configuration that breaks this one only, and whose it is.
    pub example: (&'static str, &'static str),
}

/// Whether a fault is at this field.
fn is_at(fault: &Fault, field: &str) -> bool {
    fault.path.rsplit('.').next() == Some(field)
}

/// Whether a fault is at this field and says this of what is allowed.
fn says(fault: &Fault, field: &str, allowed: &str) -> bool {
    is_at(fault, field) && fault.allowed.contains(allowed)
}

/// A number, or a decimal as a text, with more than 6 decimals.
fn has_many_decimals(fault: &Fault) -> bool {
    let number = fault.found.trim_matches('"');
    fault.allowed.contains("with at most 6 decimals")
        && number.parse().is_ok_and(|n: f64| ((n * 1e6).round() - n * 1e6).abs() > 1e-3)
}

/// A range of statuses from a higher to a lower one.
fn falls(fault: &Fault) -> bool {
    let range = fault.found.trim_matches('"').split_once('-');
    fault.allowed.contains("a status") && range.is_some_and(|(first, last)| first > last)
}

/// A setting of all that isn't good for one of them.
fn is_inherited(fault: &Fault) -> bool {
    let of_one = ["the others are the circuit breaker's", "claimed once per request", "each key's slots"];
    ["$.mode", "$.chain", "$.max_keys"].contains(&fault.path.as_str())
        && of_one.iter().any(|why| fault.allowed.contains(why))
}

const BREAKER: &str = "circuit_breaker";
const IDEMPOTENCY: &str = "idempotency";
const HEALTH: &str = "protocol_health";
const SUITE: &str = "suite";

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        plugin: None,
        sentence: "Decimals have at most 6 places.",
        is: has_many_decimals,
        example: (BREAKER, r#"{"enforce_ratio": 0.1234567}"#),
    },
    Rule {
        plugin: None,
        sentence: "Lengths are counted in bytes, those of a schema in characters.",
        is: |fault| !fault.found.is_ascii(),
        example: (BREAKER, r#"{"key": ["method"], "key_allow": {"method": ["BYTES"]}}"#),
    },
    Rule {
        plugin: None,
        sentence: "A range of statuses begins with the lower one.",
        is: falls,
        example: (BREAKER, r#"{"failure_on": {"status": ["504-500"]}}"#),
    },
    Rule {
        plugin: None,
        sentence: "A secret may stand in `literal` only where `insecure_literal` is true.",
        is: |fault| says(fault, "literal", "\"insecure_literal\": true beside it"),
        example: (BREAKER, r#"{"debug_token": {"literal": "open sesame"}}"#),
    },
    Rule {
        plugin: None,
        sentence: "`key_allow` names parts of `key`.",
        is: |fault| fault.path.contains(".key_allow") && fault.allowed.contains("as in `key`"),
        example: (BREAKER, r#"{"key_allow": {"method": ["GET"]}}"#),
    },
    Rule {
        plugin: None,
        sentence: "The key `upstream_host` needs the upstream chain.",
        is: |fault| says(fault, "key", "with \"chain\": \"upstream\" only"),
        example: (BREAKER, r#"{"key": ["upstream_host"], "mode": "dry_run"}"#),
    },
    Rule {
        plugin: None,
        sentence: "The key `upstream_host` needs the mode `dry_run` or `disabled`.",
        is: |fault| says(fault, "mode", "outlier detection's job"),
        example: (BREAKER, r#"{"key": ["upstream_host"], "chain": "upstream"}"#),
    },
    Rule {
        plugin: Some(BREAKER),
        sentence: "`minimum_calls` is at most the calls of the window.",
        is: |fault| says(fault, "minimum_calls", "calls of the window"),
        example: (BREAKER, r#"{"window": {"calls": 10}, "minimum_calls": 11}"#),
    },
    Rule {
        plugin: Some(BREAKER),
        sentence: "`open.max` is at least `open.base`.",
        is: |fault| says(fault, "open", "max of at least base"),
        example: (BREAKER, r#"{"open": {"base": "2m"}}"#),
    },
    Rule {
        plugin: Some(BREAKER),
        sentence: "`on_open.reroute` is for the downstream chain.",
        is: |fault| says(fault, "on_open", "the route is chosen by then"),
        example: (BREAKER, r#"{"chain": "upstream", "on_open": {"reroute": {}}}"#),
    },
    Rule {
        plugin: None,
        sentence: "What only the other chain's entry can do is set there: \
                   `labels`, `canary`, `healthz`, `probes`, `drain_cluster`, `draining`, `retry_unsafe`, `client_retries` with the downstream chain, \
                   `region`, `signal`, `status`, `hold`, `predicate` with the upstream chain.",
        is: |fault| fault.allowed.contains("nothing here: it belongs to the entry with"),
        example: (HEALTH, r#"{"hold": {"time": "1s"}}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "Every store but `memory` needs `secret`, and `memory` has none.",
        is: |fault| {
            is_at(fault, "secret") && ["nothing", "a secret with a store in memory"].contains(&fault.found.as_str())
        },
        example: (IDEMPOTENCY, r#"{"store": {"kind": "webdis", "cluster": "a:1"}}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`memcached` has one secret.",
        is: |fault| says(fault, "secret", "memcached can't look up two names at once"),
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "memcached", "cluster": "a", "accept_eviction": true}, "secret": [{"env": "A"}, {"env": "B"}]}"#,
        ),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`store.max_bytes` is at least 256 for each slot.",
        is: |fault| says(fault, "max_bytes", "for each of the"),
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory", "max_bytes": 1024}, "max_body": 0}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`max_body` fits the part of `store.max_bytes` that one set of slots has, unless `store_body` is false.",
        is: |fault| says(fault, "max_body", "the part of the store's max_bytes"),
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "max_body": 15728640}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "A Redis Cluster has no `database` but 0.",
        is: |fault| says(fault, "database", "a Redis Cluster has no other"),
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "redis", "cluster": "a", "cluster_mode": true, "database": 1}, "secret": [{"env": "A"}]}"#,
        ),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`ttl` and `derive.ttl` are longer than `lease`.",
        is: |fault| fault.allowed.contains("longer than the lease"),
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "ttl": "30s"}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`lease` is longer than `store.timeout`.",
        is: |fault| says(fault, "lease", "longer than the store's timeout"),
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "redis", "cluster": "a", "timeout": "2s"}, "secret": [{"env": "A"}], "lease": "2s"}"#,
        ),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "With `memcached`, `ttl` is a second below 30 days at most.",
        is: |fault| says(fault, "ttl", "memcached takes more for a date"),
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "memcached", "cluster": "a", "accept_eviction": true}, "secret": [{"env": "A"}], "ttl": "720h"}"#,
        ),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`wait` is above 0 where `on_in_flight` is `wait`, and 0 where it isn't.",
        is: |fault| {
            let is_zero = !fault.found.contains(|c: char| ('1'..='9').contains(&c));
            is_at(fault, "wait") && (is_zero || fault.allowed.contains("\"on_in_flight\": \"wait\" beside it"))
        },
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "wait": "1s"}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`strict` is for the header `idempotency-key`.",
        is: |fault| says(fault, "strict", "has quoted keys"),
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "header": "x-key", "strict": true}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`derive` needs `tenant`.",
        is: |fault| says(fault, "derive", "equal requests of two clients would be one"),
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "derive": {}}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`required` isn't true where there is `derive`.",
        is: |fault| says(fault, "required", "with it no request is without a key"),
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "derive": {}, "tenant": ["x"], "required": true}"#),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`home` is for stores that nodes share.",
        is: |fault| says(fault, "home", "no other node sees this store"),
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "memory"}, "home": {"by": {"header": "x"}, "map": {"eu": "store"}}}"#,
        ),
    },
    Rule {
        plugin: Some(IDEMPOTENCY),
        sentence: "`home.by` is `tenant` only where there is exactly one tenant header.",
        is: |fault| says(fault, "home", "exactly one header in \"tenant\""),
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "redis", "cluster": "a"}, "secret": [{"env": "A"}], "home": {"by": "tenant", "map": {"eu": "a"}}}"#,
        ),
    },
    Rule {
        plugin: Some(HEALTH),
        sentence: "In the upstream chain `deadline` is an empty object.",
        is: |fault| fault.path.contains(".deadline") && fault.allowed == "no field here",
        example: (HEALTH, r#"{"chain": "upstream", "deadline": {"max": "1s"}}"#),
    },
    Rule {
        plugin: Some(HEALTH),
        sentence: "A deadline's `default` and `min` are at most `max`.",
        is: |fault| fault.path.contains(".deadline") && fault.allowed == "at most max",
        example: (HEALTH, r#"{"deadline": {"default": "2m"}}"#),
    },
    Rule {
        plugin: Some(HEALTH),
        sentence: "A probe's `stale` is at least `fresh`.",
        is: |fault| says(fault, "stale", "at least fresh"),
        example: (HEALTH, r#"{"probes": [{"clusters": ["a"], "fresh": "11s"}]}"#),
    },
    Rule {
        plugin: Some(HEALTH),
        sentence: "Each probe has a path of its own, which isn't `healthz`.",
        is: |fault| is_at(fault, "probes") && ["a path of its own", "each path once"].contains(&fault.allowed.as_str()),
        example: (HEALTH, r#"{"probes": [{"clusters": ["a"]}, {"clusters": ["b"]}]}"#),
    },
    Rule {
        plugin: Some(SUITE),
        sentence: "A plugin's `chain` is the one beside the plugins.",
        is: |fault| says(fault, "chain", "it is the same for all"),
        example: (SUITE, r#"{"metrics": {"chain": "upstream"}}"#),
    },
    Rule {
        plugin: Some(SUITE),
        sentence: "Beside the legacy form of `circuit_breaker` nothing is set that would change it.",
        is: |fault| fault.allowed.contains("nothing beside the form of \"circuit_breaker\" that stands alone"),
        example: (SUITE, r#"{"mode": "dry_run", "circuit_breaker": {"timeout": 1000}}"#),
    },
    Rule {
        plugin: Some(SUITE),
        sentence: "What stands beside the plugins is good for each that takes it over: `force_open` and `force_closed` are the circuit breaker's alone, \
                   idempotency has no upstream chain, a retry budget has at most 1000 keys.",
        is: is_inherited,
        example: (SUITE, r#"{"mode": "force_open", "metrics": {}}"#),
    },
];

/// What one host can't do. The schema and the parser take it; the filter refuses it where it starts.
#[derive(Clone, Copy, Debug)]
pub struct HostRule {
    /// Which host refuses.
    pub host: Flavor,
    /// For people.
    pub sentence: &'static str,
    /// Where the fault is.
    pub path: &'static str,
    /// The module and a configuration that is refused for this alone.
    pub example: (&'static str, &'static str),
}

/// All that Kong can't do, and what Envoy wants otherwise.
pub const HOST_RULES: &[HostRule] = &[
    HostRule {
        host: Flavor::WasmX,
        sentence: "There is no upstream chain.",
        path: "$.chain",
        example: (BREAKER, r#"{"chain": "upstream"}"#),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "A header doesn't choose another route, so there is no `on_open.reroute`.",
        path: "$.on_open.reroute",
        example: (BREAKER, r#"{"on_open": {"reroute": {}}}"#),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "gRPC statuses stand in trailers, which no filter sees: `failure_on.grpc_status` needs `allow_degraded`.",
        path: "$.failure_on.grpc_status",
        example: (BREAKER, r#"{"failure_on": {"grpc_status": [14]}}"#),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "Shared data may be evicted: the store `memory` needs `accept_eviction`.",
        path: "$.store.accept_eviction",
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}, "accept_reply_before_store": true}"#),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "No answer can be held until it is stored: `accept_reply_before_store` must be true.",
        path: "$.accept_reply_before_store",
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory", "accept_eviction": true}}"#),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "Nothing wakes a request that waits: no `on_in_flight: wait`.",
        path: "$.on_in_flight",
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true, "on_in_flight": "wait", "wait": "1s"}"#,
        ),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "There is no tunnel to Redis or memcached: `webdis` or `memory`.",
        path: "$.store.kind",
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "redis", "cluster": "a:1"}, "secret": [{"literal": "0123456789abcdef"}], "insecure_literal": true,
                "accept_reply_before_store": true}"#,
        ),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "Stores have no names: `store.cluster` and `home.map` say `host:port`.",
        path: "$.store.cluster",
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "webdis", "cluster": "a"}, "secret": [{"literal": "0123456789abcdef"}], "insecure_literal": true,
                "accept_reply_before_store": true}"#,
        ),
    },
    HostRule {
        host: Flavor::WasmX,
        sentence: "An operator's order can't be waited for: the control entry is for Envoy.",
        path: "$",
        example: (
            "control",
            r#"{"token": {"literal": "0123456789abcdef0123456789abcdef"}, "insecure_literal": true, "headers_stop_iteration": true}"#,
        ),
    },
    HostRule {
        host: Flavor::Envoy,
        sentence: "Answers are held until they are stored: `accept_reply_before_store` must be false.",
        path: "$.accept_reply_before_store",
        example: (
            IDEMPOTENCY,
            r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "accept_reply_before_store": true}"#,
        ),
    },
    HostRule {
        host: Flavor::Envoy,
        sentence: "`idempotency` needs `headers_stop_iteration`.",
        path: "$.headers_stop_iteration",
        example: (IDEMPOTENCY, r#"{"store": {"kind": "memory"}}"#),
    },
];

/// Both tables as Markdown.
pub fn markdown() -> String {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = RULES.iter().map(|rule| {
        let plugin = rule.plugin.map_or_else(|| "every".to_owned(), |plugin| format!("`{plugin}`"));
        format!("| {plugin} | {} |", plain(rule.sentence))
    });
    let hosts = HOST_RULES.iter().map(|rule| {
        let host = if rule.host == Flavor::WasmX { "Kong" } else { "Envoy" };
        format!("| {host} | `{}` | {} |", rule.example.0, plain(rule.sentence))
    });
    let head = ["| plugin | rule |", "|---|---|"].map(str::to_owned).into_iter();
    let host_head = ["", "| host | plugin | rule |", "|---|---|---|"].map(str::to_owned);
    head.chain(rows).chain(host_head).chain(hosts).map(|line| line + "\n").collect()
}

impl core::fmt::Debug for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.sentence)
    }
}
