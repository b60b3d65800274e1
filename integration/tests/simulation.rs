//! The simulator's promises: what the plugin's decisions do to layers of gateways. No proxy runs.

use std::time::Duration;

use integration::simulation::{Outcome, Scenario, Scheme, Study, report, run, svg};

/// Few nodes, as busy as those of a large system: what is promised per node doesn't depend on how many there are.
fn small() -> Scenario {
    Scenario { nodes: 4, duration: Duration::from_secs(24), ..Scenario::default() }
}

fn ours(configuration: &str) -> Scheme {
    Scheme::configured(configuration).unwrap()
}

fn floorless() -> Scheme {
    ours(r#"{"min_retries_per_second": 0}"#)
}

#[test]
fn without_a_budget_three_layers_of_four_tries_make_sixty_four_of_one_exactly() {
    let sum = run(&small().everything_fails(), &Scheme::Unlimited).sum();
    assert!(sum.requests > 1_500, "{sum:?}");
    assert_eq!(sum.attempts, 64 * sum.requests);
    assert_eq!(sum.good, 0);
}

#[test]
fn with_ours_each_layer_adds_no_more_than_its_ratio() {
    for (layers, most) in [(1, 1.2), (2, 1.44), (3, 1.728)] {
        let outcome = run(&Scenario { layers, ..small() }.everything_fails(), &floorless());
        let amplification = outcome.amplification();
        assert!(amplification <= most, "{layers} layers: {amplification}");
        // And it is a budget, not a ban: whole slots that are looked at once too often cost a tenth of it.
        assert!(amplification > 1.0 + (most - 1.0) * 0.75, "{layers} layers: {amplification}");
    }
}

#[test]
fn the_bound_holds_for_other_ratios_and_floors() {
    let scenario = Scenario { layers: 1, ..small() }.everything_fails();
    for (ratio, floor, most) in [(0.6, 0, 1.6), (1.0, 0, 2.0), (0.05, 2, 1.15)] {
        let scheme = ours(&format!(r#"{{"ratio": {ratio}, "min_retries_per_second": {floor}}}"#));
        let amplification = run(&scenario, &scheme).amplification();
        assert!(amplification <= most + 0.05 * most, "{ratio} + {floor}/s: {amplification}");
        assert!(amplification > 1.0 + (most - 1.0) * 0.75, "{ratio} + {floor}/s: {amplification}");
    }
}

#[test]
fn failures_by_chance_are_retried_as_if_there_were_no_budget() {
    let scenario = small().one_in_ten_fails();
    let free = run(&scenario, &Scheme::Unlimited).goodput();
    for scheme in [ours("{}"), floorless()] {
        let goodput = run(&scenario, &scheme).goodput();
        assert!(free - goodput < 0.01, "{}: {goodput} instead of {free}", scheme.name());
    }
}

#[test]
fn after_a_stall_the_service_comes_back_with_ours_and_never_without() {
    let scenario = small().outage();
    let end = |outcome: &Outcome| outcome.goodput_between(60, 80);
    let (free, bounded) = (run(&scenario, &Scheme::Unlimited), run(&scenario, &ours("{}")));
    assert!(free.goodput_between(0, 20) > 0.99, "all was well before");
    assert!(end(&free) < 0.01 && free.well_from(25).is_none(), "{}", end(&free));
    assert!(end(&bounded) > 0.99, "{}", end(&bounded));
    assert!(bounded.well_from(25).is_some_and(|second| second <= 35), "{:?}", bounded.well_from(25));
}

/// Why the floor is per node, small, and shown in a gauge: where nodes have little to do it is most of the budget.
#[test]
fn a_floor_as_large_as_the_load_is_no_bound() {
    let scenario = Scenario { nodes: 40, load: 1, ..Scenario::default() };
    assert!(run(&scenario.clone().everything_fails(), &ours("{}")).amplification() > 4.0);
    assert!(run(&scenario.clone().outage(), &ours("{}")).well_from(25).is_none());
    assert!(run(&scenario.outage(), &floorless()).well_from(25).is_some());
}

/// It compares what is under way now, and where a node has little to do nothing ever is.
#[test]
fn envoys_gauge_bounds_busy_nodes_and_not_idle_ones() {
    let at = |load| run(&Scenario { layers: 1, load, ..small() }.everything_fails(), &Scheme::Envoy).amplification();
    assert!(at(200) < 1.5, "{}", at(200));
    assert!(at(1) > 3.9, "{}", at(1));
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_one_another() {
    let story = |seed| run(&Scenario { seed, ..small() }.one_in_ten_fails(), &ours("{}"));
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn every_scheme_sees_the_same_requests() {
    let requests = |scheme| {
        let seconds = run(&small().outage(), &scheme).seconds;
        seconds.into_iter().map(|second| second.requests).take(80).collect::<Vec<_>>()
    };
    assert_eq!(requests(Scheme::Envoy), requests(floorless()));
}

#[test]
fn the_report_names_every_budget_in_every_table_and_the_chart_draws_three() {
    let base = Scenario { layers: 1, nodes: 1, load: 2, duration: Duration::from_secs(2), ..Scenario::default() };
    let study = Study::of(base, &ours("{}"));
    for table in report::tables(&study) {
        let text = table.to_string();
        assert!(study.schemes.iter().all(|scheme| text.contains(&scheme.name())), "{text}");
    }
    let chart = svg::chart(&study);
    assert!(chart.starts_with("<svg") && chart.ends_with("</svg>\n"));
    assert_eq!(chart.matches("<path class=\"curve ours\"").count(), 1);
}
