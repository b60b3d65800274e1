//! What isn't on a list is denied: an intruder in the place of a plugin gets no further than its list.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::capabilities::{MODULES, Surface, needed};
use integration::config::{self, wasm};
use integration::envoy::{DENIED, restricts_vms};
use integration::{Envoy, Response, TestResult, Upstream, Wasm, client};

const INTRUDER: &str = "forbidden_calls";
const SECRET: &str = "what nobody else is to know";

/// The intruder, and the service that it would like to call.
struct Break {
    elsewhere: Upstream,
    envoy: Envoy,
    edge: u16,
}

// === impl Break ===

impl Break {
    /// `list` is what the intruder may do.
    fn in_with(list: Option<&BTreeSet<String>>) -> TestResult<Self> {
        let elsewhere = Upstream::start("elsewhere")?;
        let intruder = Wasm::file("intruder", wasm::modules()?.join("test").join(INTRUDER).with_extension("wasm"));
        let intruder = intruder.env("HOLDFAST_SECRET", SECRET);
        let intruder = list.into_iter().fold(intruder, Wasm::allow);
        let listener = config::listener("edge", &[intruder.filter()], &[config::direct("all", "/", 404, "")]);
        let clusters = [config::cluster("elsewhere", &[elsewhere.port()])];
        let envoy = Envoy::options().concurrency(1).start(&config::bootstrap(&[listener], &clusters))?;
        Ok(Self { edge: envoy.port("edge")?, elsewhere, envoy })
    }

    fn attempt(&self, call: &str) -> TestResult<Response> {
        // After a trap the module is loaded again, but not within the back-off.
        std::thread::sleep(Duration::from_millis(50));
        client::get(self.edge, "/", &[("x-try", call)])
    }
}

/// What the intruder's module can ask for and a plugin's list lacks.
fn beyond(list: &BTreeSet<String>) -> TestResult<BTreeSet<String>> {
    let module = wasm::modules()?.join("test").join(INTRUDER).with_extension("wasm");
    // Whoever isn't told how large the environment is doesn't get as far as reading it.
    let beyond = Surface::read(&module)?.imports.into_iter().filter(|call| call != "environ_get");
    Ok(beyond.filter(|call| !list.contains(call)).collect())
}

#[test]
fn what_is_not_on_a_plugins_list_is_denied_and_the_log_says_so() -> TestResult {
    if wasm::hardened() {
        // Then an Envoy that denies something fails its test.
        return Ok(());
    }
    for module in MODULES {
        let list = needed(&wasm::modules()?.join(module.file))?;
        let intruder = Break::in_with(Some(&list))?;
        for call in beyond(&list)? {
            let reply = intruder.attempt(&call)?;
            let text = reply.text();
            // An error; nobody looks at it; or the SDK didn't expect one, and panicked.
            let denied = ["Err(InternalFailure)", "None", "made"].contains(&text.as_str()) || reply.status == 503;
            ensure!(denied, "{}: {call}: {} {text}", module.file, reply.status);
            let log = intruder.envoy.log();
            let told = |line: &str| line.contains(DENIED) && line.ends_with(&format!(" capability: {call}"));
            ensure!(log.lines().any(told), "{}: {call}: {text}", module.file);
        }
    }
    Ok(())
}

#[test]
fn a_plugin_that_needs_no_secret_reads_none() -> TestResult {
    if wasm::hardened() {
        return Ok(());
    }
    let free = Break::in_with(None)?;
    ensure!(free.attempt("environ_sizes_get")?.text().contains(SECRET), "without a list it may");
    let bound = Break::in_with(Some(&needed(&wasm::modules()?.join("protocol_health.wasm"))?))?;
    ensure!(bound.attempt("environ_sizes_get")?.text() == "None", "with one it may not");
    Ok(())
}

/// Envoy before 1.40 takes the list of whichever entry it loads first for all entries of the module and `vm_id`; later ones give each list a VM.
#[test]
fn an_entry_without_a_list_frees_the_others_of_its_vm_on_an_old_envoy_only() -> TestResult {
    if wasm::hardened() {
        return Ok(());
    }
    let file = wasm::modules()?.join("test").join(INTRUDER).with_extension("wasm");
    let module = || Wasm::file("intruder", &file);
    let list = needed(&wasm::modules()?.join("circuit_breaker.wasm"))?;
    let listener =
        |name: &str, wasm: &Wasm| config::listener(name, &[wasm.filter()], &[config::direct("all", "/", 404, "")]);
    let listeners = [listener("free", &module()), listener("bound", &module().name("bound").allow(&list))];
    let elsewhere = Upstream::start("elsewhere")?;
    let clusters = [config::cluster("elsewhere", &[elsewhere.port()])];
    let envoy = Envoy::options().concurrency(1).start(&config::bootstrap(&listeners, &clusters))?;
    let tried = client::get(envoy.port("bound")?, "/", &[("x-try", "proxy_http_call")])?.text();
    assert_eq!(tried == "Err(InternalFailure)", restricts_vms()?, "{tried}");
    Ok(())
}

#[test]
fn a_breaker_that_was_tampered_with_calls_nobody() -> TestResult {
    if wasm::hardened() {
        return Ok(());
    }
    let free = Break::in_with(None)?;
    ensure!(free.attempt("proxy_http_call")?.text().starts_with("Ok("), "without a list it may");
    integration::eventually("it called", crate::SOON, || free.elsewhere.hits_on("/stolen") == 1)?;

    let list = needed(&wasm::modules()?.join("circuit_breaker.wasm"))?;
    let bound = Break::in_with(Some(&list))?;
    ensure!(bound.attempt("proxy_http_call")?.text() == "Err(InternalFailure)", "with one it may not");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bound.elsewhere.hits(), 0);
    Ok(())
}
