//! Modules of their own, one behind the other, as Kong's users write them: a filter in front sees the answers of those behind it, and takes none for the service's.

use crate::support::GET;
use circuit_breaker::CircuitBreaker;
use core::time::Duration;
use idempotency::Idempotency;
use metrics::Metrics;
use protocol_health::ProtocolHealth;
use retry_budget::RetryBudget;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::{FakeHost, FakeProxy, Headers, InFlight, Opening, Worker};
use sdk_shim::host::{Host as _, Reply};

/// Opens at the second failure in a row, and then for a second.
const BRISK: &str = r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2, "open": {"base": "1s", "jitter": 0},
    "recovery": {"over": 0}}"#;
const NO_RETRIES: &str = r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#;
const LIMITED: &str = r#"{"deadline": {"strict": true, "min": "0s"}, "allow_degraded": true, "draining": true}"#;
const KEYS: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true}"#;
const KONGS_KEYS: &str = r#"{"store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true}"#;
const FORCED: &str = r#"{"instance": "behind", "mode": "force_open"}"#;

fn both() -> [FakeProxy; 2] {
    let [envoy, kong] = [FakeProxy::envoy(), FakeProxy::wasmx()];
    envoy.stop_iteration(true);
    envoy.set("xds.route_name", "checkout");
    kong.set("kong.route_id", "checkout");
    kong.set("kong.service_id", "payments");
    [envoy, kong]
}

fn start<P: Plugin<FakeHost>>(proxy: &FakeProxy, config: &str) -> Worker<P> {
    Worker::start(&proxy.worker(), config).unwrap_or_else(|faults| panic!("{faults}"))
}

fn get(name: &str, value: &str) -> (Headers, &'static [u8]) {
    (Headers::from(GET).with(name, value.as_bytes()), b"")
}

fn pay(body: &'static [u8]) -> (Headers, &'static [u8]) {
    let headers = [(":method", "POST"), (":path", "/pay"), (":authority", "shop"), ("idempotency-key", "\"k\"")];
    (Headers::from(&headers).with("content-length", body.len().to_string().as_bytes()), body)
}

fn arrive<P: Plugin<FakeHost>>(stream: Opening<P>, (headers, body): &(Headers, &'static [u8])) -> InFlight<P> {
    let stream = if body.is_empty() { stream } else { stream.with_body() };
    let mut call = stream.request(headers.clone());
    if !body.is_empty() {
        call.request_body(body, true);
    }
    call
}

/// A request passes the filter in front, and the one behind it answers; gives that answer.
fn answered<F: Plugin<FakeHost>, B: Plugin<FakeHost>>(
    front: &Worker<F>,
    behind: &Worker<B>,
    request: &(Headers, &'static [u8]),
) -> Reply {
    // What Envoy says where no router was asked.
    let mut call = arrive(front.stream().property_number("upstream.request_attempt_count", 0), request);
    assert!(call.passed(), "{:?}", call.reply());
    let inner = arrive(behind.stream().sharing(&call.filter_state()), request);
    let reply = inner.reply().expect("an answer of the filter behind");
    inner.finish();
    let status = reply.status.to_string();
    let headers = Headers::from(&reply.headers[..]).with(":status", status.as_bytes());
    call.respond_locally(headers, false).body(&reply.body, true);
    call.finish();
    reply
}

/// The service answers what passes; gives whether it did.
fn call<P: Plugin<FakeHost>>(plugin: &Worker<P>, status: &str) -> bool {
    let mut call = plugin.request(GET);
    let passed = call.passed();
    if passed {
        call.respond(&[(":status", status)], true);
    }
    call.finish();
    passed
}

/// What the store keeps of a payment that ran before.
fn paid(proxy: &FakeProxy) -> Worker<Idempotency> {
    let holds = proxy.worker().capabilities().pause_response_headers;
    let keys = start::<Idempotency>(proxy, if holds { KEYS } else { KONGS_KEYS });
    let mut first = arrive(keys.stream(), &pay(b"10"));
    first.respond(&[(":status", "201"), ("content-length", "2")], false).body(b"ok", true);
    first.finish();
    keys
}

fn breaker(proxy: &FakeProxy, what: &str) -> u64 {
    proxy.metric(&format!("holdfast_circuit_breaker_{what};chain=downstream;instance=default;key=checkout"))
}

fn counted(proxy: &FakeProxy, what: &str) -> u64 {
    let is = |name: &str| {
        let (metric, label) = what.split_once(';').unwrap_or((what, ""));
        name.starts_with(&format!("holdfast_{metric};")) && name.contains(label)
    };
    proxy.metrics().iter().filter(|(name, _)| is(name)).map(|(_, total)| total).sum()
}

/// Every way in which a plugin of ours answers: what the request is, and the answer's status.
fn each_answer<F: Plugin<FakeHost>>(proxy: &FakeProxy, front: &Worker<F>, mut check: impl FnMut(&str)) {
    let budget = start::<RetryBudget>(proxy, NO_RETRIES);
    let health = start::<ProtocolHealth>(proxy, LIMITED);
    let keys = paid(proxy);
    let other = start::<CircuitBreaker>(proxy, FORCED);
    let mut told = |reply: Reply, status: u16| {
        assert_eq!(reply.status, status);
        check(reply.headers.iter().find(|(name, _)| name == "x-holdfast-reject").map_or("", |(_, value)| value));
    };
    for _ in 0..3 {
        told(answered(front, &budget, &get("x-retry-attempt", "1")), 503);
        told(answered(front, &health, &get("x-request-timeout", "0")), 504);
        told(answered(front, &health, &get("x-request-timeout", "soon")), 400);
        let probe = Headers::from(&[(":method", "GET"), (":path", "/healthz"), (":authority", "shop")]);
        told(answered(front, &health, &(probe, b"")), 503);
        told(answered(front, &keys, &pay(b"11")), 422);
        told(answered(front, &keys, &pay(b"10")), 201);
        told(answered(front, &other, &get("x", "y")), 503);
    }
}

#[test]
fn no_answer_of_ours_speaks_of_the_service() {
    for proxy in both() {
        let front = start::<CircuitBreaker>(&proxy, BRISK);
        // Beside failures each answer is looked at.
        assert!(call(&front, "500"));
        each_answer(&proxy, &front, |_| ());
        assert_eq!(
            [breaker(&proxy, "calls_total;outcome=failure"), counted(&proxy, "circuit_breaker_calls_total")],
            [0, 1]
        );
        assert!(call(&front, "500"), "nothing came between the two");
        assert!(!call(&front, "200"), "and two are enough");
        assert!(front.host().traps().is_empty());
    }
}

#[test]
fn no_answer_of_ours_closes_a_breaker_that_probes() {
    for proxy in both() {
        let (front, keys) = (start::<CircuitBreaker>(&proxy, BRISK), paid(&proxy));
        assert!(call(&front, "500") && call(&front, "500") && !call(&front, "200"));
        proxy.advance(Duration::from_secs(1));
        assert_eq!(answered(&front, &keys, &pay(b"10")).status, 201);
        assert_eq!(counted(&proxy, "circuit_breaker_transitions_total;to=closed"), 0, "a receipt is no sign of life");
        assert!(call(&front, "500"), "the next one is the probe");
        assert!(!call(&front, "200"), "and the service is still ill");
    }
}

#[test]
fn each_answer_of_ours_counts_as_what_it_is() {
    for proxy in both() {
        let front = start::<Metrics>(&proxy, "{}");
        let mut refused = 0;
        each_answer(&proxy, &front, |reject| refused += u64::from(!reject.is_empty()));
        for (plugin, cause) in [
            ("retry-budget", "client_retry"),
            ("protocol-health", "deadline"),
            ("protocol-health", "malformed_deadline"),
            ("idempotency", "mismatch"),
            ("circuit-breaker", "forced"),
        ] {
            assert_eq!(counted(&proxy, &format!("rejections_total;plugin={plugin};cause={cause}")), 3, "{plugin}");
        }
        assert_eq!(refused, 15);
        // A node that drains says so on purpose.
        assert_eq!(counted(&proxy, "requests_total;outcome=local_reject"), 15 + 3);
        assert_eq!(counted(&proxy, "requests_total;outcome=replay"), 3);
        assert_eq!(counted(&proxy, "requests_total"), 21);
    }
}

#[test]
fn no_answer_of_ours_is_an_attempt() {
    let [_, proxy] = both();
    let front = start::<ProtocolHealth>(&proxy, r#"{"allow_degraded": true}"#);
    let budget = start::<RetryBudget>(&proxy, NO_RETRIES);
    answered(&front, &budget, &get("x-retry-attempt", "1"));
    assert_eq!(counted(&proxy, "protocol_health_attempts_total"), 0);
    assert!(call(&front, "503"));
    assert_eq!(counted(&proxy, "protocol_health_attempts_total;outcome=server_fault"), 1);
}
