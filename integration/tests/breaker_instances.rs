//! Two teams share a gateway and a service, each with a breaker of its own. What one decides is none of the other's business.

mod story_b;

use std::time::Duration;

use integration::{Envoy, Fault, TestResult, Upstream, client, config, eventually_eq, throughout};
use serde_json::{Value, json};
use story_b::{SOON, breaker, counted, everyone, open_the_breaker, route, status};

/// One Envoy, two listeners, one service; the routes have the same name, so the keys are the same too.
fn gateway(orders: &Upstream, web: Value, batch: Value) -> TestResult<(Envoy, u16, u16)> {
    let entry = |name, change| anyhow::Ok(config::listener(name, &[breaker(change)?.filter()], &[route()]));
    let listeners = [entry("web", web)?, entry("batch", batch)?];
    let envoy = Envoy::start(&config::bootstrap(&listeners, &[config::cluster("up", &[orders.port()])]))?;
    let (web, batch) = (envoy.port("web")?, envoy.port("batch")?);
    Ok((envoy, web, batch))
}

#[test]
fn two_policies_under_two_names_dont_mix() -> TestResult {
    let orders = Upstream::start("orders")?;
    let strict = json!({"instance": "web"});
    let patient = json!({"instance": "batch", "minimum_calls": 100_000});
    let (envoy, web, batch) = gateway(&orders, strict, patient)?;

    orders.set(Fault::Status(500));
    let failed = everyone(batch)?;
    assert_eq!((failed.status(500), failed.rejected()), (64, 0));
    assert_eq!(client::get(web, "/", &[])?.rejected_by(), None, "the other's failures don't count here");
    open_the_breaker(web, &orders)?;

    assert_eq!(everyone(web)?.rejected(), 64);
    assert_eq!(everyone(batch)?.status(200), 64);
    let of =
        |instance, what, labels: &[(&str, &str)]| counted(&envoy, what, &[&[("instance", instance)], labels].concat());
    assert_eq!((of("web", "transitions_total", &[("to", "open")])?, of("batch", "transitions_total", &[])?), (1, 0));
    assert_eq!(of("batch", "calls_total", &[("outcome", "failure")])?, 64);
    eventually_eq("all of its requests are counted", SOON, &128, || of("batch", "calls_total", &[]))?;
    assert_eq!(of("web", "calls_total", &[("outcome", "success")])?, 0);
    Ok(())
}

#[test]
fn two_entries_under_one_name_decide_as_one() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, web, batch) = gateway(&orders, json!({}), json!({"on_open": {"reply": {"status": 529}}}))?;
    open_the_breaker(web, &orders)?;
    eventually_eq("both refuse, each in its way", SOON, &(64, 64), || {
        anyhow::Ok((everyone(web)?.status(503), everyone(batch)?.status(529)))
    })?;
    assert_eq!(story_b::turned(&envoy, "open")?, 1);
    Ok(())
}

#[test]
fn the_same_name_with_other_windows_is_another_state() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, web, batch) =
        gateway(&orders, json!({}), json!({"window": {"time": "2s"}, "minimum_calls": 100_000}))?;
    open_the_breaker(web, &orders)?;
    assert_eq!((everyone(web)?.rejected(), everyone(batch)?.status(200)), (64, 64));
    Ok(())
}

#[test]
fn the_same_name_with_other_thresholds_leaves_nobody_unguarded() -> TestResult {
    for strict_is_first in [true, false] {
        let orders = Upstream::start("orders")?;
        let [strict, patient] = [json!({}), json!({"minimum_calls": 100_000})];
        let (envoy, strict, patient) = if strict_is_first {
            gateway(&orders, strict, patient)?
        } else {
            let (envoy, patient, strict) = gateway(&orders, patient, strict)?;
            (envoy, strict, patient)
        };
        // The patient one has the last word so far, and nothing that it would do with it.
        assert_eq!(everyone(patient)?.status(200), 64);
        throughout("ticks go by", Duration::from_millis(300), || status(patient).map(|status| status == 200))?;
        open_the_breaker(strict, &orders)?;
        assert_eq!(everyone(strict)?.rejected(), 64);
        assert_eq!(story_b::turned(&envoy, "open")?, 1);
    }
    Ok(())
}
