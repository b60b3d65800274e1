//! Envoy's `PluginConfig`, wherever it is: a listener's or a cluster's filters, a bootstrap, an answer of xDS, a patch for them.

use crate::document::Node;
use crate::entry::{Config, Entry, Form, Variable};
use crate::file::File;
use crate::modules::{Module, named, of_code};

pub(super) fn entries<'a>(number: usize, document: &'a Node, file: &'a File, found: &mut Vec<Entry<'a>>) {
    document.walk(&mut |node| {
        let Some(vm) = node.either(["vm_config", "vmConfig"]) else { return };
        let Some((module, name)) = vm.get("code").and_then(|code| module(node, code)) else { return };
        let config = match node.get("configuration") {
            // The value of an Any; its type is beside it.
            Some(any) => Config::of(any.get("value").filter(|_| any.is_map()), any, &file.chars),
            None => Config::absent(name),
        };
        let environment = environment(vm);
        found.push(Entry { file: number, module, form: Form::Envoy, kong: false, node, name, config, environment });
    });
}

/// Which of our modules this is, by its code; by its name where the code is in the file itself.
fn module<'a>(plugin: &'a Node, code: &'a Node) -> Option<(&'static Module, &'a Node)> {
    let remote = code.get("remote").and_then(|remote| remote.either(["http_uri", "httpUri"]));
    let place = code.at("local/filename").or_else(|| remote?.get("uri"));
    if let Some(place) = place {
        return of_code(place.text()?).map(|module| (module, place));
    }
    let name = plugin.either(["root_id", "rootId"]).or_else(|| plugin.get("name"))?;
    let text = name.text()?;
    named(text.strip_prefix("holdfast-").unwrap_or(text)).map(|module| (module, name))
}

fn environment(vm: &Node) -> Vec<Variable> {
    let Some(variables) = vm.either(["environment_variables", "environmentVariables"]) else { return Vec::new() };
    let names = variables.either(["host_env_keys", "hostEnvKeys"]).map(Node::items).unwrap_or_default();
    let values = variables.either(["key_values", "keyValues"]).map(Node::fields).unwrap_or_default();
    let of_host = names.iter().filter_map(|name| Some(Variable { name: name.text()?.to_owned(), value: None }));
    let own = values.iter().filter_map(|(name, value)| {
        Some(Variable { name: name.text()?.to_owned(), value: Some(value.text()?.to_owned()) })
    });
    of_host.chain(own).collect()
}
