//! Each shipped module can be loaded in Kong, as far as a module itself tells. The second engine runs them; here is asked what nginx would ask first.

use std::path::Path;

use anyhow::{Context as _, ensure};
use integration::TestResult;
use integration::capabilities::{Surface, UNUSED_BY_ALL, wasmx};
use integration::config::wasm;

const MODULES: [&str; 6] = [
    "circuit_breaker.wasm",
    "retry_budget.wasm",
    "idempotency.wasm",
    "protocol_health.wasm",
    "metrics.wasm",
    "holdfast_suite.wasm",
];

fn read(name: &str) -> TestResult<Vec<u8>> {
    let file = wasm::modules()?.join(Path::new(name));
    std::fs::read(&file).with_context(|| file.display().to_string())
}

#[test]
fn kong_can_load_every_module() -> TestResult {
    for name in MODULES {
        let obstacles = wasmx::obstacles(&read(name)?)?;
        ensure!(obstacles.is_empty(), "{name}: {}", obstacles.join("; "));
    }
    Ok(())
}

/// The SDK imports these; that nobody calls them is what the stories of hardened Envoys show. `proxy_done` is called where a configuration may retire
/// late, which none may in Kong.
#[test]
fn what_traps_there_is_called_by_nobody() -> TestResult {
    for name in MODULES {
        let imports = Surface::of(&read(name)?)?.imports;
        let trapping = wasmx::TRAPS.into_iter().filter(|call| imports.contains(*call) && *call != "proxy_done");
        for call in trapping {
            ensure!(UNUSED_BY_ALL.contains(&call), "{name} may call {call}");
        }
    }
    Ok(())
}
