//! What is advised is enough: for what the plugins really store, and in the settings that are shipped.

mod support;

use circuit_breaker::state::{Lease, MAX_LEASES, Phase, State};
use config_schema::sizing::{
    BREAKER_SERIES, BREAKER_STATE, BUDGET_SERIES, BUDGET_SLOTS, CELL_PREFIX, COUNTS, COUNTS_NAME, Demand,
    HEALTH_SERIES, IDEMPOTENCY_SERIES, LEASE,
};
use sdk_shim::cell::Record as _;
use sdk_shim::fake::{FakeProxy, Worker};
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;
use sdk_shim::window::{SLOTS, Totals};
use serde_json::json;
use support::{demand_of, setting};

fn overridden() -> Override {
    let (since, until) = (Instant::from_nanos(1), Instant::from_nanos(2));
    Override { mode: Mode::ForceOpen, since, until }
}

#[test]
fn a_breakers_state_is_never_longer_than_was_counted_on() {
    for permits in [1, MAX_LEASES] {
        let lease = Lease { id: 7, deadline: Instant::from_nanos(9), sent: true, spoke: true };
        let phase = Phase::HalfOpen { leases: vec![lease; permits], issued: 7, succeeded: 7 };
        let state = State { phase, override_: Some(overridden()), ..State::default() };
        let length = state.encode().len() as u64;
        let counted = BREAKER_STATE + LEASE * permits as u64;
        assert!(length <= counted && length + 16 > counted, "{length} of {counted}");
    }
}

#[test]
fn a_budgets_slots_are_never_longer_than_was_counted_on() {
    let mut slots = retry_budget::state::Slots::default();
    for _ in 0..2 * SLOTS {
        slots = slots.next(Totals::default());
    }
    slots.override_ = Some(overridden());
    let length = slots.encode().len() as u64;
    assert!(length <= BUDGET_SLOTS && length + 16 > BUDGET_SLOTS, "{length}");
}

/// Where the file's name leaves no metrics, or Kong has none.
#[test]
fn counts_in_cells_are_never_longer_than_was_counted_on() {
    let (instance, key, longest_key) = ("i".repeat(32), "k".repeat(40), 100);
    let proxy = FakeProxy::wasmx();
    proxy.set("plugin_name", "retry-budget");
    proxy.set("kong.route_id", &key);
    let config = json!({"instance": instance, "client_retries": {}}).to_string();
    let worker = Worker::<retry_budget::RetryBudget>::start(&proxy.worker(), &config).expect("a configuration");
    worker.request(&[(":method", "GET"), (":path", "/"), (":authority", "shop")]).finish();
    let [budget, breaker] = ["retry_budget_client_counts", "circuit_breaker_calls"]
        .map(|what| format!("holdfast_{what};chain=downstream;instance={instance};key={key}"));
    assert!(proxy.shared(&budget).value.is_some(), "{budget}");
    assert_eq!((budget.len() - key.len() + longest_key) as u64, COUNTS_NAME);
    assert!(breaker.len() <= budget.len());
    assert_eq!([u64::MAX; 4].map(|most| most.to_string()).join(" ").len() as u64, COUNTS);
}

/// Thousand keys, each with a node of 96 bytes, a name twice, a state and four numbers.
#[test]
fn a_copy_with_a_hyphen_in_its_name_needs_as_much_shared_data_and_no_metrics() {
    for (name, hyphenated, config) in [
        ("circuit_breaker", "circuit-breaker", json!({})),
        ("retry_budget", "retry-budget", json!({"client_retries": {}})),
        ("holdfast_suite", "holdfast-suite", json!({"circuit_breaker": {}})),
    ] {
        let [named, other] = [name, hyphenated].map(|module| Demand::of(module, &config, 4));
        assert!(named.metrics > 0 && other == Demand { metrics: 0, ..named }, "{other:?}");
        let least = 1_000 * (2 * 96 + 2 * (CELL_PREFIX + 4 + 100) + 2 * COUNTS_NAME + COUNTS);
        assert!(other.shared > least, "{other:?}");
    }
}

#[test]
fn names_and_series_are_as_the_plugins_bound_them() {
    let longest = format!("holdfast;circuit-breaker;downstream;{};{}", "i".repeat(32), "0123abcd");
    assert_eq!(longest.len() as u64, CELL_PREFIX);
    assert_eq!(u64::from(circuit_breaker::breaker::SERIES_PER_KEY), BREAKER_SERIES);
    assert_eq!(u64::from(retry_budget::metrics::SERIES_PER_KEY), BUDGET_SERIES);
    assert_eq!(u64::from(idempotency::metrics::SERIES_PER_KEY), IDEMPOTENCY_SERIES);
    assert_eq!(u64::from(protocol_health::metrics::MOST_SERIES), HEALTH_SERIES);
}

#[test]
fn more_of_anything_never_needs_less() {
    let small =
        json!({"store": {"kind": "memory", "slots": 100, "max_bytes": 1_000_000}, "max_keys": 10, "max_body": 10});
    let one = Demand::of("idempotency", &small, 1);
    for (place, value) in
        [("/store/slots", 10_000), ("/store/max_bytes", 9_000_000), ("/max_keys", 100), ("/max_body", 1_000)]
    {
        let mut more = small.clone();
        *more.pointer_mut(place).expect("a place") = value.into();
        let other = Demand::of("idempotency", &more, 1);
        assert!(other != one, "{place} counts for nothing");
        assert!(other.shared >= one.shared && other.metrics >= one.metrics && other.body >= one.body, "{place}");
    }
    assert!(Demand::of("metrics", &small, 16).metrics > Demand::of("metrics", &small, 1).metrics);
    assert_eq!(
        Demand::of("idempotency", &json!({"store": {"kind": "webdis"}}), 1).shared,
        1 << 20,
        "its records are elsewhere"
    );
}

#[test]
fn a_suite_needs_what_its_plugins_need() {
    let suite = json!({"max_keys": 50, "circuit_breaker": {}, "retry_budget": {"max_keys": 10}, "metrics": null});
    let parts = Demand::of("circuit_breaker", &json!({"max_keys": 50}), 4);
    let parts = parts.and(Demand::of("retry_budget", &json!({"max_keys": 10}), 4));
    assert_eq!(Demand::of("holdfast_suite", &suite, 4), parts);
}

#[test]
fn the_shipped_settings_are_enough_for_the_shipped_files() {
    for file in ["kong-configs/kong.yml", "kong-configs/filter-chains.yml"] {
        let advice = demand_of(file, 4).advice();
        assert!(setting("nginx_wasm_shm_kv") >= advice.shm_kv_mib << 20, "{file}: {advice:?}");
        assert!(setting("nginx_http_client_body_buffer_size") >= advice.body_kib << 10, "{file}: {advice:?}");
        assert!(setting("nginx_http_wasm_response_body_buffers") >= advice.body_kib << 10, "{file}: {advice:?}");
        assert!(advice.slab_size_mib <= 5, "{file} needs a metrics block: {advice:?}");
    }
}
