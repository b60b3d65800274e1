//! The retry budget, in both chains.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::{Call, Envoy, Fault, TestResult, Upstream, Wasm, client, config, eventually};
use serde_json::json;

use crate::Scene;

const TOKEN: &str = "what only operators know";
const REFUSED: Option<&str> = Some("retry-budget; cause=budget");
const SHED: Option<&str> = Some("retry-budget; cause=client_retry");

struct Budget {
    orders: Upstream,
    envoy: Envoy,
    edge: u16,
}

// === impl Budget ===

impl Scene for Budget {
    const MODULE: &'static str = "retry_budget";
    const UNMISSED: &'static [(&'static str, &'static str)] =
        &[("proxy_on_delete", "without it no stream's memory is ever freed, which shows after days")];

    fn start(list: &BTreeSet<String>) -> TestResult<Self> {
        let orders = Upstream::start("orders")?;
        let module = Wasm::module(Self::MODULE)?.allow(list).env("HOLDFAST_DEBUG", TOKEN);
        let clients = json!({"ratio": 0.1, "min_retries_per_second": 0, "ttl": "10s"});
        let downstream =
            module.clone().config(&json!({"client_retries": clients, "debug_token": {"env": "HOLDFAST_DEBUG"}}));
        let upstream = module.config(&json!({"chain": "upstream"}));
        let long = Duration::from_secs(20);
        let routes = [
            config::with_back_off(
                config::with_retries(config::route_at("late", "/late", "orders"), "5xx", 3),
                long,
                long,
            ),
            config::with_retries(config::route_at("silent", "/silent", "orders"), "5xx", 3),
            config::with_retries(config::route("all", "orders"), "5xx", 3),
        ];
        let listener = config::listener("edge", &[downstream.filter()], &routes);
        let cluster = config::without_limits(config::cluster("orders", &[orders.port()]));
        let cluster = config::upstream_filters(cluster, &[upstream.filter()]);
        let envoy = Envoy::options().concurrency(1).start(&config::bootstrap(&[listener], &[cluster]))?;
        Ok(Self { edge: envoy.port("edge")?, orders, envoy })
    }

    fn play(&self, patience: Duration) -> TestResult {
        let told = client::get(self.edge, "/", &[("x-holdfast-debug", TOKEN)])?;
        ensure!(told.header("x-holdfast-debug-retry-budget").is_some(), "{:?}", told.headers);
        self.keeps_the_bound()?;
        self.answers_where_the_service_gave_none(patience)?;
        eventually("a client's retry is shed", patience, || {
            Ok::<_, anyhow::Error>(client::get(self.edge, "/", &[("x-retry-attempt", "1")])?.rejected_by() == SHED)
        })?;
        self.takes_back_what_was_not_used(patience)?;
        // By itself: nobody asks.
        eventually("the gauges move", patience, || {
            let gauges = self.envoy.stats("holdfast_retry_budget_amplification_permille;chain=upstream.*key=all$")?;
            Ok::<_, anyhow::Error>(gauges.values().any(|permille| *permille > 1000))
        })
    }

    fn envoy(&self) -> &Envoy {
        &self.envoy
    }
}

impl Budget {
    /// Retries are granted, and then refused: the client gets the service's own answer, and nothing of ours.
    fn keeps_the_bound(&self) -> TestResult {
        self.orders.set(Fault::Status(503));
        let before = self.orders.hits();
        for _ in 0..40 {
            let reply = client::get(self.edge, "/", &[])?;
            ensure!(reply.served_by() == Some("orders") && reply.header("x-envoy-ratelimited").is_none(), "{reply:?}");
        }
        // The floor has 10 a window, 40 requests have 8.
        let attempts = self.orders.hits() - before;
        ensure!((45..=76).contains(&attempts), "{attempts} attempts");
        Ok(())
    }

    fn answers_where_the_service_gave_none(&self, patience: Duration) -> TestResult {
        self.orders.set(Fault::Reset);
        eventually("what can't be vetoed is refused", patience, || {
            Ok::<_, anyhow::Error>(client::get(self.edge, "/silent", &[])?.rejected_by() == REFUSED)
        })
    }

    /// A client that leaves while its retry waits gives it back.
    fn takes_back_what_was_not_used(&self, patience: Duration) -> TestResult {
        self.orders.set(Fault::Status(503));
        let leave = Call::get(self.edge, "/late").timeout(Duration::from_millis(100)).fresh_connection();
        eventually("a retry is given back", patience, || {
            let _ = leave.send();
            let back = self.envoy.stats("holdfast_retry_budget_returned_total;.*key=late$")?;
            Ok::<_, anyhow::Error>(back.values().sum::<u64>() > 0)
        })
    }
}

#[test]
fn with_its_list_the_budget_does_all_that_it_does() -> TestResult {
    crate::nothing_is_missing::<Budget>()
}

#[test]
fn each_entry_of_the_budgets_list_is_needed() -> TestResult {
    crate::nothing_is_too_much::<Budget>()
}
