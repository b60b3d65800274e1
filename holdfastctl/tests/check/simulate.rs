//! An outage is described, and the command says what would have become of it.

use crate::run::{answer, folder, holdfastctl, repository};
use serde_json::Value;

/// The one that the docs show.
fn outage() -> String {
    let docs = std::fs::read_to_string(repository().join("docs/gitops.md")).expect("docs/gitops.md");
    let (_, rest) = docs.split_once("```yaml\n# outage.yaml\n").expect("an outage");
    rest.split_once("```").expect("its end").0.to_owned()
}

fn simulated(config: &str) -> Value {
    let folder = folder(&format!("simulated-{}", config.replace(['/', '.'], "-")));
    let scenario = folder.join("outage.yaml");
    std::fs::write(&scenario, outage()).expect("a file");
    answer(&repository(), &["simulate", "--config", config, "--scenario", &scenario.display().to_string()])
}

fn number(answer: &Value, which: &str, name: &str) -> u64 {
    answer[which][name].as_u64().unwrap_or_else(|| panic!("no {which} {name}: {answer}"))
}

#[test]
fn a_breaker_keeps_clients_from_waiting_and_the_service_from_being_asked() {
    // What is in dry run here is enforced there.
    for config in ["envoy-configs/minimal.yaml", "envoy-configs/hardened.yaml"] {
        let answer = simulated(config);
        let both = |name| (number(&answer, "with", name), number(&answer, "without", name));
        let (with, without) = both("attempts");
        assert!(with * 2 < without, "{config}: {with} attempts, and {without}");
        let (with, without) = both("waited_in_vain_seconds");
        assert!(with * 10 < without, "{config}: {with} s in vain, and {without}");
        assert!(number(&answer, "with", "refused") > 0 && number(&answer, "without", "refused") == 0);
        let sum =
            |which| ["good", "failed", "refused", "moved"].map(|name| number(&answer, which, name)).iter().sum::<u64>();
        for which in ["with", "without"] {
            assert_eq!(sum(which), number(&answer, which, "requests"), "{config}: each request ends in one way");
        }
        let phases: Vec<&str> = answer["with"]["seconds"]
            .as_array()
            .expect("seconds")
            .iter()
            .filter_map(|one| one["phase"].as_str())
            .collect();
        assert_eq!(
            (phases.first(), phases.last()),
            (Some(&"closed"), Some(&"closed")),
            "{config}: it is well in the end"
        );
        assert!(phases.contains(&"open") && phases.contains(&"recovering"), "{config}: {phases:?}");
    }
}

#[test]
fn a_budget_alone_bounds_what_retries_add() {
    let answer = simulated("envoy-configs/retry-budget.yaml");
    let (requests, attempts) = (number(&answer, "with", "requests"), number(&answer, "with", "attempts"));
    assert!(attempts * 10 <= requests * 12, "{attempts} attempts of {requests} requests");
    let (requests, attempts) = (number(&answer, "without", "requests"), number(&answer, "without", "attempts"));
    assert!(attempts * 10 > requests * 12, "{attempts} attempts of {requests} requests without it");
}

#[test]
fn the_same_outage_has_the_same_outcome_and_can_be_looked_at() {
    assert_eq!(simulated("envoy-configs/minimal.yaml"), simulated("envoy-configs/minimal.yaml"));
    let folder = folder("drawn");
    std::fs::write(folder.join("outage.yaml"), outage()).expect("a file");
    std::fs::write(folder.join("breaker.json"), "{}").expect("a file");
    let arguments =
        ["simulate", "--plugin", "circuit_breaker", "--config", "breaker.json", "--scenario", "outage.yaml"];
    let output = holdfastctl(&folder, &[&arguments[..], &["--svg", "outage.svg"]].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("With circuit breaker: # good") && text.contains("half open"), "{text}");
    let picture = std::fs::read_to_string(folder.join("outage.svg")).expect("a picture");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && !picture.contains("NaN"));
}

#[test]
fn what_cannot_be_simulated_is_told() {
    let folder = folder("unsimulated");
    std::fs::write(folder.join("outage.yaml"), outage()).expect("a file");
    std::fs::write(folder.join("wrong.yaml"), "service: [{takes: long}]\n").expect("a file");
    std::fs::write(folder.join("breaker.json"), r#"{"failure_ratio": 2}"#).expect("a file");
    let refused = |config: &str, scenario: &str, plugin: &str| {
        let arguments = ["simulate", "--plugin", plugin, "--config", config, "--scenario", scenario];
        let output = holdfastctl(&folder, &arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(refused("breaker.json", "outage.yaml", "circuit_breaker").contains("$.failure_ratio"));
    assert!(refused("breaker.json", "wrong.yaml", "circuit_breaker").contains("$.service[0].takes"));
    assert!(refused("breaker.json", "outage.yaml", "metrics").contains("neither"));
}
