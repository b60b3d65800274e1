//! Retries that clients, or gateways in front of us, make themselves.

use crate::support::{Call, Plugin, down, envoy, header, kong, worker};
use sdk_shim::fake::FakeProxy;

const CLIENTS: &str = r#"{"client_retries": {"ratio": 0.1, "min_retries_per_second": 0}}"#;

fn request(plugin: &Plugin, more: &[(&'static str, &'static str)]) -> Call {
    let headers: Vec<(&str, &str)> =
        [(":method", "GET"), (":path", "/")].into_iter().chain(more.iter().copied()).collect();
    plugin.request(headers.as_slice())
}

fn first_tries(plugin: &Plugin, count: usize) {
    (0..count).for_each(|_| {
        let mut call = request(plugin, &[]);
        assert!(call.passed());
        call.respond(&[(":status", "200")], true);
        call.finish();
    });
}

fn both() -> [FakeProxy; 2] {
    [envoy(), kong()]
}

#[test]
fn when_there_are_too_many_retries_are_shed_and_first_tries_pass() {
    for proxy in both() {
        let plugin = worker(&proxy, CLIENTS);
        first_tries(&plugin, 10);
        assert!(request(&plugin, &[("x-retry-attempt", "1")]).passed());
        let shed = request(&plugin, &[("x-retry-attempt", "2")]);
        let reply = shed.reply().expect("shed");
        assert_eq!(
            (reply.status, header(&reply, "x-holdfast-reject").as_deref()),
            (503, Some("retry-budget; cause=client_retry"))
        );
        assert!(header(&reply, "retry-after").is_some());
        assert_eq!(header(&reply, "grpc-retry-pushback-ms"), None);
        first_tries(&plugin, 10);
        assert!(request(&plugin, &[("x-retry-attempt", "2")]).passed());
        assert_eq!(
            (
                down(&proxy, "client_requests_total"),
                down(&proxy, "client_retries_total"),
                down(&proxy, "client_shed_total")
            ),
            (20, 3, 1)
        );
    }
}

#[test]
fn a_mark_says_retry_by_its_number() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#);
    let shed = |name, value| !request(&plugin, &[(name, value)]).passed();
    assert!(
        shed("x-retry-attempt", "1") && shed("grpc-previous-rpc-attempts", "1") && shed("x-envoy-attempt-count", "2")
    );
    for (name, value) in [
        ("x-envoy-attempt-count", "1"),
        ("x-envoy-attempt-count", "0"),
        ("x-retry-attempt", "0"),
        ("x-retry-attempt", "no"),
        ("x-retry-attempt", ""),
        ("x-retry-attempt", "-1"),
        ("x-other", "5"),
    ] {
        assert!(!shed(name, value), "{name}: {value}");
    }
}

#[test]
fn a_grpc_client_is_told_never_to_come_back() {
    let plugin = worker(&envoy(), r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#);
    let shed = request(&plugin, &[("content-type", "application/grpc"), ("grpc-previous-rpc-attempts", "1")]);
    let reply = shed.reply().unwrap();
    assert_eq!((reply.grpc_status, header(&reply, "grpc-retry-pushback-ms").as_deref()), (Some(14), Some("-1")));
}

#[test]
fn what_is_a_retry_already_is_not_retried_by_us() {
    let proxy = envoy();
    let plugin = worker(&proxy, CLIENTS);
    first_tries(&plugin, 10);
    let retry = request(&plugin, &[("x-envoy-attempt-count", "3")]);
    assert_eq!(retry.request_header("x-envoy-max-retries").as_deref(), Some("0"));
    assert_eq!(down(&proxy, "steered_total;cause=client_retry"), 1);
}

/// Layers would multiply all the same, if each retry of the layer in front earned a part of the next.
#[test]
fn a_clients_retry_earns_no_retry() {
    let proxy = envoy();
    let host = proxy.worker();
    let downstream = crate::support::entry(&host, r#"{"client_retries": {"ratio": 1}}"#);
    let upstream = crate::support::entry(&host, r#"{"chain": "upstream", "ratio": 1, "min_retries_per_second": 0}"#);
    let send = |more: &[(&'static str, &'static str)]| {
        let state = request(&downstream, more).filter_state();
        let _ = upstream.stream().attempt(1).sharing(&state).request(crate::support::GET).fail_upstream("");
    };
    (0..3).for_each(|_| send(&[]));
    (0..3).for_each(|_| send(&[("x-retry-attempt", "1")]));
    assert_eq!(crate::support::up(&proxy, "requests_total"), 3);
}

#[test]
fn only_whoever_proves_it_is_believed_and_the_proof_goes_no_further() {
    let config = r#"{"insecure_literal": true, "client_retries": {"ratio": 0, "min_retries_per_second": 0,
        "trusted_proof": {"header": "x-proof", "token": {"literal": "s3cret"}}}}"#;
    let proxy = envoy();
    let plugin = worker(&proxy, config);
    let hidden = &[("x-retry-attempt", "1"), ("x-proof", "junk"), ("x-proof", "s3cret")];
    assert!(!request(&plugin, hidden).passed(), "a value of one's own beside the hop's doesn't hide it");
    for spoofed in [&[("x-retry-attempt", "1")][..], &[("x-retry-attempt", "1"), ("x-proof", "guess")]] {
        let call = request(&plugin, spoofed);
        assert!(call.passed() && call.request_header("x-proof").is_none(), "a first try like any other");
    }
    assert!(!request(&plugin, &[("x-retry-attempt", "1"), ("x-proof", "s3cret")]).passed());
    let first = request(&plugin, &[("x-proof", "s3cret")]);
    assert!(first.passed() && first.request_header("x-proof").is_none());
}

#[test]
fn a_dry_run_sheds_nobody() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"mode": "dry_run", "client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#);
    assert!(request(&plugin, &[("x-retry-attempt", "1")]).passed());
    assert_eq!((down(&proxy, "would_refuse_total;cause=client_retry"), down(&proxy, "client_shed_total")), (1, 0));
}

#[test]
fn the_shared_state_is_down_and_everybody_passes() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#);
    first_tries(&plugin, 1);
    proxy.fail_shared(true);
    proxy.advance(core::time::Duration::from_millis(10));
    assert!(request(&plugin, &[("x-retry-attempt", "1")]).passed());
    assert!(down(&proxy, "store_errors_total") > 0);
}
