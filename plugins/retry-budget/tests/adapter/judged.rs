//! Routes may retry what protocol-health marks: such an answer needs a grant as a 503 does.

use crate::support::{GET, STRICT, Tries, envoy, healthy, up, worker};
use sdk_shim::fake::FakeProxy;
use sdk_shim::notice::Notice;
use sdk_shim::outcome::TELLS;

fn told() -> FakeProxy {
    let proxy = envoy();
    Notice::new(TELLS).say(&proxy.worker(), true);
    proxy
}

/// The service answers 200, and protocol-health says this of it. Gives whether the router was told to stop.
fn judged(tries: &Tries<'_>, nth: u32, header: &str, state: &str) -> bool {
    let mut attempt = tries.plugin.stream().attempt(nth).sharing(&tries.state).request(GET);
    tries.state.set("holdfast.outcome", state.as_bytes());
    attempt.respond(&[(":status", "200"), ("x-holdfast-outcome", header)], true);
    let vetoed = attempt.response_header("x-envoy-ratelimited").is_some();
    attempt.finish();
    vetoed
}

#[test]
fn a_marked_answer_is_retried_within_the_budget() {
    let proxy = told();
    let plugin = worker(&proxy, STRICT);
    healthy(&plugin, 9);
    assert!(!judged(&Tries::of(&plugin), 1, "server_fault", "server_fault"), "two of ten");
    assert!(!judged(&Tries::of(&plugin), 1, "unreachable", "unreachable"));
    assert!(judged(&Tries::of(&plugin), 1, "server_fault", "server_fault"), "there is none left");
    assert_eq!(up(&proxy, "granted_total"), 2);
}

#[test]
fn what_nobody_retries_and_what_a_service_says_itself_needs_none() {
    let proxy = told();
    let plugin = worker(&proxy, STRICT);
    for (header, state) in
        [("caller_fault", "caller_fault"), ("partial", "partial"), ("server_fault", ""), ("server_fault", "ok")]
    {
        assert!(!judged(&Tries::of(&plugin), 1, header, state), "{header} {state}");
    }
    assert_eq!(up(&proxy, "granted_total") + up(&proxy, "refused_total;cause=budget"), 0);
}
