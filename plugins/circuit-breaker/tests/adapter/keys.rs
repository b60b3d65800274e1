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

// --- configurations of one instance ---

/// Opens at the third failure in a row; the counts mean what they do for `BRISK`.
const PATIENT: &str =
    r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 3, "open": {"base": "1s", "jitter": 0}}"#;

fn tick(plugins: &[&Plugin]) {
    for plugin in plugins {
        plugin.tick();
    }
}

/// Whether so many failures on a route open its breaker, and one less doesn't.
fn opens_at(proxy: &FakeProxy, plugin: &Plugin, route: &str, failures: usize) -> bool {
    (0..failures).all(|_| call_on(proxy, plugin, route, "500")) && !call_on(proxy, plugin, route, "500")
}

#[test]
fn two_routes_with_other_thresholds_have_each_a_breaker() {
    for proxy in [envoy(), kong()] {
        let [brisk, patient] = [BRISK, PATIENT].map(|config| worker(&proxy, config));
        for (plugin, route) in [(&brisk, "orders"), (&patient, "stock"), (&brisk, "orders")] {
            assert!(call_on(&proxy, plugin, route, "200"));
            tick(&[&brisk, &patient]);
        }
        assert!(opens_at(&proxy, &brisk, "orders", 2));
        assert!(opens_at(&proxy, &patient, "stock", 3));
    }
}

/// This form can't name an instance.
#[test]
fn the_form_of_four_numbers_may_be_there_twice() {
    let of = |threshold| {
        format!(r#"{{"timeout": 3000, "threshold": {threshold}, "min_half_open_requests": 1, "window_size": 10000}}"#)
    };
    let proxy = kong();
    let [half, all] = [0.5, 1.0].map(|threshold| worker(&proxy, &of(threshold)));
    for (plugin, route) in [(&half, "orders"), (&all, "stock")] {
        assert!(call_on(&proxy, plugin, route, "200"));
    }
    tick(&[&half, &all]);
    for (plugin, route) in [(&half, "orders"), (&all, "stock")] {
        (0..19).for_each(|_| assert!(call_on(&proxy, plugin, route, "500")));
    }
    assert!(!call_on(&proxy, &half, "orders", "500"), "19 of 20");
    assert!(call_on(&proxy, &all, "stock", "500"), "one was well");
    proxy.advance(11 * SECOND);
    tick(&[&half, &all]);
    (0..20).for_each(|_| assert!(call_on(&proxy, &all, "stock", "500")));
    assert!(!call_on(&proxy, &all, "stock", "500"), "all of them failed");
}

/// Kong's Lua writes the fields of an object in another order in each worker.
#[test]
fn a_configuration_is_known_by_what_it_says_and_not_by_its_text() {
    let other = r#"{"recovery": {"over": "10s"}, "open": {"jitter": 0.0, "base": "1s"}, "consecutive_failures": 2, "slow_ratio": null, "failure_ratio": null}"#;
    for proxy in [envoy(), kong()] {
        let [first, second] = [BRISK, other].map(|config| worker(&proxy, config));
        assert!(call(&first, "200") && call(&second, "200"));
        tick(&[&first, &second]);
        break_it(&first);
        assert_eq!(cause(&first).as_deref(), Some("open"));
    }
}

#[test]
fn a_former_configuration_whose_vm_is_made_anew_takes_nothing_back() {
    for proxy in [envoy(), kong()] {
        let (former, now) = (worker(&proxy, BRISK), worker(&proxy, PATIENT));
        assert!(call(&former, "200") && call(&now, "200"));
        let anew = worker(&proxy, BRISK);
        tick(&[&former, &anew, &now]);
        for _ in 0..3 {
            assert!(call(&now, "500"), "the configuration that has the requests has not seen enough");
            proxy.advance(SECOND / 10);
            tick(&[&former, &anew, &now]);
        }
        assert_eq!(cause(&now).as_deref(), Some("open"));
    }
}

#[test]
fn where_two_configurations_have_requests_of_one_key_neither_is_without_a_say() {
    for proxy in [envoy(), kong()] {
        let (brisk, patient) = (worker(&proxy, BRISK), worker(&proxy, PATIENT));
        for _ in 0..3 {
            assert!(call(&brisk, "200") && call(&patient, "200"));
            tick(&[&brisk, &patient]);
        }
        (0..3).for_each(|_| assert!(call(&brisk, "500")));
        assert_eq!(cause(&brisk).as_deref(), Some("open"), "the other's claim costs it one failure");
        proxy.advance(SECOND / 10);
        assert_eq!(cause(&patient).as_deref(), Some("open"));
    }
}
