//! The control entry on the fake host, beside the plugins that it speaks of: each in a VM of its own, as in a proxy.
#![allow(missing_docs)]

use circuit_breaker::CircuitBreaker;
use control::Control;
use control::state::{Looks, Plugin};
use core::time::Duration;
use proptest::prelude::*;
use retry_budget::RetryBudget;
use sdk_shim::fake::{FakeHost, FakeProxy, Worker};
use sdk_shim::host::Reply;
use serde_json::{Value, json};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];
/// Opens at the second of two failures in a row.
const BRISK: &str =
    r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2, "open": {"base": "60s", "jitter": 0}}"#;

/// A proxy with a breaker in two workers, and the control entry in one.
struct Stage {
    proxy: FakeProxy,
    breakers: [Worker<CircuitBreaker>; 2],
    control: Worker<Control>,
}

fn started<P: sdk_shim::entry::Plugin<FakeHost>>(proxy: &FakeProxy, config: &str) -> Worker<P> {
    Worker::start(&proxy.worker(), config).unwrap_or_else(|faults| panic!("{faults}"))
}

impl Stage {
    fn set() -> Self {
        let proxy = FakeProxy::envoy();
        proxy.stop_iteration(true);
        proxy.set("xds.route_name", "checkout");
        proxy.set_env("TOKEN", TOKEN);
        let breakers = [started(&proxy, BRISK), started(&proxy, BRISK)];
        let control = started(&proxy, r#"{"token": {"env": "TOKEN"}, "headers_stop_iteration": true}"#);
        let stage = Self { proxy, breakers, control };
        stage.tick();
        stage
    }

    fn tick(&self) {
        self.breakers.iter().for_each(Worker::tick);
    }

    /// A request through a worker: whether it passed.
    fn passes(&self, worker: usize, status: &str) -> bool {
        let mut call = self.breakers[worker].request(GET);
        let passed = call.passed();
        if passed {
            call.respond(&[(":status", status)], true);
        }
        call.finish();
        passed
    }

    fn ask(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Reply {
        let headers = [(":method", method), (":path", path), (":authority", "control"), ("authorization", token)];
        let mut call = if body.is_empty() {
            self.control.request(&headers[..])
        } else {
            let mut call = self.control.stream().with_body().request(&headers[..]);
            if call.reply().is_none() {
                assert!(call.paused(), "it waits for the order");
                call.request_body(body, true);
            }
            call
        };
        let reply = call.reply().expect("an answer");
        assert!(!call.passed());
        call.set("source.address", "127.0.0.1:1");
        call.finish();
        reply
    }

    fn state(&self) -> Value {
        let reply = self.ask("GET", "/state", &format!("Bearer {TOKEN}"), b"");
        assert_eq!(reply.status, 200);
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// What is shown of the breaker's key.
    fn shown(&self) -> Value {
        self.state()["plugins"][0]["keys"][0].clone()
    }

    fn order(&self, order: &Value) -> (u16, Value) {
        let reply = self.ask("POST", "/override", &format!("Bearer {TOKEN}"), order.to_string().as_bytes());
        (reply.status, serde_json::from_slice(&reply.body).expect("JSON"))
    }

    fn force(&self, mode: &str) -> (u16, Value) {
        self.order(&json!({"plugin": "circuit-breaker", "key": "checkout", "mode": mode, "for": "10m"}))
    }
}

// --- state ---

#[test]
fn an_operator_sees_which_breaker_is_open_and_for_how_long() {
    let stage = Stage::set();
    assert!(stage.passes(1, "200") && stage.passes(0, "500") && stage.passes(0, "500"));
    let page = stage.state();
    let plugin = &page["plugins"][0];
    assert_eq!(
        (&plugin["plugin"], &plugin["chain"], &plugin["instance"]),
        (&json!("circuit-breaker"), &json!("downstream"), &json!("default"))
    );
    assert_eq!(plugin["config"].as_str().map(str::len), Some(8));
    assert_eq!(plugin["keys_total"], 1);
    let key = &plugin["keys"][0];
    assert_eq!(
        (&key["key"], &key["state"], &key["opens"], &key["override"]),
        (&json!("checkout"), &json!("open"), &json!(1), &Value::Null)
    );
    assert_eq!(key["calls_total"], json!({"success": 1, "failure": 2, "slow": 0, "throttled": 0}));
    assert_eq!(key["until_ms"].as_u64().unwrap() - page["now_ms"].as_u64().unwrap(), 60_000);
}

#[test]
fn a_plugin_without_keys_is_shown_with_its_configuration() {
    let stage = Stage::set();
    let control = &stage.state()["plugins"][1];
    assert_eq!((&control["plugin"], &control["keys"]), (&json!("control"), &Value::Null));
    assert_eq!(stage.state()["plugins"][0]["keys"], json!([]), "nobody has called yet");
}

#[test]
fn a_page_of_many_keys_ends_where_it_is_told_to() {
    let stage = Stage::set();
    for route in ["a", "b", "c"] {
        stage.proxy.set("xds.route_name", route);
        stage.passes(0, "200");
    }
    let reply = stage.ask("GET", "/state?limit=2", &format!("Bearer {TOKEN}"), b"");
    let page: Value = serde_json::from_slice(&reply.body).unwrap();
    let plugin = &page["plugins"][0];
    assert_eq!((plugin["keys"].as_array().map(Vec::len), &plugin["keys_total"]), (Some(2), &json!(3)));
}

#[test]
fn looking_again_and_again_makes_no_more_metrics() {
    let stage = Stage::set();
    stage.passes(0, "200");
    stage.state();
    let defined = |stage: &Stage| {
        stage.control.host().calls().iter().filter(|call| format!("{call:?}").contains("Define")).count()
    };
    let once = defined(&stage);
    stage.state();
    stage.force("force_open");
    assert_eq!(defined(&stage), once);
}

/// A proxy keeps each metric for ever, and each look at one.
#[test]
fn a_look_at_one_key_too_many_makes_no_metrics() {
    let stage = Stage::set();
    let host = stage.control.host();
    let entries = sdk_shim::directory::plugins(host).unwrap();
    let place = entries.iter().find_map(|entry| entry.place.as_ref()).expect("the breaker's");
    let looks = Looks::at_most(3);
    let look = |key: &str| looks.known(host, Plugin::CircuitBreaker, "downstream", "default", place, key).is_some();
    assert!((0..3).all(|n| look(&format!("k{n}"))));
    let before = stage.proxy.metrics().len();
    assert!(!look("one more") && look("k0"));
    assert_eq!(stage.proxy.metrics().len(), before);
}

#[test]
fn a_new_meaning_is_shown_in_the_place_of_the_former_one() {
    let stage = Stage::set();
    stage.passes(0, "200");
    // The same window means the same counts; another one begins afresh, and so does the operator's view.
    let pushed: Worker<CircuitBreaker> = started(&stage.proxy, r#"{"window": {"time": "20s"}}"#);
    pushed.tick();
    assert_eq!(stage.state()["plugins"][0]["keys"], json!([]));
    pushed.request(GET).finish();
    assert_eq!(stage.shown()["key"], "checkout");
    // Rolled back.
    let back: Worker<CircuitBreaker> = started(&stage.proxy, BRISK);
    back.tick();
    assert_eq!(stage.shown()["calls_total"]["success"], 1);
}

// --- override ---

#[test]
fn an_order_is_obeyed_by_every_worker_and_ends_by_itself() {
    let stage = Stage::set();
    assert!(stage.passes(0, "200") && stage.passes(1, "200"));
    let (status, told) = stage.force("force_open");
    assert_eq!((status, &told["keys"], &told["mode"]), (200, &json!(["checkout"]), &json!("force_open")), "{told}");
    stage.proxy.advance(Duration::from_millis(10));
    assert!(!stage.passes(0, "200") && !stage.passes(1, "200"));
    assert_eq!(stage.shown()["override"]["mode"], "force_open");
    stage.proxy.advance(Duration::from_secs(599));
    assert!(!stage.passes(0, "200"));
    stage.proxy.advance(Duration::from_secs(1));
    assert!(stage.passes(0, "200") && stage.passes(1, "200"));
    assert_eq!(stage.shown()["override"], Value::Null);
}

#[test]
fn an_order_is_lifted_before_its_time() {
    let stage = Stage::set();
    stage.passes(0, "200");
    stage.force("force_open");
    stage.proxy.advance(Duration::from_millis(10));
    assert!(!stage.passes(0, "200"));
    let (status, told) = stage.order(&json!({"plugin": "circuit-breaker", "key": "checkout", "mode": "none"}));
    assert_eq!((status, &told["mode"], &told["until_ms"]), (200, &Value::Null, &Value::Null));
    stage.proxy.advance(Duration::from_millis(10));
    assert!(stage.passes(0, "200") && stage.passes(1, "200"));
}

#[test]
fn an_open_breaker_is_released_and_what_it_knew_stays() {
    let stage = Stage::set();
    stage.passes(0, "500");
    stage.passes(0, "500");
    assert!(!stage.passes(0, "200"));
    stage.force("force_closed");
    stage.proxy.advance(Duration::from_millis(10));
    assert!(stage.passes(0, "200") && stage.passes(1, "200"));
    let key = stage.shown();
    assert_eq!((&key["state"], &key["generation"]), (&json!("open"), &json!(1)), "it is as open as before afterwards");
}

#[test]
fn a_star_is_every_key_of_the_instance() {
    let stage = Stage::set();
    for route in ["a", "b"] {
        stage.proxy.set("xds.route_name", route);
        stage.passes(0, "200");
    }
    let (_, told) = stage.order(&json!({"plugin": "circuit-breaker", "key": "*", "mode": "force_open", "for": "5m"}));
    assert_eq!((&told["keys"], &told["keys_total"]), (&json!(["a", "b"]), &json!(2)));
    stage.proxy.advance(Duration::from_millis(10));
    assert!(!stage.passes(0, "200"));
    stage.proxy.set("xds.route_name", "a");
    assert!(!stage.passes(1, "200"));
}

#[test]
fn a_budget_only_watches_for_a_while() {
    let stage = Stage::set();
    let budget: Worker<RetryBudget> =
        started(&stage.proxy, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    // Whether the router may try again.
    let retries = |stage: &Stage| {
        let mut call = budget.attempt(1, GET);
        call.respond(&[(":status", "503")], true);
        let vetoed = call.response_header("x-envoy-ratelimited").is_some();
        call.finish();
        stage.proxy.advance(Duration::from_millis(10));
        !vetoed
    };
    assert!(!retries(&stage), "none is allowed");
    budget.tick();
    let (status, told) =
        stage.order(&json!({"plugin": "retry-budget", "key": "checkout", "mode": "dry_run", "for": "1m"}));
    assert_eq!((status, &told["chain"]), (200, &json!("upstream")), "{told}");
    stage.proxy.advance(Duration::from_millis(10));
    assert!(retries(&stage));
    let page = stage.state();
    let shown = page["plugins"].as_array().unwrap().iter().find(|plugin| plugin["plugin"] == "retry-budget").unwrap();
    assert_eq!(shown["keys"][0]["override"]["mode"], "dry_run", "{shown}");
    stage.proxy.advance(Duration::from_secs(60));
    assert!(!retries(&stage));
}

#[test]
fn an_order_for_nothing_names_what_there_is() {
    let stage = Stage::set();
    stage.passes(0, "200");
    let order = |change: Value| {
        let mut order = json!({"plugin": "circuit-breaker", "key": "checkout", "mode": "dry_run", "for": "1m"});
        order.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        stage.order(&order)
    };
    let (status, told) = order(json!({"key": "chekout"}));
    assert_eq!((status, &told["keys"]), (404, &json!(["checkout"])));
    for change in [json!({"instance": "other"}), json!({"chain": "upstream"}), json!({"plugin": "retry-budget"})] {
        let (status, told) = order(change);
        assert_eq!((status, &told["instances"]), (404, &json!(["circuit-breaker;downstream;default"])));
    }
}

#[test]
fn every_fault_of_an_order_is_told_at_once() {
    let stage = Stage::set();
    stage.passes(0, "200");
    let faults = |order: &str| {
        let reply = stage.ask("POST", "/override", &format!("Bearer {TOKEN}"), order.as_bytes());
        assert_eq!(reply.status, 400, "{order}");
        let told: Value = serde_json::from_slice(&reply.body).unwrap();
        told["faults"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| fault.as_str().unwrap().split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(faults("{}"), ["$.plugin", "$.key", "$.mode"]);
    assert_eq!(
        faults(r#"{"plugin": "breaker", "key": "", "mode": "open", "for": "2h", "x": 1}"#),
        ["$.plugin", "$.mode", "$.for", "$.key", "$.x"]
    );
    assert_eq!(faults(r#"{"plugin": "circuit-breaker", "key": "a", "mode": "dry_run"}"#), ["$.for"]);
    assert_eq!(faults(r#"{"plugin": "circuit-breaker", "key": "a", "mode": "none", "for": "1m"}"#), ["$.for"]);
    assert_eq!(faults(r#"{"plugin": "retry-budget", "key": "a", "mode": "force_open", "for": "1m"}"#), ["$.mode"]);
    assert_eq!(faults("[]"), ["$"]);
    assert_eq!(faults("no JSON"), ["$"]);
    assert_eq!(stage.shown()["override"], Value::Null, "nothing half-applied");
}

#[test]
fn an_order_without_a_body_or_with_too_long_a_one_is_refused() {
    let stage = Stage::set();
    let token = format!("Bearer {TOKEN}");
    assert_eq!(stage.ask("POST", "/override", &token, b"").status, 400);
    assert_eq!(stage.ask("POST", "/override", &token, &[b' '; 4_097]).status, 413);
}

#[test]
fn a_stand_in_that_the_breaker_never_acts_on_is_no_key_for_an_order() {
    let stage = Stage::set();
    let config = r#"{"instance": "tenants", "key": ["route", "header:x-tenant"], "max_keys": 2}"#;
    let tenants: Worker<CircuitBreaker> = started(&stage.proxy, config);
    let passes = |tenant: &str| {
        let mut call = tenants.request(&*[GET, &[("x-tenant", tenant)][..]].concat());
        let passed = call.passed();
        if passed {
            call.respond(&[(":status", "200")], true);
        }
        call.finish();
        passed
    };
    assert!(passes("a") && passes("b"), "b has no room: it is checkout--_other");
    tenants.tick();
    let order = |key: &str| {
        stage.order(&json!({"plugin": "circuit-breaker", "instance": "tenants", "key": key, "mode": "force_open", "for": "10m"}))
    };
    for key in ["checkout--_other", "*"] {
        let (status, told) = order(key);
        stage.proxy.advance(Duration::from_millis(20));
        let said = status == 200 && told["keys"].as_array().unwrap().contains(&json!("checkout--_other"));
        assert!(!said || !passes("b"), "said to be set for it, and it passes: {told}");
    }
    assert!(!passes("a"));
}

#[test]
fn an_order_for_all_keys_of_nothing_is_no_success() {
    let stage = Stage::set();
    let (status, told) =
        stage.order(&json!({"plugin": "circuit-breaker", "key": "*", "mode": "force_open", "for": "5m"}));
    assert_eq!((status, &told["keys"]), (404, &json!([])), "nobody is told that it is set: {told}");
}

#[test]
fn a_configuration_that_was_replaced_before_its_first_tick_draws_no_orders_to_itself() {
    let stage = Stage::set();
    let replaced: Worker<CircuitBreaker> = started(&stage.proxy, r#"{"window": {"time": "60s"}}"#);
    replaced.request(GET).finish();
    let serving: Worker<CircuitBreaker> = started(&stage.proxy, r#"{"window": {"time": "20s"}}"#);
    serving.request(GET).finish();
    serving.tick();
    replaced.tick();
    let (status, told) = stage.force("force_open");
    assert_eq!(status, 200, "{told}");
    stage.proxy.advance(Duration::from_millis(20));
    assert!(!serving.request(GET).passed());
    assert_eq!(stage.shown()["override"]["mode"], "force_open");
}

#[test]
fn an_order_to_refuse_everything_is_not_obeyed_by_a_share_of_the_requests() {
    let stage = Stage::set();
    let breaker: Worker<CircuitBreaker> = started(&stage.proxy, r#"{"instance": "rollout", "enforce_ratio": 0}"#);
    breaker.request(GET).finish();
    breaker.tick();
    let (status, told) = stage.order(&json!({"plugin": "circuit-breaker", "instance": "rollout", "key": "checkout", "mode": "force_open", "for": "10m"}));
    assert_eq!(status, 200, "{told}");
    stage.proxy.advance(Duration::from_millis(20));
    assert!(!breaker.request(GET).passed());
}

#[test]
fn a_budget_that_only_watches_for_a_while_keeps_no_router_from_trying_again() {
    let stage = Stage::set();
    let up: Worker<RetryBudget> =
        started(&stage.proxy, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let down: Worker<RetryBudget> =
        started(&stage.proxy, r#"{"chain": "downstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let attempt = || {
        let mut call = up.attempt(1, GET);
        call.respond(&[(":status", "503")], true);
        let vetoed = call.response_header("x-envoy-ratelimited").is_some();
        call.finish();
        vetoed
    };
    assert!(attempt(), "none is allowed");
    up.tick();
    let steered = || {
        let mut call = down.request(GET);
        let steered = call.request_header("x-envoy-max-retries").is_some();
        call.respond(&[(":status", "200")], true);
        call.finish();
        steered
    };
    stage.proxy.advance(Duration::from_millis(20));
    assert!(steered());
    let (status, told) =
        stage.order(&json!({"plugin": "retry-budget", "key": "checkout", "mode": "dry_run", "for": "30m"}));
    assert_eq!(status, 200, "{told}");
    for _ in 0..60 {
        stage.proxy.advance(Duration::from_secs(1));
        up.tick();
        assert!(!attempt(), "dry run");
    }
    assert!(!steered(), "a minute into the dry run the router is still kept from retrying");
}

// --- who may ---

#[test]
fn nobody_is_answered_without_the_token() {
    let stage = Stage::set();
    stage.passes(0, "200");
    let order = json!({"plugin": "circuit-breaker", "key": "*", "mode": "force_open", "for": "1h"}).to_string();
    for token in ["", "Bearer", "Bearer x", TOKEN, &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN}x")] {
        for (method, path, body) in [("GET", "/state", ""), ("POST", "/override", order.as_str()), ("GET", "/", "")] {
            let reply = stage.ask(method, path, token, body.as_bytes());
            assert_eq!(reply.status, 401);
            assert!(!String::from_utf8(reply.body).unwrap().contains("state"), "it learns nothing");
            assert!(reply.headers.contains(&("www-authenticate".to_owned(), "Bearer".to_owned())));
        }
    }
    stage.proxy.advance(Duration::from_millis(10));
    assert!(stage.passes(0, "200"));
    let logs = stage.control.host().logs();
    assert!(logs.iter().any(|log| log.line.contains("unauthorized")));
    assert!(logs.iter().all(|log| !log.line.contains(TOKEN)));
}

#[test]
fn each_order_is_in_the_log() {
    let stage = Stage::set();
    stage.passes(0, "200");
    stage.force("force_open");
    let logs = stage.control.host().logs();
    let line: Value = serde_json::from_str(&logs.last().unwrap().line).unwrap();
    assert_eq!(
        (&line["event"], &line["of"], &line["key"], &line["mode"], &line["seconds"], &line["keys"]),
        (
            &json!("override"),
            &json!("circuit-breaker;downstream;default"),
            &json!("checkout"),
            &json!("force_open"),
            &json!(600),
            &json!(1)
        )
    );
}

// --- faults ---

#[test]
fn a_store_that_is_down_is_said_and_nothing_is_claimed() {
    let stage = Stage::set();
    stage.passes(0, "200");
    stage.proxy.fail_shared(true);
    assert_eq!(stage.ask("GET", "/state", &format!("Bearer {TOKEN}"), b"").status, 503);
    let (status, told) = stage.force("force_open");
    assert_eq!((status, &told["set"]), (503, &json!(0)));
    stage.proxy.fail_shared(false);
    assert_eq!(stage.shown()["override"], Value::Null);
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_faults() {
    let proxy = FakeProxy::envoy();
    proxy.stop_iteration(true);
    proxy.set_env("SHORT", "swordfish");
    let refused = |proxy: &FakeProxy, config: &str| match Worker::<Control>::start(&proxy.worker(), config) {
        Ok(_) => panic!("{config} was taken"),
        Err(faults) => faults.to_string(),
    };
    let told = refused(&proxy, "{}");
    assert!(told.contains("$.token") && told.contains("$.headers_stop_iteration"), "{told}");
    let told = refused(&proxy, r#"{"token": {"env": "SHORT"}, "headers_stop_iteration": true}"#);
    assert!(told.contains("9 characters") && !told.contains("swordfish"), "{told}");
    assert!(refused(&proxy, r#"{"token": {"env": "ABSENT"}, "headers_stop_iteration": true}"#).contains("ABSENT"));
    assert!(
        refused(&proxy, &format!(r#"{{"token": {{"literal": "{TOKEN}"}}, "headers_stop_iteration": true}}"#))
            .contains("insecure_literal")
    );
    let kong = FakeProxy::wasmx();
    let config =
        format!(r#"{{"token": {{"literal": "{TOKEN}"}}, "insecure_literal": true, "headers_stop_iteration": true}}"#);
    assert!(refused(&kong, &config).contains("pause_without_call"), "Envoy only");
}

proptest! {
    /// Whoever has the token, and a finger on every key.
    #[test]
    fn no_bytes_of_an_order_trap_or_wedge(body in prop::collection::vec(any::<u8>(), 1..200), cut in 0..200_usize) {
        let stage = Stage::set();
        let token = format!("Bearer {TOKEN}");
        let headers = [(":method", "POST"), (":path", "/override"), ("authorization", token.as_str())];
        let mut call = stage.control.stream().with_body().request(&headers[..]);
        let (first, rest) = body.split_at(cut.min(body.len()));
        call.request_body(first, false);
        call.request_body(rest, true);
        prop_assert_eq!(call.reply().map(|reply| reply.status), Some(400));
        call.finish();
        prop_assert!(stage.control.host().traps().is_empty());
    }
}
