//! Configuration that Envoy takes from files and that a test replaces under traffic: ECDS, LDS, EDS.
//!
//! Envoy watches for a file that is *moved* into place, so an update writes a new file beside the old one and renames it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::patch;
use crate::TestResult;

/// `@type` of a listener resource.
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// `@type` of a cluster resource.
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// `@type` of a cluster's endpoints.
pub const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// `@type` of a filter's configuration.
pub const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// A watched file of resources. It lives in a directory of its own, which is removed with the value: keep it as long as Envoy runs.
#[derive(Debug)]
pub struct XdsFile {
    folder: TempDir,
    version: Mutex<u64>,
}

/// A filter whose configuration is in a watched file (ECDS): a push reaches the next request and cuts no stream.
#[derive(Debug)]
pub struct DynamicFilter {
    name: String,
    type_url: String,
    file: XdsFile,
}

/// Adds the `@type` that a resource in a file needs.
pub fn typed(type_url: &str, resource: Value) -> Value {
    patch(resource, json!({"@type": type_url}))
}

// === impl XdsFile ===

impl XdsFile {
    /// Writes the first version; every resource carries its `@type` ([`typed`]).
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn new(resources: &[Value]) -> TestResult<Self> {
        let folder = tempfile::Builder::new().prefix("holdfast-xds-").tempdir().context("a directory for xDS files")?;
        let file = Self { folder, version: Mutex::new(0) };
        file.update(resources)?;
        Ok(file)
    }

    /// Replaces the resources atomically. Envoy notices on its own: poll for the effect.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn update(&self, resources: &[Value]) -> TestResult {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        let document = json!({"version_info": version.to_string(), "resources": resources});
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, document.to_string()).context("writing an xDS file")?;
        std::fs::rename(&draft, self.path()).context("moving an xDS file into place")
    }

    /// The `config_source` that points Envoy at this file.
    pub fn source(&self) -> Value {
        json!({
            "path_config_source": {"path": self.path(), "watched_directory": {"path": self.folder.path()}},
            "resource_api_version": "V3",
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("resources.json")
    }
}

// === impl DynamicFilter ===

impl DynamicFilter {
    /// A filter under `name` with its first configuration; `typed_config` carries its `@type`.
    ///
    /// # Errors
    /// When `@type` is missing or the file can't be written.
    pub fn new(name: &str, typed_config: &Value) -> TestResult<Self> {
        let type_url = typed_config["@type"].as_str().context("the filter's typed_config has no @type")?;
        let file = XdsFile::new(&[extension(name, typed_config)])?;
        Ok(Self { name: name.into(), type_url: type_url.into(), file })
    }

    /// The entry for `http_filters`, downstream or upstream.
    pub fn filter(&self) -> Value {
        json!({
            "name": self.name,
            "config_discovery": {"config_source": self.file.source(), "type_urls": [self.type_url]},
        })
    }

    /// Pushes another configuration. A refused one leaves the old one serving; poll for the effect.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn update(&self, typed_config: &Value) -> TestResult {
        self.file.update(&[extension(&self.name, typed_config)])
    }
}

fn extension(name: &str, typed_config: &Value) -> Value {
    json!({"@type": EXTENSION, "name": name, "typed_config": typed_config})
}
