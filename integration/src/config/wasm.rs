//! The filter entry of a wasm module, as our shipped configurations write it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::config::suite;
use crate::config::xds::DynamicFilter;
use crate::{TestResult, capabilities, envoy};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";

/// A wasm filter to be: `FAIL_RELOAD` with the shortest back-off that is safe (0.02 s), VM id `holdfast`, configuration `{}`.
#[derive(Clone, Debug)]
pub struct Wasm {
    name: String,
    vm_id: String,
    module: PathBuf,
    configuration: String,
    failure_policy: String,
    stop_iteration: bool,
    environment: Value,
    allowed: Option<BTreeSet<String>>,
}

/// Folder of the modules that `cargo xtask build` made.
///
/// # Errors
/// When `HOLDFAST_MODULES` is not set.
pub fn modules() -> TestResult<PathBuf> {
    let folder = std::env::var_os("HOLDFAST_MODULES");
    let folder = folder.context("HOLDFAST_MODULES is not set: run `cargo xtask test`, which builds the modules")?;
    Ok(folder.into())
}

/// Whether all modules are to be restricted to what they need: every story then tells whether the lists lack anything.
pub fn hardened() -> bool {
    std::env::var_os("HOLDFAST_HARDENED").is_some()
}

// === impl Wasm ===

impl Wasm {
    /// A shipped module by its file name without `.wasm`, for example `circuit_breaker`.
    ///
    /// # Errors
    /// When it wasn't built.
    pub fn module(name: &str) -> TestResult<Self> {
        Self::found(name, &modules()?)
    }

    /// A module made for tests only: `noop`, `circuit_breaker_hooks`, `circuit_breaker_next`.
    ///
    /// # Errors
    /// When it wasn't built.
    pub fn test_module(name: &str) -> TestResult<Self> {
        Self::found(name, &modules()?.join("test"))
    }

    /// A module file, whether it exists or not.
    pub fn file(name: &str, module: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            vm_id: "holdfast".into(),
            module: module.into(),
            configuration: "{}".into(),
            failure_policy: "FAIL_RELOAD".into(),
            stop_iteration: false,
            environment: json!({}),
            allowed: None,
        }
    }

    /// Filter name: what Envoy's log and the `plugin_name` property say.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// VMs with the same id share their shared data (and, with the same code, the VM itself).
    #[must_use]
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        self.vm_id = vm_id.into();
        self
    }

    /// The plugin's configuration.
    #[must_use]
    pub fn config(self, config: &Value) -> Self {
        self.config_text(&config.to_string())
    }

    /// The plugin's configuration as it stands, valid JSON or not.
    #[must_use]
    pub fn config_text(mut self, text: &str) -> Self {
        self.configuration = text.into();
        self
    }

    /// `FAIL_RELOAD`, `FAIL_CLOSED` or `FAIL_OPEN`.
    #[must_use]
    pub fn failure_policy(mut self, policy: &str) -> Self {
        self.failure_policy = policy.into();
        self
    }

    /// Sets Envoy's `allow_on_headers_stop_iteration`, which plugins that hold headers need.
    #[must_use]
    pub fn stop_iteration(mut self, allowed: bool) -> Self {
        self.stop_iteration = allowed;
        self
    }

    /// An environment variable of the VM, in clear in the configuration.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment["key_values"][name] = json!(value);
        self
    }

    /// Environment variables that the VM takes from Envoy's own environment (secrets: the dump doesn't show them).
    #[must_use]
    pub fn host_env(mut self, names: &[&str]) -> Self {
        self.environment["host_env_keys"] = json!(names);
        self
    }

    /// What the module may do to Envoy; everything else is denied. Without it, it may do all.
    #[must_use]
    pub fn allow(mut self, names: &BTreeSet<String>) -> Self {
        self.allowed = Some(names.clone());
        self
    }

    /// The entry for `http_filters`, downstream or upstream.
    pub fn filter(&self) -> Value {
        json!({"name": self.name, "typed_config": self.typed_config()})
    }

    /// The same filter loaded from a file that can be replaced under traffic (ECDS).
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn dynamic(&self) -> TestResult<DynamicFilter> {
        DynamicFilter::new(&self.name, &self.typed_config())
    }

    /// The filter's `typed_config`, for [`DynamicFilter::update`] among others.
    pub fn typed_config(&self) -> Value {
        let (module, configuration) = suite::of(&self.module, &self.configuration);
        let mut config = json!({"@type": WASM, "config": {
            "name": self.name,
            "root_id": self.name,
            "failure_policy": self.failure_policy,
            "reload_config": {"backoff": {"base_interval": "0.02s"}},
            "allow_on_headers_stop_iteration": self.stop_iteration,
            "configuration": {"@type": STRING, "value": configuration},
            "vm_config": {
                "vm_id": self.vm_id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
                "environment_variables": self.environment,
            },
        }});
        if let Some(names) = &self.allowed {
            let names: Value = names.iter().map(|name| (name.clone(), json!({}))).collect();
            let list = json!({"allowed_capabilities": names});
            let in_vm = envoy::restricts_vms().unwrap_or(true);
            let place = if in_vm { &mut config["config"]["vm_config"] } else { &mut config["config"] };
            place["capability_restriction_config"] = list;
        }
        config
    }

    fn found(name: &str, folder: &Path) -> TestResult<Self> {
        let module = folder.join(format!("{name}.wasm"));
        ensure!(module.is_file(), "{} is missing: run `cargo xtask build`", module.display());
        let found = Self::file(name, &module);
        Ok(if hardened() { found.allow(&capabilities::needed(&module)?) } else { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_says_what_was_asked() {
        let filter = Wasm::file("breaker", "/m.wasm").config(&json!({"key": ["route"]})).env("A", "b").filter();
        let config = &filter["typed_config"]["config"];
        assert_eq!(config["configuration"]["value"], r#"{"key":["route"]}"#);
        assert_eq!(config["vm_config"]["environment_variables"]["key_values"]["A"], "b");
        assert_eq!(config["reload_config"]["backoff"]["base_interval"], "0.02s");
    }
}
