//! What a module may do to Envoy, as YAML: `cargo xtask capabilities`. No proxy runs; see `integration::capabilities`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use integration::capabilities::{MODULES, bless, needed, yaml};
use integration::{TestResult, config};

const USAGE: &str = "\
cargo xtask capabilities [--write | module.wasm ...]

Prints what Envoy must allow each module, for `capability_restriction_config`: in `vm_config` from Envoy 1.40, before
that beside it. Without arguments it builds the modules and takes those; with --write it puts their lists into the files
in envoy-configs/ that have some.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capabilities: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> TestResult {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if args.iter().any(|arg| arg == Path::new("--help")) {
        print!("{USAGE}");
        return Ok(());
    }
    if args.iter().any(|arg| arg == Path::new("--write")) {
        return bless(&config::wasm::modules()?);
    }
    let modules = if args.is_empty() { built()? } else { args };
    for module in modules {
        println!("# {}", module.display());
        println!("capability_restriction_config:\n  allowed_capabilities:\n{}", yaml(&needed(&module)?, 4));
    }
    Ok(())
}

fn built() -> TestResult<Vec<PathBuf>> {
    let folder = config::wasm::modules()?;
    Ok(MODULES.iter().map(|module| folder.join(module.file)).collect())
}
