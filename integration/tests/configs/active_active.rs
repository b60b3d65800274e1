//! `active-active.yaml` and the files beside it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use integration::config::patch;
use integration::{Call, Envoy, Fault, Response, TestResult, Upstream, client, eventually, eventually_eq};
use serde_json::{Value, json};

use crate::SOON;
use crate::shipped::Shipped;

const HOLDFAST: &str = "active-active-holdfast.yaml";

/// Two instances in each of two regions, behind `active-active.yaml`.
struct Site {
    eu: [Upstream; 2],
    us: [Upstream; 2],
    shipped: Shipped,
    envoy: Envoy,
    edge: u16,
}

impl Site {
    fn start() -> TestResult<Self> {
        let eu = [Upstream::start("eu-1")?, Upstream::start("eu-2")?];
        let us = [Upstream::start("us-1")?, Upstream::start("us-2")?];
        let ports = [(8081, eu[0].port()), (8082, eu[1].port()), (8083, us[0].port()), (8084, us[1].port())];
        let shipped = Shipped::read("active-active.yaml", &ports)?;
        let envoy = Envoy::start(&shipped.config)?;
        let edge = envoy.port("edge")?;
        Ok(Self { eu, us, shipped, envoy, edge })
    }

    fn ask(&self, user: &str, region: &str) -> TestResult<Response> {
        client::get(self.edge, "/orders", &[("x-user-id", user), ("x-data-region", region)])
    }

    /// The instance that serves each of 60 users.
    fn homes(&self) -> TestResult<BTreeMap<String, String>> {
        let home = |n| {
            let (user, reply) = (format!("user-{n}"), self.ask(&format!("user-{n}"), "any")?);
            ensure!(reply.status == 200, "{user}: {}", reply.status);
            Ok((user, reply.served_by().unwrap_or("?").to_owned()))
        };
        (0..60).map(home).collect()
    }

    /// A metric of the breaker of region eu. Envoy 1.36 puts all that a VM counts under the cluster whose filters began it.
    fn of_eu(&self, what: &str) -> TestResult<u64> {
        let name = format!("holdfast_circuit_breaker_{what};chain=downstream;instance=default;key=orders-eu");
        Ok(self.envoy.stats(&format!("^(cluster\\.[^.]+\\.)?wasmcustom\\.{name}$"))?.values().sum())
    }

    fn fail_eu(&self, fault: &Fault) {
        self.eu.iter().for_each(|instance| instance.set(fault.clone()));
    }

    /// Requests with no way out, until the breaker of region eu opens.
    fn open_eu(&self) -> TestResult {
        self.fail_eu(&Fault::Status(503));
        eventually("the breaker opens", SOON, || {
            self.ask("user-1", "eu").map(|reply| reply.rejected_by() == Some("circuit-breaker; cause=open"))
        })
    }
}

fn of_region<'a>(homes: &'a BTreeMap<String, String>, region: &str) -> BTreeSet<&'a String> {
    homes.iter().filter(|(_, home)| home.starts_with(region)).map(|(user, _)| user).collect()
}

#[test]
fn a_user_has_a_home_and_both_regions_serve() -> TestResult {
    let site = Site::start()?;
    let homes = site.homes()?;
    assert_eq!(homes, site.homes()?, "a user moved while all was well");
    for region in ["eu", "us"] {
        let users = of_region(&homes, region).len();
        assert!((15..=45).contains(&users), "{users} of 60 users in {region}: {homes:?}");
    }
    let instances: BTreeSet<&String> = homes.values().collect();
    assert_eq!(instances.len(), 4, "an instance without users: {homes:?}");

    let bound = site.ask("user-1", "us")?;
    assert!(bound.served_by().is_some_and(|by| by.starts_with("us")), "{bound:?}");
    let nameless = || client::get(site.edge, "/", &[]).map(|reply| reply.served_by().map(str::to_owned));
    let first = nameless()?;
    for _ in 0..10 {
        assert_eq!(nameless()?, first, "without an id, a user sticks by address");
    }
    Ok(())
}

#[test]
fn the_users_of_an_ejected_instance_move_and_no_others() -> TestResult {
    let site = Site::start()?;
    let before = site.homes()?;
    let victim = before.iter().find(|(_, home)| *home == "eu-1").map(|(user, _)| user.clone()).expect("a user of eu-1");
    site.eu[0].set(Fault::Status(503));
    eventually("its users are served elsewhere", SOON, || {
        site.ask(&victim, "any").map(|reply| reply.served_by() == Some("eu-2"))
    })?;
    let after = site.homes()?;
    let expected = before.iter().map(|(user, home)| (user.clone(), home.replace("eu-1", "eu-2"))).collect();
    assert_eq!(after, expected);
    assert_eq!(site.envoy.stat("cluster.orders-eu.outlier_detection.ejections_enforced_consecutive_5xx")?, 1);
    assert_eq!(site.us[0].health_checks().min(1), 1, "health checks on /healthz");
    Ok(())
}

#[test]
fn a_failing_region_is_left_in_peace_and_its_users_are_served_by_the_other() -> TestResult {
    let site = Site::start()?;
    let homes = site.homes()?;
    site.open_eu()?;
    let hits: u64 = site.eu.iter().map(Upstream::hits).sum();
    for (user, home) in &homes {
        let reply = site.ask(user, "any")?;
        assert_eq!(reply.status, 200, "{user}");
        let by = reply.served_by().unwrap_or("?");
        assert!(by.starts_with("us") && (home.starts_with("eu") || by == home), "{user}: {home}, now {by}");
    }
    assert_eq!(site.eu.iter().map(Upstream::hits).sum::<u64>(), hits, "the sick region was asked");
    let moved = of_region(&homes, "eu").len() as u64;
    assert_eq!(site.of_eu("rerouted_total")?, moved);

    let stays = site.ask("user-1", "eu")?;
    assert_eq!((stays.status, stays.rejected_by()), (503, Some("circuit-breaker; cause=open")));
    site.envoy.wait_for_log("\"breaker\":\"open\"", SOON)?;
    // Both regions fail: a request is moved once, and no error is hidden.
    site.us.iter().for_each(|instance| instance.set(Fault::Status(500)));
    let nowhere = site.ask(of_region(&homes, "eu").first().expect("a user"), "any")?;
    assert_eq!((nowhere.status, nowhere.rejected_by()), (500, None));
    Ok(())
}

#[test]
fn a_region_without_instances_fails_over_too() -> TestResult {
    let site = Site::start()?;
    let homes = site.homes()?;
    let user = (*of_region(&homes, "eu").first().expect("a user of eu")).clone();
    site.fail_eu(&Fault::Refuse);
    eventually("the other region serves", SOON, || {
        site.ask(&user, "any").map(|reply| reply.served_by().is_some_and(|by| by.starts_with("us")))
    })
}

#[test]
fn users_come_home_when_their_region_works_again() -> TestResult {
    let site = Site::start()?;
    let homes = site.homes()?;
    let quick = json!({"circuit_breaker": {"open": {"base": "500ms", "max": "500ms"}, "recovery": {"over": "500ms"}}});
    site.shipped.push_policy(HOLDFAST, &patch(site.shipped.policy(HOLDFAST)?, quick))?;
    site.open_eu()?;
    site.fail_eu(&Fault::Healthy);
    let user = (*of_region(&homes, "eu").first().expect("a user of eu")).clone();
    eventually("the breaker closes", SOON, || {
        site.ask(&user, "any")?;
        site.ask("user-1", "eu")?;
        Ok::<_, anyhow::Error>(site.of_eu("state")? == 0)
    })?;
    // One instance may still be ejected; the region is home all the same.
    let home = site.ask(&user, "any")?;
    assert!(home.served_by().is_some_and(|by| by.starts_with("eu")), "{home:?}");
    Ok(())
}

#[test]
fn headers_of_ours_are_worth_nothing_from_outside() -> TestResult {
    let site = Site::start()?;
    let homes = site.homes()?;
    let user = *of_region(&homes, "eu").first().expect("a user of eu");
    let call = Call::get(site.edge, "/echo").headers(&[
        ("x-user-id", user),
        ("x-holdfast-fallback", "1"),
        ("x-holdfast-reject", "1"),
    ]);
    let reply = call.send()?;
    assert!(reply.served_by().is_some_and(|by| by.starts_with("eu")), "{reply:?}");
    let seen = &reply.json()?["headers"];
    assert_eq!((&seen["x-holdfast-fallback"], &seen["x-holdfast-reject"]), (&Value::Null, &Value::Null));
    Ok(())
}

#[test]
fn endpoints_and_settings_are_replaced_under_traffic() -> TestResult {
    let site = Site::start()?;
    let newcomer = Upstream::start("eu-3")?;
    site.shipped.push_endpoints("active-active-eu.yaml", &[newcomer.port()])?;
    let served = || site.ask("user-1", "eu").map(|reply| reply.served_by().map(str::to_owned));
    eventually_eq("the new instance serves alone", SOON, &Some("eu-3".into()), served)?;
    let old: u64 = site.eu.iter().map(Upstream::hits).sum();
    for _ in 0..20 {
        site.ask("user-2", "eu")?;
    }
    assert_eq!(site.eu.iter().map(Upstream::hits).sum::<u64>(), old);

    newcomer.set(Fault::Status(503));
    eventually("it opens", SOON, || site.ask("user-1", "eu").map(|reply| reply.rejected_by().is_some()))?;
    let watching = patch(site.shipped.policy(HOLDFAST)?, json!({"circuit_breaker": {"mode": "dry_run"}}));
    site.shipped.push_policy(HOLDFAST, &watching)?;
    eventually("it only watches now", SOON, || {
        site.ask("user-1", "eu").map(|reply| (reply.status, reply.rejected_by().is_none()) == (503, true))
    })
}

#[test]
fn our_metrics_have_labels() -> TestResult {
    let site = Site::start()?;
    site.open_eu()?;
    eventually("all of them are there", SOON, || {
        let page = site.envoy.prometheus()?;
        let scope = [("chain", "downstream"), ("holdfast_instance", "default"), ("key", "orders-eu")];
        let sum = |what: &str, label: &[(&str, &str)]| {
            page.sum(&format!("holdfast_circuit_breaker_{what}"), &[&scope, label].concat())
        };
        ensure!(sum("calls_total", &[("outcome", "failure")]) > 0.0, "calls: {:?}", page.names("holdfast"));
        ensure!(sum("rejected_total", &[("cause", "open")]) > 0.0, "rejected");
        ensure!((sum("transitions_total", &[("to", "open")]) - 1.0).abs() < f64::EPSILON, "transitions");
        ensure!(
            page.names("holdfast").iter().all(|name| !name.contains(['=', ';']) && !name.contains("_key_")),
            "{:?}",
            page.names("holdfast")
        );
        Ok::<_, anyhow::Error>((sum("state", &[]) - 1.0).abs() < f64::EPSILON)
    })
}
