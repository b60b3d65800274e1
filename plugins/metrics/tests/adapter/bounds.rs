//! How many series there are, and what their labels may say.

use crate::support::{GET, Plugin, call, envoy, sum, worker};
use sdk_shim::fake::FakeProxy;

/// Series of the routes' own, without those that stand for the rest.
fn own(proxy: &FakeProxy) -> usize {
    proxy.metrics().into_keys().filter(|name| name.contains(";route=") && !name.contains(";route=_other")).count()
}

fn on_route(proxy: &FakeProxy, plugin: &Plugin, route: usize, status: &str) {
    proxy.set("xds.route_name", &format!("route-{route}"));
    call(plugin, status);
}

#[test]
fn ten_thousand_routes_have_no_more_series_than_there_may_be_and_no_request_is_lost() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"max_series": 100}"#);
    (0..10_000).for_each(|route| on_route(&proxy, &plugin, route, "200"));
    assert!(own(&proxy) <= 100, "{}", own(&proxy));
    assert_eq!(sum(&proxy, "requests_total"), 10_000);
    let other = "holdfast_requests_total;chain=downstream;instance=default;route=_other;protocol=rest;outcome=ok";
    assert!(proxy.metric(other) > 9_900, "{}", proxy.metric(other));
    assert_eq!(proxy.metric("holdfast_series_dropped_total;chain=downstream;instance=default"), proxy.metric(other));
    let gauge = |route: &str| {
        proxy.metric(&format!(
            "holdfast_requests_in_flight;chain=downstream;instance=default;route={route};protocol=rest"
        ))
    };
    assert_eq!((gauge("_other"), gauge("route-0")), (0, 0));
}

#[test]
fn a_known_routes_first_failure_is_seen_although_others_came_before_it() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"max_series": 100}"#);
    (0..1_000).for_each(|route| on_route(&proxy, &plugin, route, "200"));
    on_route(&proxy, &plugin, 0, "504");
    let name = "holdfast_requests_total;chain=downstream;instance=default;route=route-0;protocol=rest;outcome=timeout";
    assert_eq!(proxy.metric(name), 1);
}

#[test]
fn with_nothing_left_even_that_is_counted_elsewhere() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"max_series": 8}"#);
    for status in ["200", "500", "404", "429", "504"] {
        on_route(&proxy, &plugin, 0, status);
    }
    assert!(own(&proxy) <= 8);
    assert_eq!(sum(&proxy, "requests_total"), 5);
}

const TENANTS: &str =
    r#"{"labels": {"tenant": {"header": "x-tenant", "allow": ["acme", "globex"]}}, "canary": {"cluster": true}}"#;

#[test]
fn a_header_chooses_among_what_is_allowed_and_nothing_else() {
    let proxy = envoy();
    proxy.set("xds.cluster_name", "pay-v2");
    let plugin = worker(&proxy, TENANTS);
    for tenant in [Some("acme"), Some("globex"), Some("evil;route=x"), Some(""), None] {
        let mut headers = GET.to_vec();
        headers.extend(tenant.map(|tenant| ("x-tenant", tenant)));
        let mut call = plugin.request(&headers[..]);
        call.respond(&[(":status", "200")], true);
        call.finish();
    }
    let of = |tenant: &str| {
        let labels = format!("route=checkout;protocol=rest;tenant={tenant};canary=pay-v2;outcome=ok");
        proxy.metric(&format!("holdfast_requests_total;chain=downstream;instance=default;{labels}"))
    };
    assert_eq!((of("acme"), of("globex"), of("_other"), of("_none")), (1, 1, 2, 1));
    let in_flight = "holdfast_requests_in_flight;chain=downstream;instance=default;route=checkout;protocol=rest";
    assert!(proxy.metrics().contains_key(in_flight), "gauges and bytes have route and protocol alone");
}

#[test]
fn a_name_that_is_too_long_is_counted_among_the_rest() {
    let proxy = envoy();
    proxy.set("xds.route_name", "");
    proxy.set("xds.virtual_host_name", &"v".repeat(90));
    proxy.set("xds.cluster_name", &"c".repeat(90));
    let instance = "i".repeat(32);
    let allow = "t".repeat(32);
    let config = format!(
        r#"{{"instance": "{instance}", "labels": {{"tenant": {{"header": "x-tenant", "allow": ["{allow}"]}}, "client": {{"header": "x-client", "allow": ["{allow}"]}}}}}}"#
    );
    let plugin = worker(&proxy, &config);
    let mut headers = GET.to_vec();
    headers.extend([("x-tenant", allow.as_str()), ("x-client", allow.as_str())]);
    let mut call = plugin.request(&headers[..]);
    call.respond(&[(":status", "200")], true);
    call.finish();
    assert_eq!(sum(&proxy, "requests_total"), 1);
}
