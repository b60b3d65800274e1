//! `hardened.yaml` and `hardened-1.36.yaml`: the lists in them are those of the built modules, and under them the plugins do what they do elsewhere. What each
//! entry of the lists is for, and that the rest is denied, is told in `integration/tests/hardened`.

use anyhow::{Context as _, ensure};
use integration::capabilities::{FILES, bless, regenerate};
use integration::config::{from_yaml, patch, wasm};
use integration::envoy::DENIED;
use integration::{Call, Envoy, Fault, Response, TestResult, Upstream, client, envoy, eventually};
use serde_json::{Value, json};

use crate::shipped::{self, Shipped};
use crate::{SOON, is_valid};

/// The list is within `vm_config`.
pub(crate) const NEW: &str = FILES[0];
/// It is beside it.
pub(crate) const OLD: &str = FILES[1];

/// The file for this Envoy.
fn file() -> TestResult<&'static str> {
    Ok(if envoy::restricts_vms()? { NEW } else { OLD })
}

/// What Envoy says of a file: valid, if it is the one for this version. The other one is refused, or deprecated.
pub(crate) fn assert_verdict(name: &str, verdict: Result<String, String>) -> TestResult {
    match (name == file()?, verdict) {
        (true, verdict) => is_valid(name, verdict),
        (false, Err(log)) => {
            ensure!(name == NEW && log.contains("capability_restriction_config"), "{name}: {log}");
            Ok(())
        }
        (false, Ok(log)) => {
            ensure!(name == OLD, "{name}: an Envoy that doesn't know where the list is takes it: {log}");
            let field = "'envoy.extensions.wasm.v3.PluginConfig.capability_restriction_config'";
            ensure!(log.contains("deprecated option") && log.contains(field), "{name}: {log}");
            Ok(())
        }
    }
}

/// A difference between a file and what it would be if it were made now, by its first line.
fn difference(text: &str, made: &str) -> Option<String> {
    let pair = text.lines().zip(made.lines()).find(|(is, was)| is != was);
    let (is, wanted) = pair.or((text != made).then_some(("", "")))?;
    Some(format!("the file says {:?}, its module wants {:?}", is.trim(), wanted.trim()))
}

fn current(text: &str) -> TestResult {
    match difference(text, &regenerate(text, &wasm::modules()?)?) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("{difference}: `cargo xtask capabilities --write`, and look at what changes"),
    }
}

/// The text without one entry of one module's list.
fn without(text: &str, module: &str, name: &str) -> String {
    let (mut within, mut made) = (false, String::new());
    for line in text.lines() {
        within = (within || line.contains(&format!("# --- what {module} needs"))) && !line.contains("# --- end of");
        if !(within && line.trim() == format!("{name}: {{}}")) {
            made.extend([line, "\n"]);
        }
    }
    made
}

// --- the lists ---

#[test]
fn the_lists_are_those_of_the_built_modules() -> TestResult {
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        bless(&wasm::modules()?)?;
    }
    for name in FILES {
        let text = shipped::text(name)?;
        current(&text).with_context(|| name)?;
    }
    Ok(())
}

#[test]
fn both_files_say_the_same_but_for_where_the_list_is() -> TestResult {
    let [new, old] = FILES.map(|name| shipped::text(name).and_then(|text| from_yaml(&text)));
    let (new, mut old) = (new?, old?);
    ensure!(move_lists(&mut old) == 2, "both entries are restricted");
    assert_eq!(new, old);
    Ok(())
}

/// Takes each list from the plugin into `vm_config`; returns how many there are.
fn move_lists(value: &mut Value) -> usize {
    let list = value.as_object_mut().and_then(|fields| fields.remove("capability_restriction_config"));
    let moved = usize::from(list.is_some());
    if let Some(list) = list {
        value["vm_config"]["capability_restriction_config"] = list;
    }
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.iter_mut().filter(|(name, _)| *name != "vm_config").map(|(_, v)| v).collect(),
        _ => Vec::new(),
    };
    moved + children.into_iter().map(move_lists).sum::<usize>()
}

// --- the plugins ---

/// The file before one service.
struct Site {
    service: Upstream,
    envoy: Envoy,
    edge: u16,
}

// === impl Site ===

impl Site {
    fn start() -> TestResult<Self> {
        let service = Upstream::start("service")?;
        let config = Shipped::read(file()?, &[(8081, service.port())])?.config;
        let envoy = Envoy::start(&patch(config, from_yaml(&shipped::text("stats-tags.yaml")?)?))?;
        let edge = envoy.port("edge")?;
        Ok(Self { service, envoy, edge })
    }

    fn get(&self, path: &str) -> TestResult<Response> {
        client::get(self.edge, path, &[])
    }

    /// Nothing was asked that the lists lack, and nothing broke.
    fn assert_nothing_was_denied(&self) {
        let log = self.envoy.log();
        let bad = |line: &&str| line.contains(DENIED) || line.contains("panicked") || line.contains("Uncaught");
        let bad: Vec<&str> = log.lines().filter(bad).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}

#[test]
fn under_the_lists_every_plugin_does_its_work() -> TestResult {
    let site = Site::start()?;
    let pay = || Call::post(site.edge, "/payments", b"{}").header("idempotency-key", "\"order-1\"").send();
    assert_eq!(pay()?.header("idempotency-replayed"), None);
    assert_eq!(pay()?.header("idempotency-replayed"), Some("true"));
    assert_eq!(site.service.hits(), 1, "it was paid once");

    assert_eq!((site.get("/healthz")?.status, site.get("/healthz/deep")?.status), (200, 200));
    let late = client::get(site.edge, "/", &[("x-request-timeout", "0")])?;
    assert_eq!((late.status, late.rejected_by()), (504, Some("protocol-health; cause=deadline")));

    site.service.set(Fault::Status(503));
    // What a retry costs shows in how often the service is asked: while the budget lasts more than once, then exactly once.
    let attempts = |calls: u64| {
        let before = site.service.hits();
        (0..calls).try_for_each(|_| site.get("/").map(drop))?;
        TestResult::Ok(site.service.hits() - before)
    };
    assert_eq!(attempts(1)?, 4, "the floor's ten let it");
    eventually("the breaker opens", SOON, || {
        site.get("/").map(|reply| reply.rejected_by() == Some("circuit-breaker; cause=open"))
    })?;
    let page = site.envoy.prometheus()?;
    ensure!(page.sum("holdfast_retry_budget_refused_total", &[("chain", "upstream")]) > 0.0, "no retry was refused");
    let faults = [("chain", "upstream"), ("outcome", "server_fault")];
    ensure!(page.sum("holdfast_protocol_health_attempts_total", &faults) > 4.0, "nobody judged the attempts");
    site.envoy.wait_for_log("breaker=open", SOON)?;

    site.service.set(Fault::Healthy);
    eventually("it closes again", SOON, || Ok::<_, anyhow::Error>(site.get("/")?.status == 200))?;
    site.assert_nothing_was_denied();
    Ok(())
}

// --- what the comparison is for ---

#[test]
fn a_list_without_a_callback_lets_requests_pass_unfiltered_and_the_comparison_says_so() -> TestResult {
    let text = without(&shipped::text(file()?)?, "holdfast_suite.wasm", "proxy_on_request_headers");
    let error = format!("{:#}", current(&text).expect_err("somebody must notice"));
    ensure!(error.contains("proxy_on_request_headers"), "{error}");

    // Nobody else does. FAIL_CLOSED, and Envoy starts, says nothing, and lets the same payment through twice.
    let service = Upstream::start("service")?;
    let mut config = Shipped::read(file()?, &[(8081, service.port())])?.config;
    // Before 1.40 the first entry of a VM decides for all: this one is to be the first.
    if let Some(cluster) = config["static_resources"]["clusters"][0].as_object_mut() {
        cluster.remove("typed_extension_protocol_options");
    }
    let filters = &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    let broken = from_yaml(&text)?;
    let entry =
        broken["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
            .clone();
    let module = filters[0]["typed_config"]["config"]["vm_config"]["code"].clone();
    let closed = json!({"typed_config": {"config": {"failure_policy": "FAIL_CLOSED", "vm_config": {"code": module}}}});
    filters[0] = patch(entry, closed);
    assert_eq!(filters[0]["name"], "holdfast");
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    for _ in 0..2 {
        let paid = Call::post(edge, "/payments", b"{}").header("idempotency-key", "\"order-1\"").send()?;
        assert_eq!((paid.status, paid.header("idempotency-replayed")), (200, None));
    }
    assert_eq!(service.hits(), 2, "it was paid twice");
    assert!(!envoy.log().contains(DENIED));
    Ok(())
}
