//! A node that is taken out of service says so to whoever asks, and tells streams when to come back.

use crate::support::{GET, GRPC, Plugin, counted, envoy, worker};
use core::time::Duration;

const WATCHED: &str = r#"{"drain_cluster": "drain"}"#;
const EVENTS: &[(&str, &str); 2] = &[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];
const HEALTHZ: &[(&str, &str); 2] = &[(":method", "GET"), (":path", "/healthz")];

/// Envoy's own health check answers.
fn says(plugin: &Plugin, status: &str) {
    plugin.tick();
    let (id, callout) = plugin.host().pending_callouts().remove(0);
    assert_eq!(callout.upstream, "drain");
    plugin.answer(id, &[(":status", status), ("x-envoy-upstream-healthchecked-cluster", "node")], b"");
}

/// Envoy says this in the place of a listener that it can't reach.
fn says_without_a_name(plugin: &Plugin, status: &str) {
    plugin.tick();
    let (id, _) = plugin.host().pending_callouts().remove(0);
    plugin.answer(id, &[(":status", status)], b"");
}

#[test]
fn a_drain_listener_that_cant_be_reached_takes_no_node_out() {
    let plugin = worker(&envoy(), WATCHED);
    says_without_a_name(&plugin, "503");
    assert!(is_ready(&plugin));
}

#[test]
fn a_configuration_that_is_pushed_while_the_node_drains_knows_it() {
    let proxy = envoy();
    let before = worker(&proxy, WATCHED);
    says(&before, "503");
    let pushed = worker(&proxy, r#"{"drain_cluster": "drain", "healthz": "/healthz"}"#);
    assert!(!is_ready(&pushed));
    assert!(is_ready(&worker(&proxy, r#"{"drain_cluster": "drain", "draining": false}"#)));
}

fn is_ready(plugin: &Plugin) -> bool {
    plugin.request(HEALTHZ).reply().unwrap().status == 200
}

#[test]
fn the_node_drains_when_envoy_says_so() {
    let proxy = envoy();
    let plugin = worker(&proxy, WATCHED);
    assert_eq!(plugin.tick_period(), Some(Duration::from_millis(100)));
    assert!(is_ready(&plugin), "before anybody has answered");
    says(&plugin, "200");
    assert!(is_ready(&plugin));
    plugin.tick();
    assert!(plugin.host().pending_callouts().is_empty(), "once a second");
    proxy.advance(Duration::from_secs(1));
    says(&plugin, "503");
    assert!(!is_ready(&plugin));

    // Without an answer of its own what was known stands. Envoy says 503 of a listener that it can't reach.
    proxy.advance(Duration::from_secs(1));
    says_without_a_name(&plugin, "200");
    assert!(!is_ready(&plugin));
    proxy.advance(Duration::from_secs(1));
    plugin.tick();
    let (id, _) = plugin.host().pending_callouts().remove(0);
    plugin.answer_nothing(id);
    assert!(!is_ready(&plugin));
    proxy.advance(Duration::from_secs(1));
    says(&plugin, "200");
    assert!(is_ready(&plugin), "an operator took it back");
}

#[test]
fn an_operators_word_counts_more() {
    let plugin = worker(&envoy(), r#"{"drain_cluster": "drain", "draining": true}"#);
    assert_eq!((is_ready(&plugin), plugin.tick_period()), (false, None));
    let plugin = worker(&envoy(), r#"{"drain_cluster": "drain", "draining": false}"#);
    assert_eq!((is_ready(&plugin), plugin.tick_period()), (true, None));
}

#[test]
fn grpc_callers_are_told_too() {
    let check = &[(":method", "POST"), (":path", "/grpc.health.v1.Health/Check"), ("content-type", "application/grpc")];
    let ask = |config: &str, headers: &[(&str, &str)]| {
        worker(&envoy(), config).stream().with_body().request(headers).reply().and_then(|reply| reply.grpc_status)
    };
    assert_eq!(ask(r#"{"draining": true}"#, check), Some(14));
    assert_eq!(ask(r#"{"draining": true}"#, GRPC), None, "calls are served to the end");
    assert_eq!(ask("{}", check), None, "a real server answers");
}

#[test]
fn an_event_stream_is_told_once_between_two_events_when_to_come_back() {
    let proxy = envoy();
    let plugin = worker(&proxy, WATCHED);
    let mut stream = plugin.request(GET);
    stream.respond(EVENTS, false);
    let appended = || plugin.host().calls().iter().filter(|call| call.name == "append_body").count();
    stream.body(b"data: 1\n\n", false);
    assert_eq!(appended(), 0);
    says(&plugin, "503");
    stream.body(b"data: 2", false);
    assert_eq!(appended(), 0, "within an event");
    stream.body(b"\n\n", false);
    stream.body(b"data: 3\n\n", false);
    assert_eq!((appended(), counted(&proxy, "downstream", "hints_total", "draining")), (1, 1));
    let line = plugin.host().call_lines().into_iter().find(|line| line.starts_with("append_body")).unwrap();
    let wait: u32 = line.split("retry: ").nth(1).unwrap().trim_end_matches([')', '\n']).parse().unwrap();
    assert!((1_000..2_000).contains(&wait), "{line}");
}

#[test]
fn what_isnt_an_event_stream_is_left_alone() {
    let plugin = worker(&envoy(), r#"{"draining": true}"#);
    let gzip = [EVENTS[0], EVENTS[1], ("content-encoding", "gzip")];
    let counted = [EVENTS[0], EVENTS[1], ("content-length", "30")];
    for headers in
        [&[(":status", "200"), ("content-type", "application/json")][..], &gzip, &counted, &[(":status", "101")]]
    {
        let mut call = plugin.request(GET);
        call.respond(headers, false).body(b"a\n\n", false);
    }
    let mut ends = plugin.request(GET);
    ends.respond(EVENTS, false).body(b"data: 1\n\n", true);
    assert!(!plugin.host().calls().iter().any(|call| call.name == "append_body"));
}
