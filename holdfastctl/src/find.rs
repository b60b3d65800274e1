//! Where plugins of ours are configured, in files of any kind.

mod envoy;
mod kong;
mod kubernetes;

use crate::document::Node;
use crate::entry::{Config, Entry, Form};
use crate::file::File;
use crate::modules::Module;

/// The plugins in a file.
pub(crate) fn entries(number: usize, file: &File) -> Vec<Entry<'_>> {
    let mut found = Vec::new();
    for document in &file.documents {
        if kong::is_declarative(document) {
            kong::entries(number, document, file, &mut found);
        } else {
            kubernetes::entries(number, document, file, &mut found);
            envoy::entries(number, document, file, &mut found);
        }
    }
    found
}

/// A file that is the configuration of `module`, and nothing else.
pub(crate) fn bare<'a>(number: usize, file: &'a File, module: &'static Module, kong: bool) -> Option<Entry<'a>> {
    let node = file.documents.first()?;
    let mut config = Config::of_fields(node);
    if kong {
        config.text = node.json_of_lua();
    } else if file.text.trim_start().starts_with('{') {
        // As it is, so that what JSON doesn't allow is told.
        config.text.clone_from(&file.text);
        config.places = (0..file.chars.len()).collect();
    }
    Some(Entry { file: number, module, form: Form::Bare, kong, node, name: node, config, environment: Vec::new() })
}

/// Whether `inner` is a part of `outer`: this very one, not another that says the same.
pub(crate) fn contains(outer: &Node, inner: &Node) -> bool {
    let mut found = false;
    outer.walk(&mut |node| found |= std::ptr::eq(node, inner));
    found
}
