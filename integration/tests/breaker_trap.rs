//! A bug kills the VM. The proxy starts another one, and that one knows what its predecessor knew.

mod story_b;

use std::time::Duration;

use integration::client::Storm;
use integration::{Call, Envoy, Fault, TestResult, Upstream, eventually, eventually_eq};
use serde_json::json;
use story_b::{SOON, everyone, hooked, is_refused, open_the_breaker, proxy, status, turned};

/// HTTP/2 requests share one connection, so one worker and one VM.
fn on_one_worker(edge: u16) -> Call {
    Call::get(edge, "/").http2()
}

/// Kills the VM of the worker that [`on_one_worker`] talks to. The request that did it is answered by Envoy.
fn trap(edge: u16, envoy: &Envoy) -> TestResult {
    let reply = on_one_worker(edge).header("x-holdfast-test", "trap").send()?;
    assert_eq!((reply.status, reply.rejected_by(), reply.served_by()), (503, None, None));
    envoy.wait_for_log("proxy_on_request_headers failed", SOON)?;
    Ok(())
}

#[test]
fn requests_are_served_again_after_a_trap() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[hooked(json!({}))?.filter()], &orders)?;
    assert_eq!(on_one_worker(edge).send()?.status, 200);
    for _ in 0..3 {
        trap(edge, &envoy)?;
        eventually_eq("the same worker serves again", Duration::from_secs(5), &200, || {
            on_one_worker(edge).send().map(|reply| reply.status)
        })?;
        eventually_eq("everyone is served", Duration::from_secs(5), &64, || anyhow::Ok(everyone(edge)?.status(200)))?;
    }
    assert!(envoy.is_running());
    open_the_breaker(edge, &orders)
}

#[test]
fn an_open_breaker_is_still_open_after_a_trap() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[hooked(json!({}))?.filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    let hits = orders.hits();
    for _ in 0..3 {
        trap(edge, &envoy)?;
        eventually("the same worker refuses again", Duration::from_secs(5), || {
            on_one_worker(edge).send().map(|reply| reply.rejected_by().is_some())
        })?;
    }
    assert_eq!(everyone(edge)?.status(200), 0);
    assert_eq!((orders.hits(), turned(&envoy, "open")?), (hits, 1), "nothing leaked, nothing was decided anew");
    Ok(())
}

#[test]
fn a_probe_that_dies_with_its_vm_is_given_up() -> TestResult {
    let orders = Upstream::start("orders")?;
    let brief = json!({"open": {"base": "300ms", "factor": 1}, "half_open": {"timeout": "2s"}});
    let (envoy, edge) = proxy(&[hooked(brief)?.filter()], &orders)?;
    orders.set(Fault::Status(500));
    eventually("the breaker opens", SOON, || is_refused(edge))?;

    // The probe hangs; its lease is out.
    orders.set(Fault::Hang);
    let probe = Storm::new(on_one_worker(edge).timeout(SOON)).total(1_000).per_second(50.0).start();
    eventually_eq("a probe is under way", SOON, &1, || anyhow::Ok(orders.in_flight()))?;
    trap(edge, &envoy)?;
    orders.set(Fault::Healthy);

    envoy.wait_for_log(r#""cause":"lease_expired""#, SOON)?;
    eventually_eq("the next probe closes the breaker", SOON, &1, || {
        status(edge)?;
        turned(&envoy, "closed")
    })?;
    assert_eq!(status(edge)?, 200);
    drop(probe);
    Ok(())
}
