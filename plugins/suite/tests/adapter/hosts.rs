//! The suite on the other host.

use crate::support::{call, worker};
use sdk_shim::fake::FakeProxy;

fn kong() -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("kong.route_id", "checkout");
    proxy.set("kong.service_id", "payments");
    proxy
}

#[test]
fn kong_runs_what_it_can() {
    let plugin = worker(
        &kong(),
        r#"{"allow_degraded": true, "protocol_health": {}, "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#,
    );
    assert!(call(&plugin, "200") && call(&plugin, "500") && call(&plugin, "500"));
    assert!(!call(&plugin, "200"), "the breaker is open");
    (0..3).for_each(|_| plugin.tick());
    assert!(plugin.host().traps().is_empty());
}
