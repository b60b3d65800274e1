//! What a refused request gets: an answer that says why, or a way around.

use crate::support::{
    GET, Plugin, SECOND, break_it, brisk, call, cause, cause_of, envoy, header, kong, metric, stored, worker,
};
use sdk_shim::fake::{FakeProxy, Headers};
use sdk_shim::host::Reply;

fn refusal(plugin: &Plugin, headers: impl Into<Headers>) -> Reply {
    let call = plugin.request(headers);
    let reply = call.reply().expect("it passed");
    call.finish();
    reply
}

fn broken(proxy: &FakeProxy, more: &str) -> Plugin {
    let plugin = worker(proxy, &brisk(more));
    break_it(&plugin);
    plugin
}

#[test]
fn by_default_it_is_problem_details_that_nobody_retries_at_once() {
    for proxy in [envoy(), kong()] {
        let reply = refusal(&broken(&proxy, r#""mode": "enforce""#), GET);
        assert_eq!((reply.status, reply.grpc_status, cause_of(&reply)), (503, None, "open".to_owned()));
        assert_eq!(header(&reply, "content-type").as_deref(), Some("application/problem+json"));
        assert_eq!(header(&reply, "x-envoy-ratelimited").as_deref(), Some("true"));
        let after: u64 = header(&reply, "retry-after").unwrap().parse().unwrap();
        assert!((1..=2).contains(&after), "{after}");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (&body["status"], &body["cause"], &body["retry_after_seconds"]),
            (&503.into(), &"open".into(), &after.into())
        );
    }
}

#[test]
fn a_grpc_request_is_told_unavailable() {
    let plugin = broken(&envoy(), r#""mode": "enforce""#);
    let call = plugin.request(Headers::from(GET).with("content-type", b"application/grpc+proto"));
    assert_eq!(call.reply().and_then(|reply| reply.grpc_status), Some(14));
    let ended = call.finish();
    assert_eq!((ended.status, ended.response.text("grpc-status").as_deref()), (Some(200), Some("14")));
}

#[test]
fn the_answer_can_be_configured_and_left_unmarked() {
    let reply =
        r#"{"status": 429, "headers": {"retry-after": "120", "content-type": "text/html"}, "body": "<p>Later</p>"}"#;
    let plugin = broken(&envoy(), &format!(r#""mark_rejections": false, "on_open": {{"reply": {reply}}}"#));
    let reply = refusal(&plugin, GET);
    assert_eq!((reply.status, reply.body.as_slice()), (429, &b"<p>Later</p>"[..]));
    let all = |name: &str| {
        reply.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(
        (all("retry-after"), all("content-type"), all("x-envoy-ratelimited")),
        (vec!["120"], vec!["text/html"], vec![])
    );
}

#[test]
fn clients_that_were_refused_together_dont_come_back_together() {
    let plugin = worker(&envoy(), r#"{"mode": "force_open", "open": {"base": "30s"}}"#);
    let waits: std::collections::BTreeSet<u64> =
        (0..200).map(|_| header(&refusal(&plugin, GET), "retry-after").unwrap().parse().unwrap()).collect();
    assert!(waits.len() > 10 && waits.first() >= Some(&30) && waits.last() <= Some(&45), "{waits:?}");
}

#[test]
fn access_logs_can_tell_why() {
    let plugin = broken(&envoy(), r#""mode": "enforce""#);
    let call = plugin.request(GET);
    assert_eq!(call.filter_state().get("holdfast.circuit_breaker").as_deref(), Some(&b"open"[..]));
    assert_eq!(call.filter_state().get("holdfast.circuit_breaker.phase").as_deref(), Some(&b"open"[..]));
    call.finish();
}

// --- the way around ---

const REROUTE: &str = r#""on_open": {"reroute": {"header": "x-go", "value": "west"}}"#;
const RESIDENT: &str =
    r#""on_open": {"reroute": {"header": "x-go", "value": "west", "only_if": {"header": "x-data", "in": ["public"]}}}"#;

#[test]
fn a_refused_request_goes_the_other_way() {
    let proxy = envoy();
    let plugin = broken(&proxy, REROUTE);
    let mut call = plugin.request(GET);
    assert!(call.passed());
    assert_eq!(call.request_header("x-go").as_deref(), Some("west"));
    call.respond(&[(":status", "500")], true);
    call.finish();
    assert_eq!(metric(&proxy, "rerouted_total"), 1);
    assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 2, "the other service's failure isn't this one's");
}

#[test]
fn only_what_may_leave_is_moved() {
    let plugin = broken(&envoy(), RESIDENT);
    let public = plugin.request(Headers::from(GET).with("x-data", b"public"));
    assert!(public.passed());
    public.finish();
    for data in [&b"personal"[..], b"", b"public ", b"\xFF"] {
        assert_eq!(refusal(&plugin, Headers::from(GET).with("x-data", data)).status, 503);
    }
    let twice = Headers::from(GET).with("x-data", b"public").with("x-data", b"personal");
    assert_eq!(refusal(&plugin, twice).status, 503, "a client may have put its own in front of a trusted one");
    assert_eq!(refusal(&plugin, GET).status, 503);
}

#[test]
fn a_healthy_request_is_not_rerouted_even_if_the_client_asks_for_it() {
    let proxy = envoy();
    let plugin = worker(&proxy, &brisk(REROUTE));
    assert!(call(&plugin, "200"));
    let mut spoofed = plugin.request(Headers::from(GET).with("x-go", b"west"));
    assert_eq!((spoofed.passed(), spoofed.request_header("x-go")), (true, None));
    spoofed.respond(&[(":status", "500")], true);
    spoofed.finish();
    assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 0, "whose key is unknown counts for none");
}

#[test]
fn a_spoofed_header_is_no_way_past_an_open_breaker() {
    let plugin = broken(&envoy(), RESIDENT);
    let reply = refusal(&plugin, Headers::from(GET).with("x-go", b"west").with("x-data", b"personal"));
    assert_eq!(cause_of(&reply), "open");
}

/// A request that is refused anyway must not take the probe's lease with it, or a client could keep a breaker open for ever.
#[test]
fn a_spoofed_header_cant_use_up_the_probe() {
    let proxy = envoy();
    let config = brisk(RESIDENT);
    let plugin = worker(&proxy, &config);
    break_it(&plugin);
    proxy.advance(SECOND);
    let spoofed = plugin.request(Headers::from(GET).with("x-go", b"west"));
    assert!(!spoofed.passed());
    spoofed.finish();
    assert_eq!(cause(&plugin), None, "an honest request is the probe");
    assert_eq!(stored(&plugin, &config).unwrap().opens, 1);
}

// --- for whoever may ask ---

#[test]
fn the_decision_is_shown_to_who_knows_the_token() {
    let proxy = envoy();
    proxy.set_env("TOKEN", "s3cret");
    let plugin = worker(&proxy, &brisk(r#""debug_token": {"env": "TOKEN"}"#));
    let ask = |token: &[u8]| {
        let mut call = plugin.request(Headers::from(GET).with("x-holdfast-debug", token));
        call.respond(&[(":status", "200")], true);
        let shown = call.response_header("x-holdfast-debug-circuit-breaker");
        call.finish();
        shown
    };
    let shown = ask(b"s3cret").unwrap();
    assert!(shown.ends_with("key=checkout; state=closed; generation=0"), "{shown}");
    assert_eq!([ask(b"s3cre"), ask(b"s3creT"), ask(b"\xFF"), ask(b"")], [const { None }; 4]);
}

#[test]
fn who_knows_the_token_is_told_of_a_refusal_too_and_the_token_goes_no_further() {
    let plugin = worker(&envoy(), &brisk(r#""debug_token": {"literal": "t"}, "insecure_literal": true"#));
    let asking = || plugin.request(Headers::from(GET).with("x-holdfast-debug", b"t"));
    let call = asking();
    assert_eq!((call.passed(), call.request_header("x-holdfast-debug")), (true, None));
    call.finish();
    break_it(&plugin);
    let call = asking();
    let shown = header(&call.reply().unwrap(), "x-holdfast-debug-circuit-breaker").unwrap();
    assert!(shown.contains("state=open"), "{shown}");
    call.finish();
}

#[test]
fn a_token_that_the_environment_lacks_is_refused_at_configure() {
    let faults = sdk_shim::fake::Worker::<circuit_breaker::CircuitBreaker>::start(
        &envoy().worker(),
        r#"{"debug_token": {"env": "TOKEN"}}"#,
    );
    assert_eq!(faults.unwrap_err().iter().next().unwrap().path, "$.debug_token");
}
