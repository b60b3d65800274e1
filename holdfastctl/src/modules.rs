//! The modules, and the code of each that reads its configuration: the same that runs in the proxy.

use sdk_shim::config::Faults;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::FakeHost;

/// A module that we build.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its file's name, without `.wasm`.
    pub(crate) name: &'static str,
    /// Reads a configuration as the plugin does when a proxy hands it over.
    pub(crate) configure: fn(&FakeHost, &[u8]) -> Result<(), Faults>,
}

/// All of them.
pub(crate) static MODULES: [Module; 7] = [
    Module { name: "circuit_breaker", configure: configure::<circuit_breaker::CircuitBreaker> },
    Module { name: "retry_budget", configure: configure::<retry_budget::RetryBudget> },
    Module { name: "idempotency", configure: configure::<idempotency::Idempotency> },
    Module { name: "protocol_health", configure: configure::<protocol_health::ProtocolHealth> },
    Module { name: "metrics", configure: configure::<metrics::Metrics> },
    Module { name: "control", configure: configure::<control::Control> },
    Module { name: "holdfast_suite", configure: configure::<suite::Suite<FakeHost>> },
];

fn configure<P: Plugin<FakeHost>>(host: &FakeHost, bytes: &[u8]) -> Result<(), Faults> {
    P::configure(host, bytes).map(|_| ())
}

/// The module of this name, whether it is written with hyphens or underscores.
pub(crate) fn named(name: &str) -> Option<&'static Module> {
    let name = name.replace('-', "_");
    let name = if name == "suite" { "holdfast_suite" } else { &name };
    MODULES.iter().find(|module| module.name == name)
}

/// The module that a file, a URL or an image's reference names: `/etc/holdfast/circuit_breaker.wasm`, `oci://registry/holdfast/circuit-breaker:0.1.0`,
/// `https://host/circuit-breaker-0.1.0.wasm?x`.
///
/// `metrics` is a name that others have too: it is ours where something says so.
pub(crate) fn of_code(reference: &str) -> Option<&'static Module> {
    let path = reference.split(['?', '#', '@']).next().unwrap_or_default();
    let (folders, last) = path.rsplit_once('/').unwrap_or(("", path));
    let file = last.strip_suffix(".wasm").unwrap_or_else(|| last.split(':').next().unwrap_or_default());
    let module = named(without_version(file))?;
    let common = ["control", "metrics", "suite"].contains(&without_version(file));
    (!common || folders.contains("holdfast")).then_some(module)
}

/// `circuit-breaker-v0.1.0` without what begins with the number.
fn without_version(file: &str) -> &str {
    let digit = file.find(|c: char| c.is_ascii_digit()).unwrap_or(file.len());
    let name = file.get(..digit).unwrap_or_default();
    if digit == file.len() { file } else { name.trim_end_matches('v').trim_end_matches(['-', '_', '.']) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_known_by_whatever_names_it() {
        let name = |reference: &str| of_code(reference).map(|module| module.name);
        for reference in [
            "/etc/holdfast/circuit_breaker.wasm",
            "circuit-breaker.wasm",
            "oci://registry.example/holdfast/circuit-breaker:0.1.0",
            "registry.example:5000/holdfast/circuit-breaker@sha256:00",
            "https://artifacts.example/circuit-breaker-v0.1.0.wasm?token=1",
            "file:///opt/circuit_breaker_0.1.0.wasm",
        ] {
            assert_eq!(name(reference), Some("circuit_breaker"), "{reference}");
        }
        assert_eq!(name("oci://registry.example/holdfast/suite:1"), Some("holdfast_suite"));
        assert_eq!(name("/etc/holdfast/metrics.wasm"), Some("metrics"));
        assert_eq!(name("/etc/envoy/metrics.wasm"), None, "somebody else's");
        assert_eq!(name("/etc/holdfast/auth.wasm"), None);
        assert_eq!(name(""), None);
    }
}
