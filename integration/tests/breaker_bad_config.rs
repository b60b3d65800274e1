//! A configuration with mistakes reaches the proxy. It is refused wherever it comes in, and the log tells all its mistakes at
//! once: where, what was found, what is allowed.

mod story_b;

use std::time::Duration;

use integration::config::suite;
use integration::{Envoy, TestResult, Upstream, Wasm, XdsFile, client, config, envoy, eventually, throughout};
use serde_json::{Value, json};
use story_b::{SOON, breaker, proxy, route, status};

/// Six mistakes of six kinds: unknown, mistyped, out of range, nested, in a list, and two fields at odds.
fn six_mistakes() -> Value {
    json!({
        "colour": "red",
        "slow_is_failure": "yes",
        "failure_ratio": 2,
        "open": {"base": "5 s"},
        "failure_on": {"status": ["5xx", 999]},
        "window": {"calls": 10}, "minimum_calls": 20,
    })
}

const SIX_FAULTS: [&str; 6] = [
    "$.colour: found an unknown field, allowed: one of ",
    r#"$.slow_is_failure: found "yes", allowed: true or false"#,
    "$.failure_ratio: found 2, allowed: a number from 0.000001 to 1 with at most 6 decimals, or null for never",
    r#"$.open.base: found "5 s", allowed: a duration from 10ms to 3600000ms, such as "#,
    "$.failure_on.status[1]: found 999, allowed: a status such as 503",
    "$.minimum_calls: found 20, allowed: at most the 10 calls of the window",
];

fn with(filter: &Value) -> Value {
    config::bootstrap(
        &[config::listener("edge", std::slice::from_ref(filter), &[route()])],
        &[config::cluster("up", &[9])],
    )
}

fn configured(text: &str) -> TestResult<Value> {
    Ok(Wasm::module("circuit_breaker")?.config_text(text).filter())
}

/// The faults in a log, each once: every VM of the plugin tells them.
fn faults(log: &str) -> Vec<&str> {
    let mut told: Vec<&str> = log.lines().filter_map(|line| line.split("bad configuration: ").nth(1)).collect();
    told.sort_unstable();
    told.dedup();
    told
}

/// The log tells these faults and no others.
fn assert_told(log: &str, expected: &[&str]) {
    let told = faults(log);
    for fault in expected {
        assert!(told.iter().any(|line| line.starts_with(fault)), "{fault:?} is missing in {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

/// `--mode validate` refuses this, for these reasons.
fn assert_refused(filter: &Value, expected: &[&str]) {
    let log = envoy::validate(&with(filter)).expect_err("a refusal");
    assert_told(&log, expected);
}

#[test]
fn validate_tells_every_mistake() -> TestResult {
    assert_refused(&configured(&six_mistakes().to_string())?, &SIX_FAULTS);
    Ok(())
}

#[test]
fn envoy_does_not_start_and_says_why() -> TestResult {
    let error = format!("{:#}", Envoy::start(&with(&configured(&six_mistakes().to_string())?)).unwrap_err());
    assert!(error.contains("Envoy exited at start"), "{error}");
    assert_told(&error, &SIX_FAULTS);
    Ok(())
}

#[test]
fn a_fail_open_filter_is_no_way_around() -> TestResult {
    let open = Wasm::module("circuit_breaker")?.failure_policy("FAIL_OPEN").config(&six_mistakes());
    assert_refused(&open.filter(), &SIX_FAULTS);
    Ok(())
}

#[test]
fn over_ecds_the_old_one_keeps_serving() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({"mode": "force_open", "on_open": {"reply": {"status": 529}}}))?.dynamic()?;
    let (envoy, edge) = proxy(&[filter.filter()], &orders)?;
    filter.update(&Wasm::module("circuit_breaker")?.config(&six_mistakes()).typed_config())?;
    eventually("the log tells all of it", SOON, || faults(&envoy.log()).len() == SIX_FAULTS.len())?;
    assert_told(&envoy.log(), &SIX_FAULTS);
    throughout("the old one serves", Duration::from_millis(300), || status(edge).map(|status| status == 529))
}

#[test]
fn over_lds_the_old_listener_keeps_serving() -> TestResult {
    let orders = Upstream::start("orders")?;
    let listener = |filter: &Wasm| {
        config::xds::typed(config::xds::LISTENER, config::listener("edge", &[filter.filter()], &[route()]))
    };
    let listeners =
        XdsFile::new(&[listener(&breaker(json!({"mode": "force_open", "on_open": {"reply": {"status": 529}}}))?)])?;
    let envoy = Envoy::start(&config::with_lds(
        config::bootstrap(&[], &[config::cluster("up", &[orders.port()])]),
        &listeners,
    ))?;
    let edge = envoy.port("edge")?;
    listeners.update(&[listener(&Wasm::module("circuit_breaker")?.config(&six_mistakes()))])?;
    envoy.wait_for_log("Unable to create Wasm plugin", SOON)?;
    assert_told(&envoy.log(), &SIX_FAULTS);
    assert_eq!(envoy.stat("listener_manager.lds.update_rejected")?, 1);
    throughout("the old one serves", Duration::from_millis(300), || status(edge).map(|status| status == 529))
}

#[test]
fn what_is_no_json_object_is_refused() -> TestResult {
    for (text, told) in [
        ("{", "$: found no clean JSON (expected \" and not the end at line 1 column 2), allowed: a JSON object"),
        ("minimum_calls: 5", "$: found no clean JSON ("),
        ("[]", "$: found [], allowed: a JSON object"),
        ("null", "$: found null, allowed: a JSON object"),
        (r#"{"mode": "enforce"} {}"#, "$: found no clean JSON (trailing characters"),
    ] {
        assert_refused(&configured(text)?, &[told]);
    }
    Ok(())
}

#[test]
fn what_is_allowed_by_itself_may_be_at_odds_with_the_rest() -> TestResult {
    for (config, told) in [
        (
            json!({"key": ["upstream_host"], "mode": "dry_run"}),
            &[r#"$.key: found "upstream_host" in the downstream chain, allowed: "#][..],
        ),
        (
            json!({"chain": "upstream", "key": ["upstream_host"]}),
            &[r#"$.mode: found "enforce" with the key "upstream_host", allowed: "dry_run""#],
        ),
        (
            json!({"chain": "upstream", "on_open": {"reroute": {}}}),
            &[r#"$.on_open: found "reroute" in the upstream chain, allowed: "reply""#],
        ),
        (
            json!({"timeout": 3000, "window": {"time": "1s"}}),
            &["$.window: found an unknown field, allowed: one of timeout, threshold, "],
        ),
        (json!({"open": {"base": "2m"}}), &["$.open: found a max of 60000ms below a base of 120000ms, allowed: "]),
        (
            json!({"window": {}, "key": []}),
            &["$.window: found not exactly one of time, calls", "$.key: found 0 usable parts"],
        ),
    ] {
        assert_refused(&configured(&config.to_string())?, told);
    }
    Ok(())
}

#[test]
fn a_secret_in_clear_or_nowhere_is_refused() -> TestResult {
    let literal = json!({"debug_token": {"literal": "s3cret"}, "max_keys": 0}).to_string();
    let log = envoy::validate(&with(&configured(&literal)?)).expect_err("a refusal");
    let in_clear = "$.debug_token.literal: found a secret in clear, allowed: ";
    assert_told(&log, &[in_clear, "$.max_keys: found 0, allowed: a whole number from 1 to 10000"]);
    assert!(!faults(&log).concat().contains("s3cret"), "a fault must not tell the secret");

    let missing = json!({"debug_token": {"env": "HOLDFAST_NOWHERE"}}).to_string();
    let nowhere = "$.debug_token: found no variable HOLDFAST_NOWHERE in the VM's environment";
    assert_refused(&configured(&missing)?, &[nowhere]);
    Ok(())
}

#[test]
fn a_missing_secret_is_told_together_with_everything_else() -> TestResult {
    let config = json!({"debug_token": {"env": "HOLDFAST_NOWHERE"}, "colour": "red"}).to_string();
    let nowhere = "$.debug_token: found no variable HOLDFAST_NOWHERE in the VM's environment";
    assert_refused(&configured(&config)?, &[nowhere, "$.colour: found an unknown field"]);
    Ok(())
}

#[test]
fn every_way_to_write_a_good_one_is_accepted() -> TestResult {
    let secret = json!({"debug_token": {"literal": "s3cret"}, "insecure_literal": true});
    let from_env = json!({"debug_token": {"env": "HOLDFAST_TOKEN"}});
    // Envoy 1.36 gives entries of one `vm_id` one environment, so the last one has another.
    let entries = [
        ("nothing", without_configuration(configured("")?)),
        ("empty", configured("")?),
        ("default", configured("{}")?),
        ("legacy", configured(&legacy().to_string())?),
        ("full", configured(&full().to_string())?),
        ("secret", configured(&secret.to_string())?),
        (
            "from_env",
            Wasm::module("circuit_breaker")?.config(&from_env).vm_id("env").env("HOLDFAST_TOKEN", "t").filter(),
        ),
    ];
    assert_accepted(&entries, "full")
}

#[test]
fn a_struct_is_as_good_as_a_text() -> TestResult {
    let entries = [
        ("nothing", as_struct(configured("{}")?, &json!({}))),
        ("legacy", as_struct(configured("{}")?, &legacy())),
        ("full", as_struct(configured("{}")?, &full())),
    ];
    assert_accepted(&entries, "full")?;
    let log = envoy::validate(&with(&as_struct(configured("{}")?, &six_mistakes()))).expect_err("a refusal");
    assert_told(&log, &SIX_FAULTS);
    Ok(())
}

/// Envoy starts with all of these, and the one named `forced` refuses as [`full`] says.
fn assert_accepted(entries: &[(&str, Value)], forced: &str) -> TestResult {
    let orders = Upstream::start("orders")?;
    let listeners: Vec<Value> =
        entries.iter().map(|(name, filter)| config::listener(name, std::slice::from_ref(filter), &[route()])).collect();
    let envoy = Envoy::start(&config::bootstrap(&listeners, &[config::cluster("up", &[orders.port()])]))?;
    for (name, _) in entries {
        let reply = client::get(envoy.port(name)?, "/", &[])?;
        let expected = if *name == forced { (529, Some("open")) } else { (200, None) };
        assert_eq!((reply.status, reply.header("x-why")), expected, "{name}");
    }
    Ok(())
}

/// The form found in the wild.
fn legacy() -> Value {
    json!({"timeout": 3000, "threshold": 0.5, "min_half_open_requests": 5, "window_size": 10000})
}

/// A configuration with fields of every type.
fn full() -> Value {
    json!({
        "mode": "force_open", "minimum_calls": 20, "failure_ratio": 0.25, "window": {"calls": 100}, "open": {"factor": 1.5},
        "key": ["route", "header:x-tenant"], "slow_is_failure": true, "slow_ratio": null, "debug_token": null,
        "on_open": {"reply": {"status": 529, "headers": {"x-why": "open"}, "body": "later"}},
    })
}

/// The entry as people write it who leave `configuration` away. The suite must be told what to run.
fn without_configuration(filter: Value) -> Value {
    if suite::is_meant() {
        return filter;
    }
    config::patch(filter, json!({"typed_config": {"config": {"configuration": null}}}))
}

/// The entry with a protobuf Struct, which knows only doubles, instead of a text.
fn as_struct(filter: Value, config: &Value) -> Value {
    let config = suite::configuration("circuit_breaker", config);
    let configuration = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": config});
    config::patch(filter, json!({"typed_config": {"config": {"configuration": configuration}}}))
}
