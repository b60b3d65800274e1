//! `cargo xtask`: the one door to everything a contributor does with this repository.
//!
//! A gateway plugin needs a Wasm toolchain, a real Envoy and a handful of tools before its first test can run, and
//! every machine lacks different ones. So each command here looks for what it needs, installs what is missing (into
//! `target/tools/`, or as system packages where there is no other way), says where it went, and explains in the error
//! what to do when it can't. Running a command twice does nothing twice.

mod apt;
mod build;
mod cargo_tools;
mod check;
mod command;
mod compose;
mod context;
mod discover;
mod docker;
mod envoy;
mod fuzz;
mod images;
mod lockfile;
mod processes;
mod progress;
mod release;
mod run;
mod second_engine;
mod setup;
mod stories;
mod summary;
mod text;
mod toolchain;
mod version;
mod wasm_tests;

use std::process::ExitCode;

use anyhow::{Result, bail};
use context::Context;

const USAGE: &str = "\
cargo xtask <command>

  setup              install all that the other commands need, and say where it is
  build              the Wasm modules, into target/modules/
  release …          the modules with checksums, into target/release-<version>/; --verify builds them again in another
                     folder and compares; --push REGISTRY/PATH [--tag TAG] [--plain-http] pushes them; --dry-run doesn't
  demo [--serve] …   a real Envoy that survives a failing region (builds first)
  test [--fast]      every check; --fast leaves out the modules, the tools and the real Envoys (under 5 minutes);
                     --thorough runs the stories with the separate modules and with the suite on both Envoys
  bench …            CPU time per request on a real Envoy (builds first)
  capabilities …     what Envoy must let each module do, as YAML (builds first)
  compose …          two gateways, two regions, Redis and Prometheus in containers: up, down, logs, smoke, chaos
  images [--local]   the images that compose runs; --local makes stand-ins for the public ones too
  simulate …         what a retry budget does to layers of gateways, in virtual time (needs no Envoy)

environment: ENVOY=<path> runs that Envoy instead of the tested versions;
             WASM_TOOLCHAIN=rustup|system takes that toolchain for wasm32 without trying the other.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {}", text::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let context = Context::new()?;
    let (command, rest) = args.split_first().map_or(("help", args), |(first, rest)| (first.as_str(), rest));
    match (command, rest) {
        ("setup", []) => Ok(setup::all(&context)),
        ("build", []) => build::all(&context).map(|()| ExitCode::SUCCESS),
        ("release", rest) => release::command(&context, rest).map(|()| ExitCode::SUCCESS),
        ("test", []) => Ok(check::full(&context)),
        ("test", [flag]) if flag == "--fast" => Ok(check::fast(&context)),
        ("test", [flag]) if flag == "--thorough" => Ok(check::thorough(&context)),
        ("demo", rest) => run::demo(&context, rest),
        ("bench", rest) => run::bench(&context, rest),
        ("capabilities", rest) => run::capabilities(&context, rest),
        ("compose", rest) => compose::command(&context, rest),
        ("images", rest) => images::command(&context, rest).map(|()| ExitCode::SUCCESS),
        ("simulate", rest) => run::simulate(&context, rest),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("don't know `{}`\n\n{USAGE}", args.join(" ")),
    }
}
