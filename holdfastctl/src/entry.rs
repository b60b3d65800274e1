//! A plugin of ours in somebody's file.

use crate::document::{Node, Span};
use crate::modules::Module;
use sdk_shim::fake::FakeHost;
use suite::parts::Part;

/// Where a plugin is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Envoy's `PluginConfig`, wherever it is: bootstrap, xDS, `EnvoyFilter`, `EnvoyPatchPolicy`.
    Envoy,
    /// Istio's `WasmPlugin`.
    WasmPlugin,
    /// Envoy Gateway's `EnvoyExtensionPolicy`.
    ExtensionPolicy,
    /// Kong's plugin.
    KongPlugin,
    /// A filter of a Kong filter chain.
    KongFilter,
    /// The configuration alone.
    Bare,
}

/// A plugin, as it is configured.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The number of its file.
    pub(crate) file: usize,
    pub(crate) module: &'static Module,
    pub(crate) form: Form,
    /// Whether Kong runs it.
    pub(crate) kong: bool,
    /// All that is said of it.
    pub(crate) node: &'a Node,
    /// What names it.
    pub(crate) name: &'a Node,
    pub(crate) config: Config,
    /// Variables that its VM is given.
    pub(crate) environment: Vec<Variable>,
}

/// A variable of a VM's environment; without a value it is the proxy's own.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// A configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// As the filter is given it.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) span: Span,
    /// What is in it, with places in the file. None where it is no JSON, or isn't there.
    pub(crate) node: Option<Node>,
    /// Where each character of `text` stands, if it is a text in the file.
    pub(crate) places: Vec<usize>,
}

// === impl Config ===

impl Config {
    /// None: the defaults.
    pub(crate) fn absent(near: &Node) -> Self {
        Self { text: String::new(), span: near.span.clone(), node: None, places: Vec::new() }
    }

    /// Fields that are written as fields.
    pub(crate) fn of_fields(node: &Node) -> Self {
        Self { text: node.json(), span: node.span.clone(), node: Some(node.clone()), places: Vec::new() }
    }

    /// JSON in a text.
    pub(crate) fn of_text(scalar: &Node, chars: &[char]) -> Self {
        let text = scalar.text().unwrap_or_default().to_owned();
        let places = crate::document::places(&text, chars, &scalar.span);
        // JSON may be indented with tabs, YAML not; in a string JSON has none.
        let root = crate::document::read(&text.replace('\t', " ")).ok().and_then(|mut documents| documents.pop());
        let node = root.map(|root| moved(&root, &places));
        Self { text, span: scalar.span.clone(), node, places }
    }

    /// A map's fields, or the JSON in a text, or nothing.
    pub(crate) fn of(node: Option<&Node>, near: &Node, chars: &[char]) -> Self {
        match node {
            Some(node) if node.is_map() => Self::of_fields(node),
            Some(node) if node.json() != "null" => Self::of_text(node, chars),
            _ => Self::absent(near),
        }
    }
}

/// The same with the places of the file in place of the text's.
fn moved(node: &Node, places: &[usize]) -> Node {
    use crate::document::Kind;
    let start = places.get(node.span.start).copied().unwrap_or_default();
    let last = node.span.end.checked_sub(1).and_then(|last| places.get(last)).copied().unwrap_or(start);
    let kind = match &node.kind {
        Kind::List(items) => Kind::List(items.iter().map(|item| moved(item, places)).collect()),
        Kind::Map(fields) => {
            Kind::Map(fields.iter().map(|(key, value)| (moved(key, places), moved(value, places))).collect())
        }
        scalar @ Kind::Scalar { .. } => scalar.clone(),
    };
    Node { span: start..(last + 1).max(start), kind }
}

// === impl Entry ===

impl Entry<'_> {
    /// A proxy that would run it.
    pub(crate) fn host(&self) -> FakeHost {
        let host = if self.kong { FakeHost::wasmx() } else { FakeHost::envoy() };
        for Variable { name, value } in &self.environment {
            // Which value the proxy's own has can't be known here; it is long enough, and no other's.
            let unknown = || format!("the value of {name}, whatever it is, and long enough");
            host.proxy().set_env(name, &value.clone().unwrap_or_else(unknown));
        }
        host
    }

    /// The configuration of one of the plugins: the module's own, or what the suite hands to it.
    pub(crate) fn part(&self, part: Part) -> Option<String> {
        if self.module.name == "holdfast_suite" {
            let (settings, _) = suite::config::take_apart(self.config.text.as_bytes()).ok()?;
            let mut parts = Part::ALL.into_iter().zip(settings.parts);
            return parts.find(|(of, _)| *of == part).and_then(|(_, settings)| settings).map(|settings| settings.text);
        }
        (self.module.name == part.as_str()).then(|| self.config.text.clone())
    }

    /// What `idempotency` is told here, if it is in here and told nothing wrong.
    pub(crate) fn idempotency(&self) -> Option<idempotency::policy::Policy> {
        idempotency::config::read(self.part(Part::Idempotency)?.as_bytes()).ok()
    }

    /// Whether it sits where attempts pass.
    pub(crate) fn says_upstream(&self) -> bool {
        let chain = self.config.node.as_ref().and_then(|config| config.get("chain"));
        chain.and_then(Node::text) == Some("upstream")
    }

    /// The place of a setting of `part`: within the suite's configuration that of the part, or the one beside the parts.
    pub(crate) fn place(&self, part: Part, setting: &str) -> Span {
        let Some(root) = &self.config.node else { return self.name.span.clone() };
        let own = root.get(part.as_str()).filter(|_| self.module.name == "holdfast_suite").unwrap_or(root);
        let found = own.at(setting).or_else(|| root.at(setting));
        found.map_or_else(|| self.name.span.clone(), |node| node.span.clone())
    }

    /// Each of the plugins that runs here.
    pub(crate) fn parts(&self) -> Vec<Part> {
        Part::ALL.into_iter().filter(|part| self.part(*part).is_some()).collect()
    }
}
