//! What a filter costs: CPU time of the Envoy process per request, on a real Envoy.
//!
//! A few microseconds on top of fifteen, on a machine that does other things as well, drown in a before-and-after
//! measurement. So one process serves every configuration on a listener of its own, short loads visit them in a shuffled
//! order, round after round, and what counts is the difference *within* a round: whatever slows the machine down for
//! a while slows both sides down. Differences get 95 % intervals by resampling the rounds (`stats.rs`).
//!
//! Time is the process's user and system time (`cpu.rs`), not the wall clock: background threads are in it, waiting is not.
//! Every listener answers by itself, so that the filter is all that differs; a second table repeats the main rows with a real
//! upstream behind.
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod args;
mod bed;
mod cpu;
mod idempotency;
mod json;
mod load;
mod measure;
mod report;
mod scanner;
mod solo;
mod stats;
mod subject;
mod table;
mod verdict;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use args::Args;
use bed::Bed;
use load::Loader;
use table::Table;
use verdict::Verdict;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let Some(args) = args::read(std::env::args().skip(1))? else {
        print!("{}", args::USAGE);
        return Ok(ExitCode::SUCCESS);
    };
    let (began, loader) = (Instant::now(), Loader::find()?);
    let Figures { tables, verdicts } =
        if args.idempotency { idempotency::all(&args, &loader)? } else { filters(&args, &loader)? };
    print!("{}", report::verdicts(&verdicts));
    println!("\n{} s in all", began.elapsed().as_secs());
    if let Some(file) = &args.json {
        json::write(file, &args, &tables, &verdicts)?;
    }
    Ok(if args.check && verdicts.iter().any(Verdict::is_missed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was measured, and what it says of the promises.
#[derive(Debug, Default)]
struct Figures {
    /// For machines; people have seen them.
    tables: Vec<Value>,
    verdicts: Vec<Verdict>,
}

/// The plugins that decide by themselves.
fn filters(args: &Args, loader: &Loader) -> Result<Figures> {
    let (service, port) = bed::service()?;
    let direct = direct(args, loader, port)?;
    print!("{}", report::table(&direct));
    let proxied = if args.direct_only { None } else { Some(proxied(args, loader, port)?) };
    if let Some(table) = &proxied {
        print!("{}", report::table(table));
    }
    drop(service);
    let tables = [Some(&direct), proxied.as_ref()].into_iter().flatten().map(json::table).collect();
    let mut verdicts = verdict::all(&direct, proxied.as_ref());
    verdicts.push(scanner::measure());
    Ok(Figures { tables, verdicts })
}

/// Envoy answers by itself.
fn direct(args: &Args, loader: &Loader, service: u16) -> Result<Table> {
    let subjects = subject::direct(args)?;
    let solo = solo::all(&subjects, loader, args, service)?;
    let bed = Bed::direct(&subjects, service)?;
    bed.check_breakers()?;
    let rounds = measure::rounds(&bed, loader, args.rounds, args.requests)?;
    Ok(Table::new("Envoy answers by itself (direct_response)", &subjects, &rounds, solo))
}

/// Another Envoy answers, which is not measured.
fn proxied(args: &Args, loader: &Loader, service: u16) -> Result<Table> {
    let subjects = subject::proxied(args)?;
    let bed = Bed::proxied(&subjects, service)?;
    let rounds = measure::rounds(&bed, loader, args.rounds.div_ceil(2).max(5), args.requests)?;
    Ok(Table::new("Proxied to a local upstream", &subjects, &rounds, Vec::new()))
}
