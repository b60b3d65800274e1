//! A callback that is left out is one that the plugin doesn't have.
//!
//! The module exports it all the same, so nothing but the plugin's source tells. Without this a plugin that begins to listen to request bodies, say, would never hear
//! of one under its list.

use std::path::Path;

use anyhow::{Context as _, ensure};
use integration::TestResult;
use integration::capabilities::{MODULES, Module, Surface, needed};
use integration::config::wasm;

/// Callbacks that the SDK needs for itself.
const OF_THE_SDK: [&str; 3] = ["proxy_on_context_create", "proxy_on_configure", "proxy_on_delete"];
/// What the glue itself does nothing with (`sdk-shim/src/live/context.rs`).
const OF_NOBODY: &str = "proxy_on_vm_start";

/// The methods by which a plugin hears of a callback.
fn methods(callback: &str) -> Vec<String> {
    match callback {
        "proxy_on_http_call_response" => vec!["on_answer".into(), "on_root_answer".into()],
        "proxy_on_done" => vec!["on_done".into(), "on_retire".into()],
        other => vec![other.trim_start_matches("proxy_").into()],
    }
}

fn hears(source: &str, callback: &str) -> bool {
    methods(callback).iter().any(|method| source.contains(&format!("fn {method}(&self")))
}

fn check(module: &Module) -> TestResult {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let filter = root.join("plugins").join(module.package).join("src/filter.rs");
    let source = std::fs::read_to_string(&filter).with_context(|| filter.display().to_string())?;
    let built = wasm::modules()?.join(module.file);
    let list = needed(&built)?;
    for callback in Surface::read(&built)?.callbacks {
        let wanted = OF_THE_SDK.contains(&callback.as_str()) || (callback != OF_NOBODY && hears(&source, &callback));
        ensure!(
            list.contains(&callback) == wanted,
            "{}: {callback}, {}",
            module.file,
            if wanted { "which it hears" } else { "which it doesn't hear" }
        );
    }
    Ok(())
}

#[test]
fn a_callback_is_on_the_list_if_and_only_if_the_plugin_hears_it() -> TestResult {
    MODULES.iter().try_for_each(check)
}

#[test]
fn the_table_names_nothing_that_a_module_has_not() -> TestResult {
    for module in MODULES {
        let surface = Surface::read(&wasm::modules()?.join(module.file))?;
        for name in module.unused {
            ensure!(surface.imports.contains(*name) || surface.callbacks.contains(*name), "{}: {name}", module.file);
        }
    }
    Ok(())
}
