//! Kong's declarative files: filters as plugins, and in filter chains.

use crate::document::Node;
use crate::entry::{Config, Entry, Form};
use crate::file::File;
use crate::modules::named;

/// Whether this is a declarative file, or a part of one.
pub(crate) fn is_declarative(document: &Node) -> bool {
    let lists = ["services", "routes", "plugins", "filter_chains", "consumers"];
    document.get("_format_version").is_some()
        || document.fields().iter().any(|(key, value)| {
            key.text().is_some_and(|name| lists.contains(&name)) && value.items().iter().any(Node::is_map)
        })
}

pub(super) fn entries<'a>(number: usize, document: &'a Node, file: &'a File, found: &mut Vec<Entry<'a>>) {
    document.walk(&mut |node| {
        for (list, form) in [("plugins", Form::KongPlugin), ("filters", Form::KongFilter)] {
            for item in node.get(list).map(Node::items).unwrap_or_default() {
                found.extend(entry(number, item, form, file));
            }
        }
    });
}

fn entry<'a>(number: usize, node: &'a Node, form: Form, file: &'a File) -> Option<Entry<'a>> {
    let name = node.get("name")?;
    let module = named(name.text()?)?;
    let mut config = Config::of(node.get("config"), name, &file.chars);
    if let Some(fields) = node.get("config").filter(|config| config.is_map()) {
        config.text = fields.json_of_lua();
    }
    Some(Entry { file: number, module, form, kong: true, node, name, config, environment: Vec::new() })
}
