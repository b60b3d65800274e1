//! `remote-fetch.yaml`: the module comes by HTTP, and only the one that is named.

use std::time::Duration;

use anyhow::Context as _;
use integration::config::{self, wasm, xds};
use integration::{Answer, Envoy, Fault, TestResult, Upstream, XdsFile, client, eventually};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::SOON;
use crate::shipped::Shipped;

pub(crate) const FILE: &str = "remote-fetch.yaml";
const REMOTE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/vm_config/code/remote";

/// A service, and a file server with the module.
struct Site {
    service: Upstream,
    files: Upstream,
    config: Value,
}

// === impl Site ===

impl Site {
    fn new() -> TestResult<Self> {
        let (service, files) = (Upstream::start("service")?, Upstream::start("files")?);
        let module = std::fs::read(wasm::modules()?.join("circuit_breaker.wasm"))?;
        files.set_answer(Answer::typed("application/wasm", &module));
        let mut config = Shipped::read(FILE, &[(8081, service.port()), (8082, files.port())])?.config;
        let digest = Sha256::digest(&module);
        let sha256 = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        config.pointer_mut(REMOTE).context("a remote module")?["sha256"] = json!(sha256);
        // Somebody else's listener, which must not suffer.
        let other = config::listener("other", &[], &[config::direct("all", "/", 200, "well")]);
        let listeners = config["static_resources"]["listeners"].as_array_mut().context("listeners")?;
        listeners.push(other);
        Ok(Self { service, files, config })
    }

    fn remote(&mut self) -> TestResult<&mut Value> {
        self.config.pointer_mut(REMOTE).context("a remote module")
    }
}

fn serves(edge: u16) -> bool {
    client::get(edge, "/", &[]).is_ok_and(|reply| reply.status == 200)
}

#[test]
fn the_module_that_is_named_is_fetched_and_works() -> TestResult {
    let site = Site::new()?;
    let envoy = Envoy::start(&site.config)?;
    let edge = envoy.port("edge")?;
    eventually("the listener serves", SOON, || Ok::<_, anyhow::Error>(serves(edge)))?;
    site.service.set(Fault::Status(500));
    eventually("the breaker says what it would do", SOON, || {
        client::get(edge, "/", &[])?;
        Ok::<_, anyhow::Error>(envoy.stats("holdfast_circuit_breaker_would_reject.*")?.values().sum::<u64>() > 0)
    })
}

#[test]
fn another_module_is_refused_and_nothing_passes_without_one() -> TestResult {
    let mut site = Site::new()?;
    site.remote()?["sha256"] = json!("0".repeat(64));
    let envoy = Envoy::start(&site.config)?;
    let (edge, other) = (envoy.port("edge")?, envoy.port("other")?);
    assert_eq!(client::get(other, "/", &[])?.status, 200);
    let reply = client::get(edge, "/", &[])?;
    assert!(reply.status >= 500, "{reply:?}");
    assert_eq!(site.service.hits(), 0, "what isn't protected isn't served");
    assert!(site.files.hits() >= 1);
    Ok(())
}

#[test]
fn a_push_whose_file_server_hangs_keeps_no_listener_from_serving() -> TestResult {
    let site = Site::new()?;
    site.files.set(Fault::Hang);
    let mut config = site.config.clone();
    let listeners = config["static_resources"]["listeners"].as_array_mut().context("listeners")?;
    let pushed = xds::typed(xds::LISTENER, listeners.remove(0));
    let lds = XdsFile::new(&[])?;
    let envoy = Envoy::start(&config::with_lds(config, &lds))?;
    let other = envoy.port("other")?;
    lds.update(&[pushed])?;
    eventually("the module is asked for", SOON, || Ok::<_, anyhow::Error>(site.files.hits() > 0))?;
    assert_eq!(client::get(other, "/", &[])?.status, 200);
    assert_eq!(site.service.hits(), 0);
    // The file server is well again, and the next try has it.
    site.files.set(Fault::Healthy);
    eventually("the pushed listener serves", Duration::from_secs(30), || {
        Ok::<_, anyhow::Error>(envoy.port("edge").is_ok_and(serves))
    })
}
