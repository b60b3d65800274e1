//! What these stories share: a breaker that trips quickly and stays open, and how its counts are read.
#![allow(dead_code, reason = "each story uses its part")]
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

use std::time::Duration;

use integration::client::{self, Tally};
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream, Wasm, config, eventually};
use serde_json::{Value, json};

/// Deadline of whatever should happen at once: long, because only a failure waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A breaker that three failures within a second open, for a minute: whatever it admits before that is a leak.
pub(crate) fn policy(change: Value) -> Value {
    let strict = json!({
        "window": {"time": "1s"},
        "minimum_calls": 3,
        "open": {"base": "60s", "max": "60s", "jitter": 0},
        "recovery": {"over": "0s"},
    });
    config::patch(strict, change)
}

/// The shipped module under [`policy`].
pub(crate) fn breaker(change: Value) -> TestResult<Wasm> {
    Ok(Wasm::module("circuit_breaker")?.config(&policy(change)))
}

/// The module that does what the header `x-holdfast-test` says, under [`policy`].
pub(crate) fn hooked(change: Value) -> TestResult<Wasm> {
    Ok(Wasm::test_module("circuit_breaker_hooks")?.name("breaker").config(&policy(change)))
}

/// A route for every path, without a timeout: streams need that.
pub(crate) fn route() -> Value {
    config::with_timeout(config::route("all", "up"), Duration::ZERO)
}

/// Envoy with listener `edge` and these filters in front of `service`.
pub(crate) fn proxy(filters: &[Value], service: &Upstream) -> TestResult<(Envoy, u16)> {
    let listener = config::listener("edge", filters, &[route()]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("up", &[service.port()])]))?;
    let edge = envoy.port("edge")?;
    Ok((envoy, edge))
}

/// The service fails until the breaker refuses, then it is well again: from here on a 200 is a leak.
pub(crate) fn open_the_breaker(edge: u16, service: &Upstream) -> TestResult {
    service.set(Fault::Status(500));
    eventually("the breaker opens", SOON, || is_refused(edge))?;
    service.set(Fault::Healthy);
    Ok(())
}

/// Whether a request on a kept-alive connection is refused by the breaker.
pub(crate) fn is_refused(edge: u16) -> TestResult<bool> {
    Ok(client::get(edge, "/", &[])?.rejected_by().is_some())
}

/// The status of a request on a kept-alive connection.
pub(crate) fn status(edge: u16) -> TestResult<u16> {
    Ok(client::get(edge, "/", &[])?.status)
}

/// 64 requests on connections of their own: the kernel spreads them over both workers.
pub(crate) fn everyone(edge: u16) -> TestResult<Tally> {
    Storm::new(Call::get(edge, "/").fresh_connection()).concurrency(8).total(64).run(SOON)
}

/// The sum of the breaker's metric `what` over all series that carry these labels. Envoy 1.36 keeps the metrics of a cluster's
/// filters under the cluster's name.
pub(crate) fn counted(envoy: &Envoy, what: &str, labels: &[(&str, &str)]) -> TestResult<u64> {
    let series = envoy.stats(&format!("^(cluster\\.[^.]+\\.)?wasmcustom\\.holdfast_circuit_breaker_{what};"))?;
    let wanted =
        |name: &str| labels.iter().all(|(label, value)| name.split(';').any(|part| part == format!("{label}={value}")));
    Ok(series.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value).sum())
}

/// How often the breaker changed to `phase`.
pub(crate) fn turned(envoy: &Envoy, phase: &str) -> TestResult<u64> {
    counted(envoy, "transitions_total", &[("to", phase)])
}
