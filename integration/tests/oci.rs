//! A module goes to a registry, and comes back: the same bytes for everybody, or a clear word and nothing half-written.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod registries;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use integration::registry::Registry;
use integration::{Envoy, TestResult, Upstream, Wasm, client, config};
use registries::{Cutter, Refuser, Reply, holdfastctl, module, skopeo, version};
use serde_json::Value;
use tempfile::tempdir;

const NAME: &str = "circuit_breaker";

fn repository(port: u16) -> String {
    format!("127.0.0.1:{port}/holdfast/circuit-breaker")
}

fn push(reference: &str) -> TestResult<Reply> {
    holdfastctl(&["--json", "push", "--plain-http", reference, &module(NAME)?.display().to_string()])
}

fn pin<'a>(answer: &'a Value, consumer: &str) -> TestResult<&'a str> {
    answer["pins"][consumer].as_str().with_context(|| format!("no pin for {consumer}: {answer}"))
}

#[test]
fn a_version_is_pushed_once_and_everybody_finds_the_same_module() -> TestResult {
    let registry = Registry::start()?;
    let repository = repository(registry.port());
    let reference = format!("{repository}:{}", version());
    let pushed = push(&reference)?.json()?;
    assert_eq!((&pushed["pushed"], &pushed["name"]), (&true.into(), &NAME.into()));
    assert_eq!(push(&reference)?.json()?["pushed"], false, "again, the same");

    let listed = holdfastctl(&["--json", "list", "--plain-http", &repository])?.json()?;
    assert_eq!(listed["tags"][0]["tag"], version());
    assert_eq!(listed["tags"][0]["digest"], pushed["digest"]);

    // Somebody else's client: the index is what we say that it is, and on linux/amd64 its image is the one to pin for Istio.
    let raw = skopeo(&["inspect", "--tls-verify=false", "--raw", &format!("docker://{reference}")])?;
    let index: Value = serde_json::from_str(&raw)?;
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(3));
    assert_eq!(index["manifests"][0]["digest"], pin(&pushed, "istio")?);
    let platform = ["--override-os", "linux", "--override-arch", "amd64"];
    let image = format!("docker://{reference}");
    let seen = skopeo(&[&platform[..], &["inspect", "--tls-verify=false", &image]].concat())?;
    let seen: Value = serde_json::from_str(&seen)?;
    assert_eq!(seen["Architecture"], "amd64");
    assert_eq!(seen["Layers"].as_array().map(Vec::len), Some(1));

    // A mirror has the same digests.
    let copy = format!("127.0.0.1:{}/mirror/circuit-breaker:{}", registry.port(), version());
    let (from, to) = (format!("docker://{reference}"), format!("docker://{copy}"));
    skopeo(&["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to])?;
    let mirrored = holdfastctl(&["--json", "inspect", "--plain-http", &copy])?.json()?;
    assert_eq!(mirrored["digest"], pushed["digest"]);

    let verify = |pin: &str| holdfastctl(&["verify", "--plain-http", "--pin", pin, &reference]);
    for consumer in ["istio", "envoy_gateway", "cncf", "kong"] {
        verify(pin(&pushed, consumer)?)?.good()?;
    }
    let folder = tempdir()?;
    let by_digest = format!("{repository}@{}", pin(&pushed, "kong")?);
    pull(&by_digest, folder.path())?.good()?;
    assert_eq!(fs::read(folder.path().join("circuit_breaker.wasm"))?, fs::read(module(NAME)?)?);
    let meta = module(NAME)?.with_extension("meta.json");
    assert_eq!(fs::read(folder.path().join("circuit_breaker.meta.json"))?, fs::read(meta)?);
    Ok(())
}

fn pull(reference: &str, folder: &Path) -> TestResult<Reply> {
    holdfastctl(&["pull", "--plain-http", "--output", &folder.display().to_string(), reference])
}

#[test]
fn a_module_from_the_registry_is_loaded_by_envoy_and_works() -> TestResult {
    let (registry, folder) = (Registry::start()?, tempdir()?);
    let reference = format!("{}:{}", repository(registry.port()), version());
    // What the stories load: a module for each plugin, or the one of all.
    let name = if config::suite::is_meant() { "holdfast_suite" } else { NAME };
    holdfastctl(&["push", "--plain-http", &reference, &module(name)?.display().to_string()])?.good()?;
    pull(&reference, folder.path())?.good()?;

    let orders = Upstream::start("orders")?;
    let settings = serde_json::json!({"mode": "force_open"});
    let breaker = Wasm::file("circuit-breaker", folder.path().join("circuit_breaker.wasm")).config(&settings);
    let listener = config::listener("edge", &[breaker.filter()], &[config::route("all", "orders")]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("orders", &[orders.port()])]))?;
    let reply = client::get(envoy.port("edge")?, "/", &[])?;
    assert_eq!((reply.status, reply.rejected_by()), (503, Some("circuit-breaker; cause=forced")));
    assert_eq!(orders.hits(), 0);
    Ok(())
}

#[test]
fn a_version_never_changes_and_a_tag_that_moved_is_noticed() -> TestResult {
    let registry = Registry::start()?;
    let repository = repository(registry.port());
    let one = format!("{repository}:{}-one", version());
    let first = push(&one)?.json()?;

    // Another module under the same tag, or a tag that isn't its version.
    let other = module("retry_budget")?.display().to_string();
    let refused = holdfastctl(&["push", "--plain-http", &one, &other])?;
    refused.refuses("a version never changes")?;
    for tag in ["latest", "9.9.9"] {
        push(&format!("{repository}:{tag}"))?.refuses("isn't the module's version")?;
    }
    // Who may write can move a tag by other means. A pin tells.
    let two = format!("{repository}:{}-two", version());
    holdfastctl(&["push", "--plain-http", &two, &other])?.good()?;
    let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let (from, to) = (format!("docker://{two}"), format!("docker://{one}"));
    skopeo(&[&["copy", "--all"], &insecure[..], &[&from, &to]].concat())?;
    let pinned = pin(&first, "istio")?;
    holdfastctl(&["verify", "--plain-http", "--pin", pinned, &one])?.refuses("any more")?;
    let built = module(NAME)?.display().to_string();
    holdfastctl(&["verify", "--plain-http", "--module", &built, &one])?.refuses("another module")?;
    // By digest the first one is still there.
    let by_digest = format!("{repository}@{}", pin(&first, "kong")?);
    holdfastctl(&["verify", "--plain-http", "--module", &built, &by_digest])?.good()
}

#[test]
fn a_flipped_byte_anywhere_is_noticed_and_nothing_is_written() -> TestResult {
    let registry = Registry::start()?;
    let reference = format!("{}:{}", repository(registry.port()), version());
    let pushed = push(&reference)?.json()?;
    let module_digest = format!("sha256:{}", pin(&pushed, "envoy_remote_sha256")?);
    for digest in [&module_digest, pin(&pushed, "istio")?, pin(&pushed, "cncf")?] {
        let (file, folder) = (registry.file(digest)?, tempdir()?);
        let good = fs::read(&file)?;
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&file, &bad)?;
        let reply = pull(&reference, folder.path())?;
        reply.refuses("")?;
        ensure!(fs::read_dir(folder.path())?.next().is_none(), "something was written: {reply:?}");
        // Cut short.
        fs::write(&file, &good[..middle])?;
        pull(&reference, folder.path())?.refuses("")?;
        ensure!(fs::read_dir(folder.path())?.next().is_none(), "something was written");
        fs::write(&file, good)?;
    }
    pull(&reference, tempdir()?.path())?.good()
}

#[test]
fn an_upload_that_is_cut_leaves_no_version_and_can_be_made_again() -> TestResult {
    let registry = Registry::start()?;
    for after in [2_000, 50_000, 200_000] {
        let cutter = Cutter::start(registry.port(), after)?;
        let reference = |port| format!("127.0.0.1:{port}/cut-after-{after}/it:{}", version());
        push(&reference(cutter.port()))?.refuses(&format!("cut-after-{after}/it: "))?;
        let reference = reference(registry.port());
        holdfastctl(&["inspect", "--plain-http", &reference])?.refuses("there is no such thing")?;
        push(&reference)?.good()?;
        holdfastctl(&["verify", "--plain-http", &reference])?.good()?;
    }
    Ok(())
}

#[test]
fn a_registry_that_says_no_is_understood() -> TestResult {
    let closed = Registry::closed()?;
    let reference = format!("{}:{}", repository(closed.port()), version());
    push(&reference)?.refuses("HOLDFAST_REGISTRY_USER")?;
    let known = [("HOLDFAST_REGISTRY_USER", "user"), ("HOLDFAST_REGISTRY_PASSWORD", "secret")];
    let file = module(NAME)?.display().to_string();
    registries::holdfastctl_as(&known, &["push", "--plain-http", &reference, &file])?.good()?;
    registries::holdfastctl_as(&known, &["verify", "--plain-http", &reference])?.good()?;
    let wrong = [("HOLDFAST_REGISTRY_USER", "user"), ("HOLDFAST_REGISTRY_PASSWORD", "guess")];
    let refused = registries::holdfastctl_as(&wrong, &["inspect", "--plain-http", &reference])?;
    refused.refuses("HOLDFAST_REGISTRY_USER")?;
    ensure!(!format!("{refused:?}").contains("guess"), "a password was told");

    for (status, word) in [(401, "doesn't let us"), (429, "too many requests"), (500, "is unwell (status 500)")] {
        let registry = Refuser::start(status)?;
        let reference = format!("{}:{}", repository(registry.port()), version());
        for verb in [&["inspect"][..], &["verify"], &["pull"]] {
            holdfastctl(&[verb, &["--plain-http", &reference]].concat())?.refuses(word)?;
        }
        push(&reference)?.refuses(word)?;
        holdfastctl(&["list", "--plain-http", &repository(registry.port())])?.refuses(word)?;
    }
    let nobody = integration::ReservedPort::new()?.number();
    push(&format!("{}:{}", repository(nobody), version()))?.refuses("no answer")
}
