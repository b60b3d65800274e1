//! Attempts to make the breaker decide wrongly: clients that stall, streams that never end, filters that answer in between,
//! pushes and overrides at the worst moment.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod adversary;
mod story_b;

use std::thread::sleep;
use std::time::Duration;

use integration::client::{self, Sse};
use integration::{
    Call, Envoy, Fault, TestResult, Upstream, Wasm, config, envoy, eventually, eventually_eq, throughout,
};
use serde_json::{Value, json};
use story_b::{SOON, breaker, counted, everyone, hooked, is_refused, open_the_breaker, policy, proxy, status, turned};

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.http";
/// Longer than a tick and a request.
const A_WHILE: Duration = Duration::from_millis(300);
/// Longer than between two looks of a worker at what the others counted.
const A_LOOK: Duration = Duration::from_millis(800);
/// Open for this long the first time, and for half a minute the second time: who opens again without reason is seen.
const ONCE: Duration = Duration::from_millis(300);

fn once() -> Value {
    json!({"base": "300ms", "factor": 100, "max": "30s", "jitter": 0})
}

/// Envoy with one filter, one route and one cluster `up` on this port.
fn before(port: u16, filter: &Value, route: Value) -> TestResult<(Envoy, u16)> {
    let listener = config::listener("edge", std::slice::from_ref(filter), &[route]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("up", &[port])]))?;
    let edge = envoy.port("edge")?;
    Ok((envoy, edge))
}

/// Opens the breaker before [`adversary::many_ways`], and waits until it would probe.
fn open_and_wait(edge: u16) -> TestResult {
    let sick = Call::get(edge, "/sick").timeout(Duration::from_secs(2));
    eventually("the breaker opens", SOON, || sick.send().map(|reply| reply.rejected_by().is_some()))?;
    sleep(ONCE + A_WHILE);
    Ok(())
}

// --- clients that take their time ---

/// Was wrong once: latency runs from the request's headers, so the time that a client takes for its body is held against the service, and
/// whoever uploads slowly (a phone, an attacker) opens the breaker for everybody.
#[test]
fn a_client_that_uploads_slowly_makes_no_slow_service() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[breaker(json!({"window": {"time": "5s"}, "slow_call": "300ms"}))?.filter()], &orders)?;
    let clients = (0..6).map(|_| adversary::trickle(edge, Duration::from_millis(120))).collect();
    adversary::all_answered(clients, "HTTP/1.1 200")?;
    sleep(A_WHILE);
    assert_eq!((status(edge)?, turned(&envoy, "open")?), (200, 0), "the service answered each of them at once");
    Ok(())
}

/// Was wrong once: the lease of a probe whose client never finishes its request runs out, and that is taken for a failure of the
/// service: one stalled client per open time keeps a healthy service away from everybody.
#[test]
fn a_client_that_stalls_as_a_probe_says_nothing_of_the_service() -> TestResult {
    let orders = Upstream::start("orders")?;
    let policy = json!({"open": once(), "half_open": {"timeout": "500ms"}});
    let (envoy, edge) = proxy(&[breaker(policy)?.filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    sleep(ONCE + A_WHILE);
    let _stalled = adversary::begin_upload(edge)?;
    eventually_eq("it is the probe", SOON, &1, || turned(&envoy, "half_open"))?;
    let served = eventually("an honest client is served", Duration::from_secs(3), || status(edge).map(|s| s == 200));
    assert_eq!(turned(&envoy, "open")?, 1, "the stalled client opened it again");
    served
}

// --- streams ---

/// Was wrong once: a gRPC call is judged by its trailers only, so a stream that is alive and well lets its lease run out and opens the
/// breaker again: a service of long streams (watches) never comes back.
#[test]
fn a_grpc_stream_that_goes_on_is_no_failed_probe() -> TestResult {
    let filter = breaker(json!({"open": once(), "half_open": {"timeout": "500ms"}}))?.filter();
    let (envoy, edge) = before(adversary::service(adversary::many_ways)?, &filter, story_b::route())?;
    open_and_wait(edge)?;
    let stream = Sse::from_call(&Call::post(edge, "/watch", b"watch"))?;
    assert_eq!(stream.status, 200, "the probe");
    sleep(Duration::from_secs(1));
    assert_eq!((stream.status, turned(&envoy, "open")?), (200, 1), "its lease ran out while messages came");
    Ok(())
}

/// Was wrong once: and where clients end their streams themselves, as they do, no probe ever succeeds: half-open for good.
#[test]
fn a_grpc_stream_that_its_client_ends_has_shown_that_the_service_works() -> TestResult {
    let filter = breaker(json!({"open": once()}))?.filter();
    let (envoy, edge) = before(adversary::service(adversary::many_ways)?, &filter, story_b::route())?;
    open_and_wait(edge)?;
    for _ in 0..5 {
        drop(Sse::from_call(&Call::post(edge, "/watch", b"watch"))?);
        sleep(A_WHILE);
    }
    assert_eq!(turned(&envoy, "closed")?, 1, "five clients were served");
    Ok(())
}

/// Was wrong once: the answer to CONNECT is 200, not 101, so a tunnel is measured to its end like a call.
#[test]
fn a_tunnel_is_a_stream() -> TestResult {
    let breaker = breaker(json!({"measure": "completion", "slow_call": "300ms", "window": {"time": "5s"}}))?;
    let connect = json!({"upgrade_type": "CONNECT"});
    let upgrade = config::patch(connect.clone(), json!({"connect_config": {}}));
    let route = json!({"name": "all", "match": {"connect_matcher": {}}, "route": {"cluster": "up", "timeout": "0s", "upgrade_configs": [upgrade]}});
    let mut listener = config::listener("edge", &[breaker.filter()], &[route]);
    config::hcm_mut(&mut listener)["upgrade_configs"] = json!([connect]);
    let far_end = adversary::service(adversary::hang_up_after_a_second)?;
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("up", &[far_end])]))?;
    let edge = envoy.port("edge")?;
    adversary::all_answered((0..4).map(|_| adversary::tunnel(edge)).collect(), "HTTP/1.1 200")?;
    sleep(A_WHILE);
    assert_eq!(turned(&envoy, "open")?, 0);
    Ok(())
}

// --- what counts ---

/// Was wrong once: a service that hangs behind a route whose only bound is `max_stream_duration` (so also gRPC deadlines) is answered by Envoy
/// with `max_duration_timeout` and no flag, which is taken for a local reply: the breaker never opens.
#[test]
fn a_service_that_hangs_until_the_streams_maximal_duration_has_failed() -> TestResult {
    let orders = Upstream::start("orders")?;
    orders.set(Fault::Hang);
    // It counts where the service had at least a slow call's time: a client may choose a shorter one (grpc-timeout).
    let bound = json!({"route": {"max_stream_duration": {"max_stream_duration": "0.1s"}}});
    let filter = breaker(json!({"slow_call": "50ms", "slow_ratio": null}))?.filter();
    let (_envoy, edge) = before(orders.port(), &filter, config::patch(story_b::route(), bound))?;
    for _ in 0..10 {
        status(edge)?;
    }
    assert!(is_refused(edge)?, "ten calls waited in vain");
    Ok(())
}

/// Was wrong once: local replies below 400 (here CORS preflights, answered by Envoy) count as successes of the service, so browsers that ask
/// first keep the breaker before a dead service closed, and end every run of failures.
#[test]
fn preflights_answered_by_envoy_speak_for_nobody() -> TestResult {
    let orders = Upstream::start("orders")?;
    let name = "envoy.filters.http.cors";
    let any = json!({"@type": format!("{FILTERS}.cors.v3.CorsPolicy"), "allow_origin_string_match": [{"prefix": "http"}], "allow_methods": "GET"});
    let cors = json!({"name": name, "typed_config": {"@type": format!("{FILTERS}.cors.v3.Cors")}});
    let route = config::patch(story_b::route(), json!({"typed_per_filter_config": {name: any}}));
    let breaker = breaker(json!({"failure_ratio": 0.6, "consecutive_failures": 5}))?;
    let listener = config::listener("edge", &[breaker.filter(), cors], &[route]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("up", &[orders.port()])]))?;
    let edge = envoy.port("edge")?;
    orders.set(Fault::Status(500));
    let ask = Call::get(edge, "/").method("OPTIONS".parse()?);
    let ask = ask.headers(&[("origin", "http://shop"), ("access-control-request-method", "GET")]);
    for _ in 0..20 {
        ask.send()?;
        ask.send()?;
        status(edge)?;
    }
    assert!(orders.hits() < 20, "a dead service was asked {} times", orders.hits());
    // Before its first failure each worker believes what looks healthy.
    assert!(counted(&envoy, "calls_total", &[("outcome", "success")])? <= 8);
    Ok(())
}

/// Was wrong once: slots are counts of calls rounded up, ten of them whatever the window: 5 calls are judged over 11, 11 calls over 22.
#[test]
fn a_window_of_five_calls_looks_at_five_calls() -> TestResult {
    let orders = Upstream::start("orders")?;
    let policy = json!({"window": {"time": null, "calls": 5}, "minimum_calls": 5, "failure_ratio": 1.0});
    let (_envoy, edge) = proxy(&[breaker(policy)?.filter()], &orders)?;
    for _ in 0..5 {
        assert_eq!(status(edge)?, 200);
    }
    // Of what the other worker serves between two looks of this one, it knows the proportion, not the order (docs, "Limits"): both look.
    sleep(A_LOOK);
    orders.set(Fault::Status(500));
    for _ in 0..6 {
        status(edge)?;
    }
    // The other worker's copy of the state may be 10 ms old.
    sleep(Duration::from_millis(30));
    assert!(is_refused(edge)?, "six failures in a row, and a window of five calls (and a tenth)");
    Ok(())
}

#[test]
fn what_the_upstream_entry_refuses_never_counts_in_the_downstream_entry() -> TestResult {
    let orders = Upstream::start("orders")?;
    let down = breaker(json!({"minimum_calls": 1_000, "window": {"time": "60s"}}))?.filter();
    let up = Wasm::module("circuit_breaker")?.config(&policy(json!({"chain": "upstream"}))).filter();
    let listener = config::listener("edge", &[down], &[story_b::route()]);
    let cluster = config::upstream_filters(config::cluster("up", &[orders.port()]), &[up]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let edge = envoy.port("edge")?;
    open_the_breaker(edge, &orders)?;
    for _ in 0..20 {
        assert!(is_refused(edge)?);
    }
    sleep(A_WHILE);
    assert_eq!(counted(&envoy, "calls_total", &[("chain", "downstream"), ("outcome", "failure")])?, 3);
    Ok(())
}

#[test]
fn an_internal_redirect_gives_its_permit_to_its_successor() -> TestResult {
    let filter = breaker(json!({"open": once()}))?.filter();
    let follow = json!({"route": {"internal_redirect_policy": {"max_internal_redirects": 2}}});
    let port = adversary::service(adversary::many_ways)?;
    let (envoy, edge) = before(port, &filter, config::patch(story_b::route(), follow))?;
    open_and_wait(edge)?;
    assert_eq!(client::get(edge, "/start", &[("host", "x")])?.status, 200);
    eventually_eq("one redirected request closes it", SOON, &1, || turned(&envoy, "closed"))
}

// --- configuration ---

/// Was wrong once: the former plugin lives on while one of its streams does, and its ticks go on deciding under its former policy.
#[test]
fn a_stream_that_outlives_a_push_does_not_keep_the_former_policy_alive() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({}))?.dynamic()?;
    let (_envoy, edge) = proxy(&[filter.filter()], &orders)?;
    let _stream = Sse::open(edge, "/sse?events=100000&every_ms=50")?;
    let patient = json!({"minimum_calls": 100_000, "failure_on": {"status": ["5xx"]}});
    filter.update(&breaker(patient)?.typed_config())?;
    sleep(Duration::from_secs(1));
    orders.set(Fault::Status(500));
    throughout("the pushed policy never opens", Duration::from_secs(2), || is_refused(edge).map(|refused| !refused))
}

#[test]
fn a_push_during_half_open_hands_out_no_second_permit_and_hears_the_probe() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({"open": once()}))?.dynamic()?;
    let (envoy, edge) = proxy(&[filter.filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    orders.set(Fault::Slow(Duration::from_millis(2_500)));
    sleep(ONCE + A_WHILE);
    let probe = std::thread::spawn(move || Call::get(edge, "/").fresh_connection().send());
    eventually_eq("it probes", SOON, &1, || turned(&envoy, "half_open"))?;
    let answer = json!({"open": once(), "on_open": {"reply": {"status": 529}}});
    filter.update(&breaker(answer)?.typed_config())?;
    eventually_eq("the push is there", SOON, &529, || status(edge))?;
    assert_eq!(everyone(edge)?.status(529), 64);
    assert!(probe.join().is_ok_and(|reply| reply.is_ok_and(|reply| reply.status == 200)));
    eventually_eq("its success closes the breaker", SOON, &1, || turned(&envoy, "closed"))
}

/// Was wrong once: an entry that is there twice (an internal listener in front of another, a copied line) takes the only permit with its
/// first half and refuses it with its second: half-open for good.
#[test]
fn an_entry_that_is_there_twice_still_recovers() -> TestResult {
    let orders = Upstream::start("orders")?;
    let breaker = breaker(json!({"open": once()}))?;
    let (_envoy, edge) = proxy(&[breaker.filter(), breaker.clone().name("again").filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    eventually_eq("the service is served again", Duration::from_secs(4), &200, || status(edge))
}

/// Was wrong once: requests with our re-route header are refused past `enforce_ratio` and past an operator's `force_closed`.
#[test]
fn who_sends_our_header_is_not_refused_where_nobody_is() -> TestResult {
    let orders = Upstream::start("orders")?;
    let reroute = json!({"on_open": {"reroute": {"header": "x-holdfast-fallback", "value": "1"}}});
    let (envoy, edge) = proxy(&[hooked(reroute.clone())?.filter()], &orders)?;
    let opens = |envoy: &Envoy, edge| {
        orders.set(Fault::Status(500));
        eventually("it opens", SOON, || status(edge).and_then(|_| turned(envoy, "open")).map(|opened| opened > 0))?;
        orders.set(Fault::Healthy);
        anyhow::Ok(())
    };
    opens(&envoy, edge)?;
    client::get(edge, "/", &[("x-holdfast-test", "override force_closed 60000")])?;
    eventually_eq("the operator's hand is felt", SOON, &5, || counted(&envoy, "override", &[]))?;
    assert_eq!(client::get(edge, "/", &[("x-holdfast-fallback", "1")])?.status, 200, "forced closed");

    let (envoy, edge) = proxy(&[breaker(config::patch(reroute, json!({"enforce_ratio": 0})))?.filter()], &orders)?;
    opens(&envoy, edge)?;
    assert_eq!(client::get(edge, "/", &[("x-holdfast-fallback", "1")])?.status, 200, "enforced on nobody");
    Ok(())
}

/// Was wrong once: of a field that is there twice the last one wins, silently; and headers that frame a request may carry the re-route.
#[test]
fn a_field_said_twice_or_a_header_that_frames_is_a_fault() -> TestResult {
    let twice = r#"{"mode": "dry_run", "mode": "enforce"}"#;
    let framing = r#"{"on_open": {"reroute": {"header": "content-length"}}}"#;
    for text in [twice, framing] {
        let filter = Wasm::module("circuit_breaker")?.config_text(text).filter();
        let listener = config::listener("edge", &[filter], &[story_b::route()]);
        let bootstrap = config::bootstrap(&[listener], &[config::cluster("up", &[1])]);
        assert!(envoy::validate(&bootstrap).is_err(), "accepted: {text}");
    }
    Ok(())
}
