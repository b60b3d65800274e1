//! `cargo xtask compose`: two gateways, two regions, a Redis and a Prometheus, as `integration/compose` has them.

mod chaos;
mod places;
mod project;
mod smoke;
mod state;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::context::Context;
use crate::docker::{self, Engine};
use crate::images::{self, Source};
use crate::progress::note;
use project::{Ports, Project};

const USAGE: &str = "\
cargo xtask compose <command>

  up [--local]       everything, ready when its probes say so; --local makes all images here (see `cargo xtask images`)
  down               takes it all down: containers, networks, volumes, and the Docker engine if it was started here
  logs [SERVICE …]   what they say
  -- …               whatever else compose can do with it: -- ps, -- kill redis, -- pause edge-a
  chaos [--local] [--only N,N]
                     everything twice, with Holdfast and without, is broken in the same ways at the same time; which hypotheses hold
                     (target/chaos/report.html)
  smoke [--local]    up, a few requests whose answers are known, down, and nothing is left";

/// Runs one of them.
pub(crate) fn command(context: &Context, args: &[String]) -> Result<ExitCode> {
    let (command, rest) = args.split_first().map_or(("help", args), |(first, rest)| (first.as_str(), rest));
    match command {
        "up" => up(context, Source::read(rest)?)?,
        "down" if rest.is_empty() => down(context)?,
        "logs" => return become_compose(context, args),
        "--" => return become_compose(context, rest),
        "chaos" => {
            let (source, only) = chaos::read(rest)?;
            let holds = chaos::run(context, source, only)?;
            note("nothing is left");
            return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        "smoke" => {
            let stories = smoke::run(context, Source::read(rest)?)?;
            note(&format!("{stories} passed, and nothing is left"));
        }
        "help" | "--help" | "-h" => println!("{USAGE}"),
        _ => bail!("don't know `compose {}`\n\n{USAGE}", args.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// `smoke` with images that are made here, as a step of the tests.
pub(crate) fn smoke_test(context: &Context) -> Result<String> {
    smoke::run(context, Source::Local).map(|stories| format!("{stories} tests"))
}

/// All of `chaos` with images that are made here, as a step of the tests.
pub(crate) fn chaos_test(context: &Context) -> Result<String> {
    let holds = chaos::run(context, Source::Local, None)?;
    ensure!(holds, "not all hypotheses hold: target/chaos/report.html");
    Ok("all hypotheses hold".to_owned())
}

/// What is up stays up where something fails: whoever looks for the reason wants to see it.
fn up(context: &Context, source: Source) -> Result<()> {
    let engine = Engine::find_or_start(context)?;
    images::make(context, &engine, source)?;
    let project = Project::new(context, engine, project::NAME, source, Ports::AsConfigured);
    project.up()?;
    println!("\n{}", places::table(&project)?);
    Ok(())
}

fn down(context: &Context) -> Result<()> {
    let Some(engine) = Engine::running_or_killed(context)? else {
        note("no Docker engine answers, so nothing is up");
        return Ok(());
    };
    // Tests and experiments that were interrupted leave something too.
    let gone = [project::NAME, smoke::NAME, chaos::WITH, chaos::WITHOUT].map(|name| {
        let project = Project::new(context, engine.clone(), name, Source::Public, Ports::AsConfigured);
        if project.is_there() { project.down() } else { Ok(()) }
    });
    // Where one can't go the others do. An engine without containers can be stopped whatever else it still has.
    let stopped = engine.stop_if_idle(context);
    gone.into_iter().collect::<Result<()>>()?;
    stopped?;
    if !docker::ours_runs(context) {
        note("nothing of it is left; target/docker keeps what images are made of, and can be removed");
    }
    Ok(())
}

/// Returns only if it can't be started.
fn become_compose(context: &Context, args: &[String]) -> Result<ExitCode> {
    let Some(engine) = Engine::running(context) else { bail!("no Docker engine answers, so nothing is up") };
    let source = project::source(context, &engine, project::NAME);
    let project = Project::new(context, engine, project::NAME, source, Ports::AsConfigured);
    Err(project.compose("docker-compose")?.args(args).exec())
}
