//! What a module may do to Envoy: the list for `capability_restriction_config`.
//!
//! By default Envoy offers a module everything that proxy-wasm has. Given a list, it answers every other call of the module with an
//! error and a line in its log, and makes no other callback. A list that lacks a call makes a plugin worse than none; one that lacks a
//! callback makes it *none*, without a word: requests pass unfiltered, whatever the failure policy. So nobody should write such a list
//! by hand. Here it is made of the module itself: what it imports, less what only its SDK brings along, and the callbacks that it
//! exports, less those in which its plugin does nothing.
//!
//! `cargo xtask capabilities` prints it for a build of one's own. The files in `envoy-configs/` that hold lists ([`FILES`]) are compared with
//! it by a test; `cargo xtask capabilities --write`, or the test with `HOLDFAST_BLESS=1`, writes them.

mod blocks;
mod table;
pub mod wasmx;

pub use blocks::{FILES, bless, regenerate, yaml};
pub use table::{MODULES, Module, UNUSED_BY_ALL};

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use wasmparser::{Parser, Payload};

use crate::TestResult;

/// What a module asks for, and what it can be asked: the names that Envoy's list knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Host calls (`proxy_log`) and WASI's (`random_get`).
    pub imports: BTreeSet<String>,
    /// Callbacks (`proxy_on_request_headers`).
    pub callbacks: BTreeSet<String>,
}

/// The list for a module: what it needs, and no more.
///
/// # Errors
/// When the file is no Wasm module.
pub fn needed(module: &Path) -> TestResult<BTreeSet<String>> {
    let surface = Surface::read(module)?;
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    let own = MODULES.iter().find(|row| row.file == name).map_or(&[][..], |row| row.unused);
    let all = surface.imports.into_iter().chain(surface.callbacks);
    Ok(all.filter(|name| !UNUSED_BY_ALL.iter().chain(own).any(|unused| unused == name)).collect())
}

// === impl Surface ===

impl Surface {
    /// Reads a module's imports and exports.
    ///
    /// # Errors
    /// When the file is missing, or no Wasm module.
    pub fn read(module: &Path) -> TestResult<Self> {
        let bytes = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
        Self::of(&bytes).with_context(|| format!("{} is no Wasm module", module.display()))
    }

    /// The same of a module in memory.
    ///
    /// # Errors
    /// When it is no Wasm module.
    pub fn of(module: &[u8]) -> TestResult<Self> {
        let mut surface = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        surface.imports.insert(import?.name.to_owned());
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        surface.callbacks.extend(callback(export?.name));
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }
}

/// Exports besides callbacks (memory, its allocator, the ABI's version, the start) aren't subject to the list.
fn callback(export: &str) -> Option<String> {
    export.starts_with("proxy_on_").then(|| export.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(import "env" "proxy_log" (func)) (export "proxy_on_tick" (func 0)) (export "malloc" (func 0))`.
    const SMALL: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x11\x01\x03env\x09proxy_log\0\0\
        \x07\x1a\x02\x0dproxy_on_tick\0\0\x06malloc\0\0";

    #[test]
    fn a_modules_surface_is_its_imports_and_its_callbacks() {
        let surface = Surface::of(SMALL).unwrap();
        assert_eq!(surface.imports, BTreeSet::from(["proxy_log".to_owned()]));
        assert_eq!(surface.callbacks, BTreeSet::from(["proxy_on_tick".to_owned()]));
    }

    #[test]
    fn what_is_no_module_is_told_by_its_name() {
        assert!(Surface::of(b"\0asm\x01\0\0\0\x02\x7f").is_err());
        assert!(needed(Path::new("/no/such.wasm")).unwrap_err().to_string().contains("/no/such.wasm"));
    }
}
