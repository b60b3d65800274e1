//! What a retry budget does to layers of gateways: `cargo xtask simulate`. No proxy runs; see `integration::simulation`.
#![allow(clippy::disallowed_methods, reason = "how long it took is real time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod args;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use integration::TestResult;
use integration::simulation::{Study, report, svg};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> TestResult {
    let Some(args) = args::read(std::env::args().skip(1))? else {
        print!("{}", args::USAGE);
        return Ok(());
    };
    let began = Instant::now();
    let study = Study::of(args.base, &args.ours);
    for table in report::tables(&study) {
        println!("{table}");
    }
    println!("seed {}, {:.1} s", study.base.seed, began.elapsed().as_secs_f64());
    if let Some(file) = &args.svg {
        std::fs::write(file, svg::chart(&study)).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}
