//! Who has a breaker of his own: routes, tenants, instances; and that nobody can make too many.

use crate::support::{BRISK, GET, Plugin, SECOND, break_it, brisk, call, cause, envoy, kong, metric_of, worker};
use sdk_shim::fake::{FakeProxy, Headers, Worker};

/// A request of this tenant, answered with `status` if it passes.
fn call_of(plugin: &Plugin, tenant: &str, status: &str) -> bool {
    let headers = Headers::from(GET).with("x-tenant", tenant.as_bytes());
    crate::support::answer(plugin.request(headers), status)
}

fn call_on(proxy: &FakeProxy, plugin: &Plugin, route: &str, status: &str) -> bool {
    proxy.set("xds.route_name", route);
    proxy.set("kong.route_id", route);
    call(plugin, status)
}

fn success(proxy: &FakeProxy, key: &str) -> u64 {
    metric_of(proxy, key, "calls_total;outcome=success")
}

#[test]
fn routes_fail_each_for_itself() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        (0..2).for_each(|_| assert!(call_on(&proxy, &plugin, "orders", "500")));
        assert!(!call_on(&proxy, &plugin, "orders", "200"));
        assert!(call_on(&proxy, &plugin, "stock", "200"));
    }
}

#[test]
fn an_unnamed_route_is_its_virtual_host_and_cluster() {
    for name in ["", "default"] {
        let proxy = envoy();
        proxy.set("xds.route_name", name);
        proxy.set("xds.virtual_host_name", "shop");
        proxy.set("xds.cluster_name", "orders");
        let plugin = worker(&proxy, BRISK);
        assert!(call(&plugin, "200"));
        assert_eq!(success(&proxy, "shop--orders"), 1, "{name:?}");
    }
}

#[test]
fn one_key_too_many_is_counted_but_never_opened() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        for n in 0..1_000 {
            assert!(call_on(&proxy, &plugin, &format!("route-{n}"), "200"));
        }
        (0..20).for_each(|_| assert!(call_on(&proxy, &plugin, "the-1001st", "500")));
        assert_eq!(metric_of(&proxy, "_other", "calls_total;outcome=failure"), 20);
        assert_eq!(success(&proxy, "the-1001st"), 0);
        (0..2).for_each(|_| assert!(call_on(&proxy, &plugin, "route-999", "500")));
        assert!(!call_on(&proxy, &plugin, "route-999", "200"), "who was there first still has a breaker");
        plugin.tick();
        assert!(plugin.host().traps().is_empty());
    }
}

#[test]
fn all_workers_agree_who_is_a_key() {
    let config = brisk(r#""max_keys": 10"#);
    for proxy in [envoy(), kong()] {
        let [a, b] = [(); 2].map(|()| worker(&proxy, &config));
        for n in 0..10 {
            assert!(call_on(&proxy, [&a, &b][n % 2], &format!("route-{n}"), "200"));
        }
        for n in 0..15 {
            assert!(call_on(&proxy, [&b, &a][n % 2], &format!("route-{n}"), "200"));
        }
        (0..10).for_each(|n| assert_eq!(success(&proxy, &format!("route-{n}")), 2));
        assert_eq!(success(&proxy, "_other"), 5);
    }
}

#[test]
fn clients_can_fill_their_half_and_no_more() {
    let config = brisk(r#""key": ["route", "header:x-tenant"], "max_keys": 10"#);
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, &config);
        (0..50).for_each(|n| assert!(call_of(&plugin, &format!("tenant-{n}"), "200")));
        assert_eq!(success(&proxy, "checkout--tenant-4"), 1);
        assert_eq!(success(&proxy, "checkout--tenant-5"), 0);
        assert_eq!(success(&proxy, "checkout--_other"), 45);
        // Who is beyond the quota is counted with the others, and never opened.
        (0..9).for_each(|_| assert!(call_of(&plugin, "tenant-49", "500")));
        (0..2).for_each(|_| assert!(call_of(&plugin, "tenant-4", "500")));
        assert!(!call_of(&plugin, "tenant-4", "500"));
    }
}

#[test]
fn an_allow_list_says_who_may_be_a_key() {
    let config = brisk(r#""key": ["header:x-tenant"], "key_allow": {"header:x-tenant": ["gold", "silver"]}"#);
    let proxy = envoy();
    let plugin = worker(&proxy, &config);
    for tenant in ["gold", "silver", "bronze", "", "gold "] {
        assert!(call_of(&plugin, tenant, "200"));
    }
    assert_eq!([success(&proxy, "gold"), success(&proxy, "silver"), success(&proxy, "_other")], [1, 1, 3]);
}

#[test]
fn values_that_had_to_be_cleaned_stay_apart() {
    let proxy = envoy();
    let plugin = worker(&proxy, &brisk(r#""key": ["header:x-tenant"]"#));
    for tenant in ["a;b=c", "a_b_c", "a--b", "_other", "_none"] {
        (0..2).for_each(|_| assert!(call_of(&plugin, tenant, "500"), "{tenant} shares a breaker"));
        assert!(!call_of(&plugin, tenant, "500"), "{tenant}");
    }
}

#[test]
fn methods_and_paths_can_be_part_of_it() {
    let proxy = envoy();
    let plugin = worker(&proxy, &brisk(r#""key": ["method", "path:1"]"#));
    let send = |method, path| {
        let call = plugin.request(&[(":method", method), (":path", path)]);
        crate::support::answer(call, "500")
    };
    assert!(send("GET", "/pay/1?x=/") && send("GET", "/pay/2") && !send("GET", "/pay"));
    assert!(send("POST", "/pay/1") && send("GET", "/ship/1"));
}

// --- instances ---

#[test]
fn two_entries_of_different_instances_dont_mix() {
    for proxy in [envoy(), kong()] {
        let one = worker(&proxy, BRISK);
        let other = worker(&proxy, &brisk(r#""instance": "other""#));
        break_it(&one);
        assert_eq!((cause(&one).as_deref(), cause(&other)), (Some("open"), None));
        proxy.advance(SECOND / 2);
        assert_eq!(cause(&other), None);
    }
}

#[test]
fn policies_whose_counts_mean_different_things_dont_share_state() {
    let proxy = envoy();
    let host = proxy.worker();
    let teapots = Worker::start(&host, &brisk(r#""failure_on": {"status": [418]}"#)).unwrap();
    let usual = Worker::start(&host, BRISK).unwrap();
    break_it(&usual);
    assert_eq!(cause(&teapots), None);
}

#[test]
fn another_vm_id_has_other_state_but_the_same_counters() {
    let proxy = envoy();
    let here = worker(&proxy, BRISK);
    let there = Worker::start(&proxy.worker_in("other"), BRISK).unwrap();
    break_it(&here);
    assert_eq!((cause(&here).as_deref(), cause(&there)), (Some("open"), None));
}
