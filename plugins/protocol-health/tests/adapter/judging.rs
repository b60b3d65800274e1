//! What attempts come to, and how Envoy is told.

use crate::support::{GET, GRPC, QUERY, UP, attempts, counted, envoy, mark, post, told, up, worker};
use core::time::Duration;

const RPC: &[(&str, &str); 2] = &[(":status", "200"), ("content-type", "application/grpc")];
const JSON: &[(&str, &str); 2] = &[(":status", "200"), ("content-type", "application/json; charset=utf-8")];
const ERRORS: &[u8] = br#"{"errors": [{"message": "down", "path": ["orders"]}]}"#;

#[test]
fn errors_in_a_200_are_marked_before_the_headers_leave() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let mut call = post(&plugin, QUERY);
    call.respond(JSON, false);
    assert!(call.paused(), "held until it is read");
    call.body(&ERRORS[..20], false);
    assert!(call.paused());
    call.body(&ERRORS[20..], true);
    assert!(!call.paused());
    assert_eq!(
        (mark(&call).as_deref(), told(&call).as_str(), call.status()),
        (Some("server_fault"), "server_fault", Some(200))
    );
    call.finish();
    assert_eq!(attempts(&proxy, "graphql", "server_fault"), 1);
}

#[test]
fn the_status_changes_where_that_is_the_signal() {
    let plugin = worker(&envoy(), &up(r#""signal": "status", "status": 599"#));
    let mut call = post(&plugin, QUERY);
    call.respond(JSON, false).body(ERRORS, true);
    assert_eq!(call.status(), Some(599));
    let mut asked_nonsense = post(&plugin, QUERY);
    asked_nonsense.respond(JSON, false).body(br#"{"errors": [{"locations": [1]}]}"#, true);
    assert_eq!((asked_nonsense.status(), told(&asked_nonsense).as_str()), (Some(200), "caller_fault"));
}

#[test]
fn where_envoy_is_told_nothing_nothing_is_held() {
    for config in [up(r#""signal": "observe""#), up(r#""mode": "dry_run""#), up(r#""enforce_ratio": 0"#)] {
        let proxy = envoy();
        let plugin = worker(&proxy, &config);
        let mut call = post(&plugin, QUERY);
        call.respond(JSON, false);
        assert!(!call.paused());
        call.body(ERRORS, true);
        assert_eq!((mark(&call), told(&call).as_str(), call.status()), (None, "server_fault", Some(200)));
        assert_eq!(attempts(&proxy, "graphql", "server_fault"), 1);
    }
}

#[test]
fn what_cant_be_read_is_unknown() {
    let plugin = worker(&envoy(), UP);
    for headers in [
        &[(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")][..],
        &[(":status", "200"), ("content-type", "text/html")],
        &[(":status", "200"), ("content-type", "text/event-stream")],
        &[(":status", "200"), ("content-type", "multipart/mixed; boundary=-")],
        &[(":status", "200")],
    ] {
        let mut call = post(&plugin, QUERY);
        call.respond(headers, false);
        assert!(!call.paused());
        assert_eq!((mark(&call).as_deref(), told(&call).as_str()), (Some("unknown"), "unknown"), "{headers:?}");
    }
}

#[test]
fn a_status_beyond_2xx_speaks_for_itself() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    for (status, outcome) in [("503", "server_fault"), ("404", "caller_fault"), ("429", "overload"), ("504", "timeout")]
    {
        for headers in [&GET[..], QUERY, GRPC] {
            let mut call = post(&plugin, headers);
            call.respond(&[(":status", status), ("content-type", "application/json")], false);
            assert!(!call.paused());
            assert_eq!((mark(&call).as_deref(), call.status()), (Some(outcome), status.parse().ok()));
        }
    }
}

#[test]
fn what_a_service_says_in_our_name_is_taken_away() {
    let plugin = worker(&envoy(), UP);
    let mut call = plugin.attempt(1, GET);
    call.respond(&[(":status", "200"), ("x-holdfast-outcome", "server_fault")], true);
    assert_eq!((mark(&call), told(&call).as_str()), (None, ""), "silence is ok");
}

#[test]
fn a_grpc_status_in_trailers_is_put_into_the_headers() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let mut call = post(&plugin, GRPC);
    call.respond(&[(":status", "200"), ("content-type", "application/grpc")], false);
    assert!(call.paused());
    call.body(b"\0\0\0\0\x02hi", false).trailers(&[("grpc-status", "14"), ("grpc-message", "no")]);
    assert!(!call.paused());
    assert_eq!(call.response_header("grpc-status").as_deref(), Some("14"));
    assert_eq!((mark(&call).as_deref(), told(&call).as_str()), (Some("unreachable"), "unreachable;promoted"));
    call.finish();

    let mut well = post(&plugin, GRPC);
    well.respond(RPC, false).body(b"\0\0\0\0\x02hi", false).trailers(&[("grpc-status", "0")]);
    assert_eq!((well.response_header("grpc-status"), mark(&well), told(&well).as_str()), (None, None, "ok"));
    assert_eq!((attempts(&proxy, "grpc", "unreachable"), attempts(&proxy, "grpc", "ok")), (1, 1));
}

#[test]
fn a_method_that_isnt_named_passes_at_once_and_is_judged_at_its_end() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let watch = &[(":method", "POST"), (":path", "/shop.Orders/Watch"), ("content-type", "application/grpc")];
    let mut call = post(&plugin, watch);
    call.respond(RPC, false);
    assert!(!call.paused());
    call.body(b"\0\0\0\0\x02hi", false).trailers(&[("grpc-status", "13")]);
    assert_eq!((mark(&call), told(&call).as_str()), (None, "server_fault"));
}

#[test]
fn a_second_message_is_a_stream() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let mut call = post(&plugin, GRPC);
    call.respond(RPC, false).body(b"\0\0\0\0\x02hi\0\0\0", false);
    assert!(call.paused(), "the second one's head isn't whole");
    call.body(b"\0\x02h", false);
    assert!(!call.paused());
    assert_eq!(counted(&proxy, "upstream", "released_total", "stream"), 1);
    call.trailers(&[("grpc-status", "14")]);
    assert_eq!(
        (call.response_header("grpc-status"), told(&call).as_str()),
        (None, "unreachable"),
        "too late for headers"
    );
}

#[test]
fn grpc_without_a_status_is_the_services_fault() {
    let plugin = worker(&envoy(), UP);
    let mut cut = post(&plugin, GRPC);
    cut.respond(RPC, false).body(b"\0\0\0\0\x02hi", true);
    let mut bare = post(&plugin, GRPC);
    bare.respond(RPC, true);
    let mut odd = post(&plugin, GRPC);
    odd.respond(RPC, false).trailers(&[("grpc-status", "\u{ff}")]);
    for call in [&cut, &bare, &odd] {
        assert_eq!(mark(call).as_deref(), Some("server_fault"));
    }
    assert_eq!(odd.response_header("grpc-status").as_deref(), Some("2"));
    assert_eq!(cut.response_header("grpc-status").as_deref(), Some("2"), "Envoy asks nothing else of gRPC");
}

#[test]
fn trailers_only_need_no_holding() {
    let plugin = worker(&envoy(), UP);
    let mut call = post(&plugin, GRPC);
    call.respond(&[RPC[0], RPC[1], ("grpc-status", "8")], true);
    assert_eq!((mark(&call).as_deref(), told(&call).as_str()), (Some("overload"), "overload"));
}

#[test]
fn grpc_web_says_it_in_its_last_frame() {
    let plugin = worker(&envoy(), UP);
    let web = &[(":method", "POST"), (":path", "/shop.Orders/Place"), ("content-type", "application/grpc-web+proto")];
    let mut call = post(&plugin, web);
    call.respond(&[(":status", "200"), ("content-type", "application/grpc-web+proto")], false);
    assert!(call.paused());
    call.body(b"\0\0\0\0\x02hi", false).body(b"\x80\0\0\0\x10grpc-status: 14\n", true);
    assert_eq!((mark(&call).as_deref(), told(&call).as_str()), (Some("unreachable"), "unreachable"));
    let mut text = post(&plugin, web);
    text.respond(&[(":status", "200"), ("content-type", "application/grpc-web-text")], false);
    assert_eq!((text.paused(), mark(&text).as_deref()), (false, Some("unknown")));
}

#[test]
fn more_than_may_be_held_goes_on_and_counts_for_nobody() {
    let proxy = envoy();
    let plugin = worker(&proxy, &up(r#""graphql": {"scan_bytes": 100}"#));
    let mut call = post(&plugin, QUERY);
    let long = [&br#"{"data": ""#[..], &[b'x'; 100], br#""}"#].concat();
    call.respond(JSON, false).body(&long[..60], false);
    assert!(call.paused());
    call.body(&long[60..], false);
    assert!(!call.paused());
    call.body(b"", true);
    assert_eq!((mark(&call), told(&call).as_str()), (None, "unknown"));
    assert_eq!(counted(&proxy, "upstream", "released_total", "bytes"), 1);
}

#[test]
fn an_answer_that_says_that_it_is_too_long_is_never_held() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let answer = |length: &str| {
        let mut call = post(&plugin, QUERY);
        call.respond(&[(":status", "200"), ("content-type", "application/json"), ("content-length", length)], false);
        call
    };
    for length in ["101", "4294967295"] {
        let mut call = answer(length);
        assert!(!call.paused(), "{length}");
        call.body(ERRORS, true);
        assert_eq!((mark(&call), told(&call).as_str()), (None, "server_fault"), "{length}");
    }
    assert_eq!(counted(&proxy, "upstream", "released_total", "bytes"), 2);
    // What can't be believed is counted out.
    for length in ["100", "4294967296", "much", ""] {
        assert!(answer(length).paused(), "{length}");
    }
}

#[test]
fn longer_than_may_be_held_goes_on_and_is_told_at_its_end() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    assert_eq!(plugin.tick_period(), None, "nothing ticks while nothing is held");
    let mut call = post(&plugin, QUERY);
    call.respond(JSON, false).body(&ERRORS[..20], false);
    assert_eq!(plugin.tick_period(), Some(Duration::from_millis(10)));
    proxy.advance(Duration::from_millis(90));
    plugin.tick();
    assert!(call.paused());
    proxy.advance(Duration::from_millis(10));
    plugin.tick();
    assert!(!call.paused());
    assert_eq!((plugin.tick_period(), counted(&proxy, "upstream", "released_total", "time")), (None, 1));
    call.body(&ERRORS[20..], true);
    assert_eq!((mark(&call), told(&call).as_str()), (None, "server_fault"));
}

#[test]
fn a_clock_that_steps_back_lets_everything_go() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let mut call = post(&plugin, QUERY);
    call.respond(JSON, false);
    proxy.clock().step_back(Duration::from_secs(3_600));
    plugin.tick();
    assert!(!call.paused());
}

#[test]
fn a_client_that_leaves_while_its_answer_is_held_leaves_nothing_behind() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let mut call = post(&plugin, QUERY);
    call.respond(JSON, false);
    call.abort();
    plugin.tick();
    assert_eq!(plugin.tick_period(), None);
    assert_eq!(attempts(&proxy, "graphql", "unknown"), 1);
}

#[test]
fn attempts_without_an_answer() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    plugin.attempt(1, GET).fail_upstream("delayed connect error: Connection refused");
    plugin.attempt(1, GET).fail_upstream("");
    plugin.attempt(1, GET).abort();
    let unsent = plugin.stream().attempt(1).with_body().request(GET);
    unsent.fail_upstream("");
    let outcomes = ["unreachable", "timeout", "unknown"].map(|outcome| attempts(&proxy, "rest", outcome));
    assert_eq!(outcomes, [1, 1, 2]);
}

#[test]
fn a_predicate_asks_a_header_and_a_body() {
    let predicate = r#""predicate": {"paths": ["/orders"], "header": {"name": "x-state", "in": ["well"]},
        "json": {"pointer": "/status", "in": ["ok"]}, "absent": "ok", "outcome": "overload"}"#;
    let plugin = worker(&envoy(), &up(predicate));
    let ask = |headers: &[(&str, &str)], body: &[u8]| {
        let mut call = plugin.attempt(1, GET);
        call.respond(headers, body.is_empty()).body(body, true);
        Some(told(&call)).filter(|told| !told.is_empty()).unwrap_or_else(|| "ok".into())
    };
    let json = ("content-type", "application/json");
    assert_eq!(ask(&[(":status", "200"), json, ("x-state", "well")], br#"{"status": "ok"}"#), "ok");
    assert_eq!(ask(&[(":status", "200"), json, ("x-state", "ill")], br#"{"status": "ok"}"#), "overload");
    assert_eq!(ask(&[(":status", "200"), json], br#"{"status": "no"}"#), "overload");
    assert_eq!(ask(&[(":status", "200"), json], br#"{"state": "no"}"#), "ok");
    assert_eq!(ask(&[(":status", "200"), ("content-type", "image/png")], b"png"), "ok");
    assert_eq!(ask(&[(":status", "200"), json], &[b' '; 101]), "unknown", "longer than may be held");
    assert_eq!(ask(&[(":status", "503"), json], br#"{"status": "ok"}"#), "server_fault");
    let mut elsewhere = plugin.attempt(1, &[(":method", "GET"), (":path", "/ordersX")]);
    elsewhere.respond(&[(":status", "200"), ("x-state", "ill")], true);
    assert_eq!(told(&elsewhere), "ok");
    for status in ["204", "206"] {
        assert_eq!(
            ask(&[(":status", status), json, ("x-state", "well")], b"{}"),
            "unknown",
            "{status} has nothing to say"
        );
    }
    let mut head = plugin.attempt(1, GET);
    head.respond(&[(":status", "200"), json, ("x-state", "well")], true);
    assert_eq!(told(&head), "unknown");
}

#[test]
fn what_a_caller_says_that_it_speaks_is_not_held_against_a_service() {
    for (content_type, answer) in [
        ("application/grpc", "application/json"),
        ("application/grpc", "text/html"),
        ("application/grpc-web", "application/json"),
        ("application/grpc-web-text", ""),
    ] {
        let plugin = worker(&envoy(), UP);
        let mut call =
            post(&plugin, &[(":method", "POST"), (":path", "/shop.Orders/Place"), ("content-type", content_type)]);
        call.respond(&[(":status", "200"), ("content-type", answer)], false);
        assert_eq!((call.paused(), told(&call).as_str()), (false, "unknown"), "{content_type}: {answer}");
    }
    let plugin = worker(&envoy(), UP);
    let mut gzip = post(
        &plugin,
        &[(":method", "POST"), (":path", "/shop.Orders/Place"), ("content-type", "application/grpc-web")],
    );
    gzip.respond(&[(":status", "200"), ("content-type", "application/grpc-web"), ("content-encoding", "gzip")], false);
    assert_eq!(told(&gzip), "unknown");
}

#[test]
fn a_hedge_that_lost_says_nothing_of_the_request() {
    let plugin = worker(&envoy(), UP);
    let state = sdk_shim::fake::FilterState::default();
    let loser = plugin.stream().attempt(1).sharing(&state).request(QUERY);
    let mut winner = plugin.stream().attempt(2).sharing(&state).request(QUERY);
    winner.respond(JSON, false).body(ERRORS, true);
    loser.abort();
    assert_eq!(state.get("holdfast.outcome").as_deref(), Some(&b"server_fault"[..]));
}

#[test]
fn no_more_are_held_than_a_tick_can_let_go_in_time() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let calls: Vec<_> = (0..1_010)
        .map(|_| {
            let mut call = post(&plugin, QUERY);
            call.respond(JSON, false);
            call
        })
        .collect();
    assert_eq!(calls.iter().filter(|call| call.paused()).count(), 1_000);
    assert_eq!(counted(&proxy, "upstream", "released_total", "crowd"), 10);
    for _ in 0..16 {
        proxy.advance(Duration::from_millis(10));
        plugin.tick();
    }
    assert!(
        calls.iter().filter(|call| call.paused()).count() <= 1_000 - 6 * 64,
        "64 of those that are due in each tick"
    );
}

#[test]
fn graphql_is_asked_for_without_compression() {
    let proxy = envoy();
    assert_eq!(post(&worker(&proxy, UP), QUERY).request_header("accept-encoding"), None);
    let kept = worker(&proxy, &up(r#""graphql": {"identity": false}"#));
    assert_eq!(post(&kept, QUERY).request_header("accept-encoding").as_deref(), Some("gzip"));
}

#[test]
fn each_attempt_is_told_of_the_time_that_is_left() {
    let plugin = worker(&envoy(), &up(r#""deadline": {}"#));
    let with = |more: &[(&str, &str)], base: &[(&str, &str)]| {
        let headers = [base, &[("x-envoy-expected-rq-timeout-ms", "250")], more].concat();
        post(&plugin, &headers)
    };
    assert_eq!(with(&[], GRPC).request_header("grpc-timeout").as_deref(), Some("250000u"));
    assert_eq!(with(&[("grpc-timeout", "1S")], GRPC).request_header("grpc-timeout").as_deref(), Some("250000u"));
    let rest = with(&[("x-request-timeout", "5s"), ("request-timeout", "5000")], GET);
    assert_eq!(rest.request_header("x-request-timeout").as_deref(), Some("250ms"));
    assert_eq!(rest.request_header("request-timeout").as_deref(), Some("250"));
    assert_eq!(rest.request_header("grpc-timeout"), None);
}
