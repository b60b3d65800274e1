//! Real configurations, which between them have every field.

use serde_json::{Value, json};

/// Those of one plugin.
pub(crate) fn of(plugin: &str) -> Vec<Value> {
    match plugin {
        "circuit_breaker" => circuit_breaker(),
        "retry_budget" => retry_budget(),
        "idempotency" => idempotency(),
        "protocol_health" => protocol_health(),
        "metrics" => metrics(),
        "suite" => suite(),
        "control" => control(),
        other => panic!("no seeds of {other}"),
    }
}

/// With every setting that plugins have in common.
fn with_common(mut own: Value) -> Value {
    let common = json!({
        "chain": "downstream", "instance": "edge", "mode": "dry_run", "enforce_ratio": 0.25, "key": ["route", "header:x-tenant"],
        "key_allow": {"header:x-tenant": ["a", "b"]}, "max_keys": 500, "state_refresh": "20ms", "headers_stop_iteration": true,
        "allow_degraded": false, "mark_rejections": true, "insecure_literal": true, "debug_token": {"literal": "open sesame"},
    });
    let fields = own.as_object_mut().expect("an object");
    fields.extend(common.as_object().cloned().unwrap_or_default());
    own
}

fn circuit_breaker() -> Vec<Value> {
    let full = json!({
        "window": {"time": "10s"}, "minimum_calls": 20, "failure_ratio": 0.5, "slow_call": "3s", "slow_ratio": null, "slow_is_failure": true,
        "consecutive_failures": 5, "measure": "completion",
        "failure_on": {"status": [503, "5xx", "500-504"], "grpc_status": [14], "outcome": ["server_fault"]},
        "open": {"base": "5s", "factor": 2, "max": "60s", "jitter": 0.2}, "half_open": {"permits": 2, "successes": 3, "timeout": "60s"},
        "recovery": {"ramp": "linear", "over": "10s"}, "throttle": {"k": 2.0},
        "on_open": {
            "reply": {"status": 503, "headers": {"x-why": "open"}, "body": "later"},
            "reroute": {"header": "x-fallback", "value": "1", "only_if": {"header": "x-region", "in": ["eu"]}},
        },
    });
    vec![
        with_common(full),
        json!({"window": {"calls": 100}, "debug_token": {"env": "TOKEN"}, "throttle": null, "key": ["upstream_host"], "chain": "upstream", "mode": "dry_run"}),
        json!({"timeout": 3000, "threshold": 0.5, "min_half_open_requests": 5, "window_size": 10000}),
        json!({}),
    ]
}

fn retry_budget() -> Vec<Value> {
    let full = json!({
        "ratio": 0.2, "min_retries_per_second": 1, "ttl": "10s", "max_pushback": "10s", "retry_unsafe": "keyed",
        "retry_on": {"status": ["502-504"], "grpc_status": [14], "outcome": ["overload"]},
        "client_retries": {
            "ratio": 0.1, "min_retries_per_second": 2, "ttl": "10s", "headers": ["x-retry-attempt"],
            "trusted_proof": {"header": "x-proof", "token": {"literal": "open sesame"}},
        },
    });
    vec![
        with_common(full),
        json!({"percent": 20, "interval": "10s", "minRetryRate": {"count": 10, "interval": "1s"}, "chain": "upstream", "debug_token": {"env": "TOKEN"}}),
        json!({"client_retries": {"trusted_proof": {"header": "x-proof", "token": {"env": "PROOF"}}}}),
        json!({}),
    ]
}

fn idempotency() -> Vec<Value> {
    let full = json!({
        "store": {
            "kind": "redis", "cluster": "store", "timeout": "250ms", "cluster_mode": false, "max_new_connections": 200, "accept_eviction": false,
            "username": "holdfast", "password": {"literal": "open sesame"}, "database": 1,
        },
        "secret": [{"literal": "0123456789abcdef"}], "methods": ["POST", "PATCH"], "paths": ["/payments", "/orders"], "header": "idempotency-key",
        "required": false, "strict": true, "derive": {"ttl": "60s"}, "ttl": "24h", "lease": "30s", "tenant": ["x-tenant"],
        "fingerprint": {"json": ["/amount", "/to"], "exclude": ["/sent_at"], "headers": ["x-version"], "query": ["q"]},
        "service_is_idempotent": false, "on_in_flight": "wait", "wait": "5s", "on_uncertain": "reject", "on_store_error": "closed",
        "too_large": "reject", "max_body": 65536, "release_on": [409, "425", "5xx", "500-504"], "store_body": true, "per_tenant_in_flight": 10,
        "replay_headers": ["content-type", "x-version"], "namespace": "shop", "accept_reply_before_store": false,
        "mirror": {"host_suffix": "-shadow"}, "home": {"by": "tenant", "map": {"eu": "store-eu", "us": "store-us"}},
    });
    vec![
        with_common(full),
        json!({"store": {"kind": "memory", "slots": 4096, "max_bytes": 67_108_864, "accept_eviction": true}, "home": null, "derive": null, "max_body": 0, "debug_token": {"env": "TOKEN"}}),
        json!({"store": {"kind": "memcached", "cluster": "store", "accept_eviction": true, "cluster_mode": false}, "secret": [{"env": "SECRET"}], "lease": 45_000}),
        json!({"store": {"kind": "redis", "cluster": "store", "password": {"env": "PASSWORD"}, "cluster_mode": true}, "secret": [{"env": "SECRET"}]}),
        json!({
            "store": {"kind": "webdis", "cluster": "webdis:7379"}, "secret": [{"env": "NEW"}, {"env": "OLD"}],
            "home": {"by": {"header": "x-region"}, "map": {"eu": "webdis:7379"}}, "accept_reply_before_store": true,
        }),
    ]
}

fn protocol_health() -> Vec<Value> {
    let predicate = json!({
        "paths": ["/status"], "header": {"name": "x-status", "in": ["ok"]}, "json": {"pointer": "/status", "in": ["ok", 1, true, null]},
        "absent": "unknown", "outcome": "server_fault",
    });
    let limits = json!({"default": "10s", "max": "30s", "min": "100ms"});
    let edge = json!({
        "protocol": "auto", "healthz": "/healthz", "drain_cluster": "drain", "draining": false,
        "graphql": {
            "paths": ["/graphql"], "scan_bytes": 4096, "codes": {"UNAUTHENTICATED": "caller_fault", "BUSY": "overload"},
            "request_errors": "unknown", "null_is_no_data": true, "identity": false,
        },
        "deadline": {"default": "15s", "max": "60s", "min": "50ms", "strict": true, "grpc": limits, "graphql": limits},
        "probes": [
            {"path": "/healthz/grpc", "clusters": ["orders"], "protocol": "grpc", "service": "shop.Orders", "combine": "any", "timeout": "1s"},
            {"path": "/healthz/rest", "clusters": ["cart", "pay"], "fresh": "1s", "stale": "10s", "authority": "shop", "target": "/health?deep",
             "status": [204, "2xx"], "predicate": predicate},
            {"path": "/healthz/graphql", "clusters": ["search"], "protocol": "graphql", "target": "/graphql"},
        ],
    });
    let attempts = json!({
        "chain": "upstream", "headers_stop_iteration": true, "signal": "status", "status": 503, "predicate": predicate, "deadline": {}, "debug_token": {"env": "TOKEN"},
        "hold": {"time": "250ms", "max_bytes": 24576, "grpc_methods": ["/shop.Orders/Get", "/shop.Cart/*"]},
    });
    vec![with_common(edge), attempts, json!({"healthz": null, "deadline": {"max": null, "default": null, "min": 0}})]
}

fn metrics() -> Vec<Value> {
    let full = json!({
        "labels": {
            "tenant": {"header": "x-tenant", "allow": ["acme", "b.c_d-e"]}, "client": {"header": "x-client", "allow": []},
            "tier": {"header": "x-tier", "allow": ["gold"]},
        },
        "canary": {"header": "x-version", "allow": ["v1", "v2"]}, "graphql": {"paths": ["/graphql"]}, "max_series": 500, "region": null,
    });
    vec![
        with_common(full),
        json!({"canary": {"cluster": true}, "labels": null, "debug_token": {"env": "TOKEN"}}),
        json!({"chain": "upstream", "region": {"metadata": "region"}}),
    ]
}

/// Little of each plugin, whose settings are judged by themselves, and what only a suite has.
fn suite() -> Vec<Value> {
    let all = json!({
        "circuit_breaker": {"minimum_calls": 50, "mode": "enforce"}, "retry_budget": {"ratio": 0.1}, "metrics": {"max_series": 500},
        "idempotency": {"store": {"kind": "memory"}}, "protocol_health": {"healthz": null, "chain": "downstream"},
    });
    let attempts = json!({
        "chain": "upstream", "headers_stop_iteration": true, "idempotency": null,
        "circuit_breaker": {"window": {"calls": 50}}, "protocol_health": {"hold": {"time": "1s"}, "signal": "status", "status": 502, "predicate": {"json": {"pointer": "/ok", "in": [true]}}},
        "retry_budget": {"percent": 20, "interval": "5s", "minRetryRate": {"count": 1, "interval": "2s"}}, "metrics": {"region": {"metadata": "region"}},
    });
    let alone = json!({"circuit_breaker": {"timeout": 3000, "threshold": 0.5, "min_half_open_requests": 1, "window_size": "5s"}, "insecure_literal": true});
    vec![with_common(all), attempts, alone, json!({"mode": "dry_run", "metrics": {}})]
}

fn control() -> Vec<Value> {
    let literal =
        json!({"token": {"literal": "open sesame"}, "headers_stop_iteration": true, "insecure_literal": true});
    vec![json!({"token": {"env": "CONTROL"}, "headers_stop_iteration": true}), literal]
}
