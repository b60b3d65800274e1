//! Istio's `WasmPlugin` and Envoy Gateway's `EnvoyExtensionPolicy`. What patches Envoy's own configuration is found as that is.

use crate::document::Node;
use crate::entry::{Config, Entry, Form, Variable};
use crate::file::File;
use crate::modules::of_code;

pub(super) fn entries<'a>(number: usize, document: &'a Node, file: &'a File, found: &mut Vec<Entry<'a>>) {
    for object in document.all(|node| node.get("kind").is_some() && node.get("spec").is_some()) {
        match object.get("kind").and_then(Node::text) {
            Some("WasmPlugin") => found.extend(wasm_plugin(number, object, file)),
            Some("EnvoyExtensionPolicy") => {
                let wasm = object.at("spec/wasm").map(Node::items).unwrap_or_default();
                found.extend(wasm.iter().filter_map(|wasm| extension(number, wasm, file)));
            }
            _ => {}
        }
    }
}

fn wasm_plugin<'a>(number: usize, object: &'a Node, file: &'a File) -> Option<Entry<'a>> {
    let node = object.get("spec")?;
    let name = node.get("url")?;
    let module = of_code(name.text()?)?;
    let config = Config::of(node.get("pluginConfig"), name, &file.chars);
    let variables = node.at("vmConfig/env").map(Node::items).unwrap_or_default();
    let environment = variables.iter().filter_map(variable).collect();
    Some(Entry { file: number, module, form: Form::WasmPlugin, kong: false, node, name, config, environment })
}

fn variable(node: &Node) -> Option<Variable> {
    let of_host = node.get("valueFrom").and_then(Node::text) == Some("HOST");
    let value = node.get("value").and_then(Node::text).filter(|_| !of_host);
    Some(Variable { name: node.get("name")?.text()?.to_owned(), value: value.map(str::to_owned) })
}

fn extension<'a>(number: usize, node: &'a Node, file: &'a File) -> Option<Entry<'a>> {
    let name = node.at("code/image/url").or_else(|| node.at("code/http/url"))?;
    let module = of_code(name.text()?)?;
    let config = Config::of(node.get("config"), name, &file.chars);
    let keys = node.at("env/hostKeys").map(Node::items).unwrap_or_default();
    let environment =
        keys.iter().filter_map(|key| Some(Variable { name: key.text()?.to_owned(), value: None })).collect();
    Some(Entry { file: number, module, form: Form::ExtensionPolicy, kong: false, node, name, config, environment })
}
