//! The files of `envoy-configs/` as a user would install them, only on free ports and with the module that was just built.
//!
//! They name one folder, `/etc/holdfast`. Here every file that they take from there becomes a temporary one that can be
//! replaced under traffic, and a module's path becomes the built one; nothing else is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use integration::config::{from_yaml, on_free_ports, wasm};
use integration::{TestResult, XdsFile};
use serde_json::{Value, json};

const INSTALLED: &str = "/etc/holdfast/";
/// Where a filter's ECDS resource keeps the plugin's configuration.
const CONFIGURATION: &str = "/typed_config/config/configuration/value";

/// A shipped bootstrap, ready to start.
#[derive(Debug)]
pub(crate) struct Shipped {
    /// The bootstrap.
    pub(crate) config: Value,
    /// Where it and those that it refers to come from.
    folder: PathBuf,
    files: BTreeMap<String, File>,
}

#[derive(Debug)]
struct File {
    watched: XdsFile,
    resources: Vec<Value>,
}

/// The folder of the shipped files.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy-configs")
}

/// A shipped file's text.
#[allow(dead_code, reason = "for the tests, which share this file with the demo")]
pub(crate) fn text(name: &str) -> TestResult<String> {
    read(&folder().join(name))
}

fn read(path: &Path) -> TestResult<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

// === impl Shipped ===

impl Shipped {
    /// Reads `name` and every file that it refers to. `ports` are pairs of a port that the files name and the one to put there.
    ///
    /// # Errors
    /// When a file is missing or the module isn't built.
    pub(crate) fn read(name: &str, ports: &[(u16, u16)]) -> TestResult<Self> {
        Self::read_in(&folder(), name, ports)
    }

    /// The same from another folder that is installed as `/etc/holdfast`.
    ///
    /// # Errors
    /// When a file is missing or the module isn't built.
    pub(crate) fn read_in(folder: &Path, name: &str, ports: &[(u16, u16)]) -> TestResult<Self> {
        let mut shipped = Self { config: Value::Null, folder: folder.to_owned(), files: BTreeMap::new() };
        let mut config = installed(folder, name, ports)?;
        shipped.watch(&mut config, ports)?;
        shipped.config = on_free_ports(config);
        Ok(shipped)
    }

    /// A file that is no bootstrap and that none refers to.
    ///
    /// # Errors
    /// When it is missing or the module isn't built.
    #[allow(dead_code, reason = "for the tests, which share this file with the demo")]
    pub(crate) fn part(name: &str, ports: &[(u16, u16)]) -> TestResult<Value> {
        installed(&folder(), name, ports)
    }

    /// The plugin configuration in an ECDS file.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn policy(&self, file: &str) -> TestResult<Value> {
        let configuration = self.file(file)?.resources.first().and_then(|resource| resource.pointer(CONFIGURATION));
        let text = configuration.and_then(Value::as_str).context("no plugin configuration")?;
        serde_json::from_str(text).context("the plugin configuration is no JSON")
    }

    /// Replaces the plugin configuration in an ECDS file, as an operator's `mv` does.
    ///
    /// # Errors
    /// When there is no such file, or it can't be written.
    pub(crate) fn push_policy(&self, file: &str, policy: &Value) -> TestResult {
        let mut resources = self.file(file)?.resources.clone();
        let place = resources.first_mut().and_then(|resource| resource.pointer_mut(CONFIGURATION));
        *place.context("no plugin configuration")? = json!(policy.to_string());
        self.file(file)?.watched.update(&resources)
    }

    /// Replaces the endpoints in an EDS file by others on 127.0.0.1.
    ///
    /// # Errors
    /// When there is no such file, or it can't be written.
    #[allow(dead_code, reason = "for the tests, which share this file with the demo")]
    pub(crate) fn push_endpoints(&self, file: &str, ports: &[u16]) -> TestResult {
        let mut resources = self.file(file)?.resources.clone();
        let place = resources.first_mut().and_then(|resource| resource.pointer_mut("/endpoints/0/lb_endpoints"));
        let endpoint = |port: &u16| json!({"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}});
        *place.context("no endpoints")? = ports.iter().map(endpoint).collect();
        self.file(file)?.watched.update(&resources)
    }

    fn file(&self, name: &str) -> TestResult<&File> {
        self.files.get(name).with_context(|| format!("{name} is not referred to"))
    }

    /// Puts a watched file in the place of every shipped one that is referred to.
    fn watch(&mut self, value: &mut Value, ports: &[(u16, u16)]) -> TestResult {
        let path = value.pointer("/path_config_source/path").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = path.as_deref().and_then(|path| path.strip_prefix(INSTALLED)) {
            let source = value.pointer("/path_config_source/watched_directory/path").and_then(Value::as_str);
            ensure!(source == Some("/etc/holdfast"), "{name}: a `mv` over it would go unseen");
            *value = self.watched(name, ports)?.source();
            return Ok(());
        }
        children(value).into_iter().try_for_each(|child| self.watch(child, ports))
    }

    fn watched(&mut self, name: &str, ports: &[(u16, u16)]) -> TestResult<&XdsFile> {
        let document = installed(&self.folder, name, ports)?;
        let resources = document["resources"].as_array().with_context(|| format!("{name} has no resources"))?.clone();
        let watched = XdsFile::new(&resources)?;
        Ok(&self.files.entry(name.to_owned()).or_insert(File { watched, resources }).watched)
    }
}

/// A shipped file with the built modules and these ports in it.
fn installed(folder: &Path, name: &str, ports: &[(u16, u16)]) -> TestResult<Value> {
    let mut value = from_yaml(&read(&folder.join(name))?).with_context(|| name.to_owned())?;
    substitute(&mut value, &wasm::modules()?, ports)?;
    Ok(value)
}

fn substitute(value: &mut Value, folder: &Path, ports: &[(u16, u16)]) -> TestResult {
    let name = value.as_str().and_then(|path| path.strip_prefix(INSTALLED)).map(Path::new);
    if let Some(name) = name.filter(|name| name.extension().is_some_and(|kind| kind == "wasm")) {
        let module = folder.join(name);
        ensure!(module.is_file(), "{} is missing: run `cargo xtask build`", module.display());
        *value = json!(module);
    }
    if let Some(port) = value.get_mut("port_value") {
        let new = ports.iter().find(|(shipped, _)| *port == json!(shipped));
        *port = new.map_or(port.clone(), |(_, new)| json!(new));
    }
    children(value).into_iter().try_for_each(|child| substitute(child, folder, ports))
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    }
}
