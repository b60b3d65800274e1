//! What is compared.

use std::path::PathBuf;

use anyhow::Result;
use integration::Wasm;
use integration::config::wasm::modules;
use serde_json::{Value, json};

use crate::args::Args;

/// The Lua filter that does the same job.
const LUA: &str = include_str!("../../../bench/breaker.lua");
/// Keys that clients choose may fill half of the registry.
const MAX_KEYS: u32 = 2_500;

/// Who plays which part in the verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// No filter: what all others are compared with.
    None,
    /// The floor of every proxy-wasm filter.
    Noop,
    /// The closed breaker's host calls without the breaker: the floor of any filter that asks as much.
    HostCalls,
    /// The closed breaker with its default key.
    Breaker,
    /// One key of many.
    OneKey,
    /// The same kind of key, a thousand of them.
    ManyKeys,
    /// The same logic in Lua.
    Lua,
    /// The retry budget's downstream entry.
    BudgetDownstream,
    /// The floor of every filter in the upstream chain.
    UpstreamNoop,
    /// The retry budget's upstream entry.
    BudgetUpstream,
    /// Protocol health's entry of attempts, for a request that is no GraphQL.
    HealthUpstream,
    /// The metrics plugin's entry of requests, for a request that a service answers.
    MetricsDownstream,
    /// Its entry of attempts.
    MetricsUpstream,
    /// Idempotency keys, for a request that isn't theirs.
    NotOurs,
    /// All plugins in one module, in the listener's chain.
    Suite,
    /// The same as modules of their own.
    Separate,
    /// All of a cluster's plugins in one module.
    SuiteUpstream,
    /// The same as modules of their own.
    SeparateUpstream,
    /// Shown only.
    Other,
}

/// Which paths the requests ask for; all of the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paths {
    /// One.
    One,
    /// The same by POST, without a body.
    OnePosted,
    /// A thousand, in turn.
    Thousand,
}

/// One configuration.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) filters: Vec<Value>,
    /// Filters of the cluster's chain, where there are any.
    pub(crate) upstream: Vec<Value>,
    pub(crate) paths: Paths,
    pub(crate) route_is_named: bool,
    /// Visits per round: what others are compared with is measured more often.
    pub(crate) visits: u32,
    pub(crate) module: Option<PathBuf>,
}

/// Envoy answers by itself.
pub(crate) fn direct(args: &Args) -> Result<Vec<Subject>> {
    let mut subjects = vec![
        Subject::stock(Role::None, "no filter", &[]).visited(3),
        noop()?,
        breakers_calls()?,
        breaker()?,
        unnamed()?,
        keyed(Role::OneKey, "breaker, key path:2, 1 key", Paths::One)?,
        keyed(Role::ManyKeys, "breaker, key path:2, 1,000 keys", Paths::Thousand)?,
        Subject::stock(Role::Lua, "Lua breaker", &[lua()]).visited(2),
        budget_downstream()?.visited(3),
        health_edge()?,
        metrics_calls()?,
        metrics()?.visited(2),
        suites_calls()?,
        suite()?.visited(3),
        separate()?.visited(2),
        Subject::stock(Role::Other, "native admission_control", &[admission_control()]),
    ];
    subjects.retain(|subject| subject.is_wanted(args));
    for also in &args.also {
        let module = Wasm::file(&also.name, &also.file).vm_id(&also.name).config(&also.config);
        subjects.push(Subject::wasm(Role::Other, &also.name, &module, also.file.clone()).visited(2));
    }
    Ok(subjects)
}

/// An upstream answers.
pub(crate) fn proxied(args: &Args) -> Result<Vec<Subject>> {
    let none = Subject::stock(Role::None, "no filter", &[]).visited(3);
    let lua = Subject::stock(Role::Lua, "Lua breaker", &[lua()]);
    let mut subjects = vec![none, noop()?, breakers_calls()?, breaker()?, unnamed()?, lua, budget_downstream()?];
    subjects.extend(
        [upstream_noop()?, budget_upstream()?, budget()?, health_upstream()?, health_rest()?]
            .map(|subject| subject.visited(2)),
    );
    let metrics = [metrics_calls()?, metrics_downstream()?, metrics_upstream()?, metrics_both()?]
        .map(|subject| subject.visited(2));
    subjects.extend(metrics);
    let suites = [
        suites_calls()?,
        suite()?,
        separate()?,
        suites_calls_upstream()?,
        suite_upstream()?,
        separate_upstream()?,
        suite_both()?,
    ];
    subjects.extend(suites.map(|subject| subject.visited(2)));
    subjects.retain(|subject| subject.is_wanted(args));
    Ok(subjects)
}

/// The floor of every proxy-wasm filter.
pub(crate) fn noop() -> Result<Subject> {
    let module = Wasm::test_module("noop")?.vm_id("noop");
    Ok(Subject::wasm(Role::Noop, "no-op Wasm", &module, modules()?.join("test/noop.wasm")).visited(3))
}

/// A plugin's host calls for a healthy GET without the plugin, as its `tests/adapter/costs.rs` has them: the floor of any filter that asks as much.
fn host_calls(role: Role, name: &str, calls: &Value) -> Result<Subject> {
    let module = Wasm::test_module("host_calls")?.vm_id(name).config(calls);
    let file = modules()?.join("test/host_calls.wasm");
    Ok(Subject::wasm(role, &format!("{name}, without it"), &module, file))
}

fn breakers_calls() -> Result<Subject> {
    let calls = json!({
        "request": ["property xds.route_name", "now"],
        "response": ["now", "header :status", "increment floor_calls"],
    });
    host_calls(Role::HostCalls, "a breaker's host calls", &calls).map(|subject| subject.visited(3))
}

fn metrics_calls() -> Result<Subject> {
    let calls = json!({
        "request": ["property xds.route_name", "adjust floor_in_flight", "now"],
        "response": ["now", "header :status", "property upstream.request_attempt_count", "header content-type",
            "property holdfast.circuit_breaker.phase", "set_property holdfast.request"],
        "log": ["now", "adjust floor_in_flight", "increment floor_requests", "increment floor_bytes", "record floor_ttfb", "record floor_duration"],
    });
    host_calls(Role::Other, "metrics' host calls", &calls).map(|subject| subject.visited(2))
}

fn suites_calls() -> Result<Subject> {
    let calls = json!({
        "request": ["header :path", "property xds.route_name", "adjust floor_in_flight", "now", "header idempotency-key",
            "header x-holdfast-fence", "header :method", "property holdfast.retry_budget"],
        "response": ["now", "header :status", "increment floor_calls", "property upstream.request_attempt_count", "header content-type",
            "property holdfast.circuit_breaker.phase", "set_property holdfast.request", "remove_header x-holdfast-outcome"],
        "log": ["now", "adjust floor_in_flight", "increment floor_requests", "increment floor_bytes", "record floor_ttfb", "record floor_duration"],
    });
    host_calls(Role::Other, "the suite's host calls", &calls).map(|subject| subject.visited(2))
}

fn suites_calls_upstream() -> Result<Subject> {
    let calls = json!({
        "request": ["property xds.route_name", "now", "property upstream.request_attempt_count", "increment floor_requests", "header :path"],
        "response": ["header :status", "remove_header x-holdfast-outcome", "increment floor_attempts", "now", "increment floor_calls",
            "property holdfast.outcome"],
        "done": ["now", "increment floor_all", "record floor_ttfb", "record floor_duration"],
    });
    let module = Wasm::test_module("host_calls")?.vm_id("the suite's host calls, upstream").config(&calls);
    let subject = Subject::stock(Role::Other, "the suite's host calls upstream, without it", &[]);
    Ok(Subject { upstream: vec![module.filter()], ..subject })
}

fn breaker() -> Result<Subject> {
    ours(Role::Breaker, "breaker, key route", "route", &json!({})).map(|subject| subject.visited(3))
}

fn unnamed() -> Result<Subject> {
    let subject = ours(Role::Other, "breaker, key route, unnamed", "unnamed", &json!({}))?;
    Ok(Subject { route_is_named: false, ..subject })
}

fn keyed(role: Role, name: &str, paths: Paths) -> Result<Subject> {
    let instance = if paths == Paths::One { "one" } else { "many" };
    let subject = ours(role, name, instance, &json!({"key": ["path:2"], "max_keys": MAX_KEYS}))?;
    Ok(Subject { paths, ..subject.visited(2) })
}

/// Each in a VM of its own, so that the others' keys and timers are not in the way.
fn ours(role: Role, name: &str, instance: &str, config: &Value) -> Result<Subject> {
    let mut config = config.clone();
    config["instance"] = json!(instance);
    let module = Wasm::module("circuit_breaker")?.vm_id(instance).config(&config);
    Ok(Subject::wasm(role, name, &module, modules()?.join("circuit_breaker.wasm")))
}

fn budget_downstream() -> Result<Subject> {
    let module = Wasm::module("retry_budget")?.vm_id("budget-down");
    let file = modules()?.join("retry_budget.wasm");
    Ok(Subject::wasm(Role::BudgetDownstream, "retry budget, downstream", &module, file))
}

fn upstream_noop() -> Result<Subject> {
    let module = Wasm::test_module("noop")?.vm_id("noop-up");
    let subject = Subject::stock(Role::UpstreamNoop, "no-op Wasm, upstream", &[]);
    Ok(Subject { upstream: vec![module.filter()], ..subject })
}

fn budget_upstream() -> Result<Subject> {
    let module = Wasm::module("retry_budget")?.vm_id("budget-up").config(&json!({"chain": "upstream"}));
    let subject = Subject::stock(Role::BudgetUpstream, "retry budget, upstream", &[]);
    Ok(Subject { upstream: vec![module.filter()], ..subject })
}

/// Both entries in one VM, as they are shipped.
fn budget() -> Result<Subject> {
    let module = || Wasm::module("retry_budget").map(|module| module.vm_id("budget"));
    let subject = Subject::stock(Role::Other, "retry budget, both entries", &[module()?.filter()]);
    Ok(Subject { upstream: vec![module()?.config(&json!({"chain": "upstream"})).filter()], ..subject })
}

fn health_edge() -> Result<Subject> {
    let module = Wasm::module("protocol_health")?.vm_id("health-edge");
    let file = modules()?.join("protocol_health.wasm");
    Ok(Subject::wasm(Role::Other, "protocol health, edge", &module, file))
}

fn health_upstream() -> Result<Subject> {
    health(Role::HealthUpstream, "protocol health, upstream", "auto")
}

/// Where it is told what is spoken, it asks for no path.
fn health_rest() -> Result<Subject> {
    health(Role::Other, "protocol health, upstream, told REST", "rest")
}

fn health(role: Role, name: &str, protocol: &str) -> Result<Subject> {
    let config = json!({"chain": "upstream", "headers_stop_iteration": true, "protocol": protocol});
    let module =
        Wasm::module("protocol_health")?.vm_id(&format!("health-{protocol}")).stop_iteration(true).config(&config);
    Ok(Subject { upstream: vec![module.filter()], ..Subject::stock(role, name, &[]) })
}

fn metrics() -> Result<Subject> {
    let module = Wasm::module("metrics")?.vm_id("metrics");
    Ok(Subject::wasm(Role::Other, "metrics", &module, modules()?.join("metrics.wasm")))
}

/// What the plugins of a listener are configured with, by their modules' names.
fn downstream() -> [(&'static str, Value); 5] {
    [
        ("protocol_health", json!({})),
        ("metrics", json!({})),
        ("idempotency", json!({"store": {"kind": "memory"}, "headers_stop_iteration": true})),
        ("circuit_breaker", json!({})),
        ("retry_budget", json!({})),
    ]
}

/// The same of a cluster, all with their defaults.
fn upstream() -> [(&'static str, Value); 4] {
    let stop = json!({"headers_stop_iteration": true});
    [("metrics", json!({})), ("circuit_breaker", json!({})), ("retry_budget", json!({})), ("protocol_health", stop)]
}

/// One entry that runs all of these.
fn suite_of(vm_id: &str, chain: &str, parts: &[(&str, Value)]) -> Result<Wasm> {
    let mut config = json!({"chain": chain, "headers_stop_iteration": true});
    for (name, part) in parts {
        config[*name] = part.clone();
    }
    Ok(Wasm::module("holdfast_suite")?.vm_id(vm_id).stop_iteration(true).config(&config))
}

/// An entry for each.
fn modules_of(vm_id: &str, chain: &str, parts: &[(&str, Value)]) -> Result<Vec<Value>> {
    let entry = |(name, part): &(&str, Value)| {
        let mut config = part.clone();
        config["chain"] = json!(chain);
        let module = Wasm::module(name)?.vm_id(&format!("{vm_id}-{name}"));
        Ok(module.stop_iteration(true).config(&config).filter())
    };
    parts.iter().map(entry).collect()
}

fn suite() -> Result<Subject> {
    let (module, file) = (suite_of("suite", "downstream", &downstream())?, modules()?.join("holdfast_suite.wasm"));
    Ok(Subject::wasm(Role::Suite, "suite, all five", &module, file))
}

fn separate() -> Result<Subject> {
    Ok(Subject::stock(Role::Separate, "five modules", &modules_of("five", "downstream", &downstream())?))
}

fn suite_upstream() -> Result<Subject> {
    let module = suite_of("suite-up", "upstream", &upstream())?;
    let subject = Subject::stock(Role::SuiteUpstream, "suite, upstream, all four", &[]);
    Ok(Subject { upstream: vec![module.filter()], ..subject })
}

fn separate_upstream() -> Result<Subject> {
    let subject = Subject::stock(Role::SeparateUpstream, "four modules, upstream", &[]);
    Ok(Subject { upstream: modules_of("four", "upstream", &upstream())?, ..subject })
}

/// Both entries in one VM, as they are shipped.
fn suite_both() -> Result<Subject> {
    let down = suite_of("suite-both", "downstream", &downstream())?;
    let subject = Subject::stock(Role::Other, "suite, both chains", &[down.filter()]);
    Ok(Subject { upstream: vec![suite_of("suite-both", "upstream", &upstream())?.filter()], ..subject })
}

fn metrics_downstream() -> Result<Subject> {
    let module = Wasm::module("metrics")?.vm_id("metrics-down");
    let file = modules()?.join("metrics.wasm");
    Ok(Subject::wasm(Role::MetricsDownstream, "metrics, downstream", &module, file))
}

fn metrics_upstream() -> Result<Subject> {
    let module = Wasm::module("metrics")?.vm_id("metrics-up").config(&json!({"chain": "upstream"}));
    let subject = Subject::stock(Role::MetricsUpstream, "metrics, upstream", &[]);
    Ok(Subject { upstream: vec![module.filter()], ..subject })
}

/// Both entries in one VM, as they are shipped.
fn metrics_both() -> Result<Subject> {
    let module = || Wasm::module("metrics").map(|module| module.vm_id("metrics"));
    let subject = Subject::stock(Role::Other, "metrics, both entries", &[module()?.filter()]);
    Ok(Subject { upstream: vec![module()?.config(&json!({"chain": "upstream"})).filter()], ..subject })
}

fn lua() -> Value {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
    json!({"name": "lua", "typed_config": {"@type": kind, "default_source_code": {"inline_string": LUA}}})
}

fn admission_control() -> Value {
    json!({"name": "admission-control", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl",
        "enabled": {"default_value": true, "runtime_key": "bench.admission_control"},
        "success_criteria": {
            "http_criteria": {"http_success_status": [{"start": 100, "end": 500}]},
            "grpc_criteria": {"grpc_success_status": [0]},
        },
        "sampling_window": "10s",
    }})
}

// === impl Subject ===

impl Subject {
    /// Filters that are Envoy's own, or none.
    pub(crate) fn stock(role: Role, name: &str, filters: &[Value]) -> Self {
        Self {
            role,
            name: name.to_owned(),
            filters: filters.to_vec(),
            upstream: Vec::new(),
            paths: Paths::One,
            route_is_named: true,
            visits: 1,
            module: None,
        }
    }

    /// A module's filter, and the module's file.
    pub(crate) fn wasm(role: Role, name: &str, module: &Wasm, file: PathBuf) -> Self {
        Self { module: Some(file), ..Self::stock(role, name, &[module.filter()]) }
    }

    /// Without what all others are compared with there is nothing to tell.
    fn is_wanted(&self, args: &Args) -> bool {
        matches!(self.role, Role::None | Role::Noop | Role::HostCalls | Role::UpstreamNoop)
            || self.name.contains(&args.only)
    }

    /// So often in each round.
    pub(crate) fn visited(self, visits: u32) -> Self {
        Self { visits, ..self }
    }
}
