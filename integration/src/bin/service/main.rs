//! The services of `integration/compose`: one region's payments and orders, and the switch that makes them sick. See `integration::shop`.
//! And their customers, for `cargo xtask compose chaos`: `integration::chaos::load`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a container")]

mod args;

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use integration::shop::Shop;
use integration::{TestResult, client};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use args::{Args, Wish};

fn main() -> ExitCode {
    match args::read(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(wish: Wish) -> TestResult {
    match wish {
        Wish::Help => print!("{}", args::USAGE),
        Wish::Check(port) => check(port)?,
        Wish::Load(load) => drop(load.run(
            || println!("begun"),
            |record| println!("{}", record.write()),
            |leg| println!("{}", leg.write()),
        )?),
        Wish::Serve(args) => serve(&args)?,
    }
    Ok(())
}

/// For a container's health check, where there is no curl.
fn check(port: u16) -> TestResult {
    let reply = client::get(port, "/healthz", &[])?;
    ensure!(reply.status == 200, "status {}", reply.status);
    Ok(())
}

fn serve(args: &Args) -> TestResult {
    let shop = Shop::start(&args.name, &args.addresses, args.control)?;
    println!("{} serves {:?}; its switch is on port {}", args.name, shop.ports(), shop.control());
    until_told()
}

/// Waits for SIGTERM or SIGINT: the first process of a container has no usual effect of signals.
fn until_told() -> TestResult {
    let runtime = Builder::new_current_thread().enable_all().build().context("a runtime for signals")?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        Ok(())
    })
}
