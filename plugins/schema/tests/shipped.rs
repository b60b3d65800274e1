//! Every configuration of a plugin in `kong-configs/` and `envoy-configs/`, as it is shipped: good by its schema, and taken by the plugin on its host.

mod support;

use config_schema::dialect::in_2020_12;
use config_schema::meta::modules;
use config_schema::rules::HOST_RULES;
use sdk_shim::config::Faults;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::FakeHost;
use sdk_shim::flavor::Flavor;
use serde_json::Value;
use std::path::Path;
use support::{kongs, objects, repository, yaml, yaml_files};

/// Modules and their configurations in a file of Envoy's.
fn envoys(file: &Value) -> Vec<(String, Value)> {
    let plugin = |object: &Value| {
        let path = object.pointer("/vm_config/code/local/filename")?.as_str()?;
        let module = Path::new(path).file_stem()?.to_str()?.to_owned();
        let config = match object.pointer("/configuration/value") {
            Some(Value::String(text)) => serde_json::from_str(text).expect("JSON"),
            Some(value) => value.clone(),
            None => serde_json::json!({}),
        };
        Some((module, config))
    };
    objects(file).into_iter().filter_map(plugin).collect()
}

fn is_good(file: &str, module: &str, config: &Value) {
    let modules = modules();
    let (_, schema) = modules.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{file}: {module}"));
    let validator = jsonschema::draft4::new(schema).expect("a schema");
    validator.validate(config).unwrap_or_else(|error| panic!("{file}: {module}: {error} at {}", error.instance_path()));
    let modern = jsonschema::draft202012::new(&in_2020_12(schema)).expect("a schema");
    assert!(modern.is_valid(config), "{file}: {module}: good by draft-04 alone");
}

fn configure(host: &FakeHost, module: &str, config: &Value) -> Result<(), Faults> {
    let text = config.to_string();
    match module {
        "circuit_breaker" => circuit_breaker::CircuitBreaker::configure(host, text.as_bytes()).map(|_| ()),
        "retry_budget" => retry_budget::RetryBudget::configure(host, text.as_bytes()).map(|_| ()),
        "idempotency" => idempotency::Idempotency::configure(host, text.as_bytes()).map(|_| ()),
        "protocol_health" => protocol_health::ProtocolHealth::configure(host, text.as_bytes()).map(|_| ()),
        "metrics" => metrics::Metrics::configure(host, text.as_bytes()).map(|_| ()),
        "control" => control::Control::configure(host, text.as_bytes()).map(|_| ()),
        _ => suite::Suite::configure(host, text.as_bytes()).map(|_| ()),
    }
}

#[test]
fn what_is_shipped_for_kong_is_good_and_every_filter_starts() {
    let mut seen = Vec::new();
    for file in yaml_files("kong-configs").iter().chain(&["kong-configs/snippets/circuit-breaker.yml".to_owned()]) {
        for (module, config) in kongs(&yaml(file)) {
            is_good(file, &module, &config);
            configure(&FakeHost::wasmx(), &module, &config)
                .unwrap_or_else(|faults| panic!("{file}: {module}: {faults}"));
            seen.push(module);
        }
    }
    // The control entry is for Envoy alone.
    let shown = |module: &str| module == "control" || seen.iter().any(|name| name == module);
    let missing: Vec<_> = modules().into_iter().filter(|(module, _)| !shown(module)).collect();
    assert!(missing.is_empty(), "nothing shows how Kong is told of {:?}", missing.first().map(|(module, _)| module));
}

#[test]
fn what_is_shipped_for_envoy_is_good_and_every_filter_starts() {
    let mut seen = 0;
    for file in yaml_files("envoy-configs") {
        for (module, config) in envoys(&yaml(&file)) {
            is_good(&file, &module, &config);
            let host = FakeHost::envoy();
            for variable in ["HOLDFAST_SECRET", "HOLDFAST_CONTROL_TOKEN"] {
                host.proxy().set_env(variable, "0123456789abcdef0123456789abcdef");
            }
            configure(&host, &module, &config).unwrap_or_else(|faults| panic!("{file}: {module}: {faults}"));
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen} plugins");
}

#[test]
fn the_snippet_found_in_the_wild_is_taken_as_it_stands() {
    let file = yaml("kong-configs/snippets/circuit-breaker.yml");
    let [(module, config)] = kongs(&file).try_into().expect("one filter of ours");
    assert_eq!(module, "circuit_breaker");
    let policy = circuit_breaker::config::read(config.to_string().as_bytes()).expect("a policy");
    assert_eq!((policy.slow_call.as_millis(), policy.half_open.permits, policy.slow_is_failure), (3_000, 5, true));
}

/// Its last line answers every request with 500 (docs/kong.md), and must not be copied into what is shipped.
#[test]
fn no_shipped_file_has_the_snippets_trap() {
    let trap = "$(headers.x-request-id)";
    let snippet =
        std::fs::read_to_string(repository().join("kong-configs/snippets/circuit-breaker.yml")).expect("a file");
    assert!(snippet.contains(trap));
    for file in yaml_files("kong-configs") {
        let text = std::fs::read_to_string(repository().join(&file)).expect("a file");
        assert!(!text.contains(trap), "{file}");
    }
}

#[test]
fn a_wrong_value_in_a_shipped_file_is_told_with_its_path() {
    let mut file = yaml("kong-configs/kong.yml");
    let config = file.pointer_mut("/services/0/plugins/1/config").expect("the breaker");
    config["window"]["time"] = "10x".into();
    let schema = modules().swap_remove(0).1;
    let validator = jsonschema::draft4::new(&schema).expect("a schema");
    let error = validator.validate(config).expect_err("a wrong value");
    assert_eq!(error.instance_path().to_string(), "/window/time");
    let modern = jsonschema::draft202012::new(&in_2020_12(&schema)).expect("a schema");
    assert_eq!(modern.validate(config).expect_err("a wrong value").instance_path().to_string(), "/window/time");
    let faults = configure(&FakeHost::wasmx(), "circuit_breaker", config).expect_err("a wrong value");
    assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["$.window.time"]);
}

/// An empty list is an empty object once it has been in Lua, and the filter refuses that.
#[test]
fn no_configuration_for_kong_has_an_empty_list() {
    for file in yaml_files("kong-configs") {
        for (module, config) in kongs(&yaml(&file)) {
            let lists = objects(&config)
                .into_iter()
                .flat_map(|object| object.as_object().into_iter().flat_map(|fields| fields.values()));
            let empty = lists.filter(|value| value.as_array().is_some_and(Vec::is_empty)).count();
            assert_eq!(empty, 0, "{file}: {module}");
        }
    }
}

#[test]
fn each_listed_rule_of_a_host_is_that_hosts_alone() {
    for rule in HOST_RULES {
        let (module, example) = rule.example;
        let config: Value = serde_json::from_str(example).expect("JSON");
        is_good("the table", module, &config);
        let host = if rule.host == Flavor::WasmX { FakeHost::wasmx() } else { FakeHost::envoy() };
        let faults = configure(&host, module, &config).expect_err(rule.sentence);
        assert!(faults.iter().any(|fault| fault.path == rule.path), "{}: {faults}", rule.sentence);
    }
}
