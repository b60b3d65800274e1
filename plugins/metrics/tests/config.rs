//! What can be configured, what is refused, and how that is said.
#![allow(missing_docs)]

use metrics::config::read;
use metrics::policy::Policy;
use sdk_shim::labels::Label;

fn policy(json: &str) -> Policy {
    read(json.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The paths of all faults, in order.
fn faults(json: &str) -> Vec<String> {
    let faults = read(json.as_bytes()).err();
    faults.iter().flatten().map(|fault| fault.path.clone()).collect()
}

#[test]
fn nothing_is_a_configuration() {
    for empty in ["", "{}", r#"{"canary": null, "region": null}"#] {
        let policy = policy(empty);
        assert!(policy.labels.is_empty() && policy.region.is_none() && !policy.canary_is_cluster);
        assert_eq!((policy.graphql.paths, policy.max_series), (vec!["/graphql".to_owned()], 2_000));
    }
}

#[test]
fn labels_are_read_in_the_tables_order() {
    let policy = policy(
        r#"{"labels": {"tier": {"header": "x-tier", "allow": ["gold"]}, "tenant": {"header": "x-tenant", "allow": []}},
            "canary": {"header": "x-version", "allow": ["v1", "v2"]}}"#,
    );
    let labels: Vec<_> =
        policy.labels.iter().map(|label| (label.label, label.header.as_str(), label.allow.len())).collect();
    assert_eq!(labels, [(Label::Tenant, "x-tenant", 0), (Label::Tier, "x-tier", 1), (Label::Canary, "x-version", 2)]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let json = r#"{"mode": "force_open", "max_series": 0, "graphql": {"paths": ["graphql", "/a?b"], "codes": {}}, "colour": 1,
        "labels": {"tenant": {"header": "X-T", "allow": ["_x", "ok", "a b", 7]}, "client": {}, "route": {"header": "x"}},
        "canary": {"header": "x-c", "cluster": true}, "region": {"metadata": "r"}}"#;
    assert_eq!(
        faults(json),
        [
            "$.mode",
            "$.region",
            "$.labels.tenant.allow[0]",
            "$.labels.tenant.allow[2]",
            "$.labels.tenant.allow[3]",
            "$.labels.tenant.header",
            "$.labels.client.header",
            "$.labels.client.allow",
            "$.labels.route",
            "$.canary",
            "$.canary.allow",
            "$.graphql.paths[0]",
            "$.graphql.paths[1]",
            "$.graphql.codes",
            "$.max_series",
            "$.colour",
        ]
    );
}

#[test]
fn each_entry_has_its_own_fields() {
    assert_eq!(faults(r#"{"chain": "upstream", "labels": {}, "canary": {"cluster": true}}"#), ["$.labels", "$.canary"]);
    assert_eq!(faults(r#"{"chain": "upstream", "region": {}}"#), ["$.region.metadata"]);
    assert_eq!(policy(r#"{"chain": "upstream", "region": {"metadata": "zone"}}"#).region.as_deref(), Some("zone"));
    assert_eq!(faults(r#"{"canary": {"cluster": false}}"#), ["$.canary.cluster"]);
    assert_eq!(faults(r#"{"canary": {}}"#), ["$.canary"]);
}
