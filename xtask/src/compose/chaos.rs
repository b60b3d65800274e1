//! `cargo xtask compose chaos`: the experiments of `integration::chaos`, on two of everything: with Holdfast, and the same Envoys without.

use anyhow::{Context as _, Result, bail, ensure};

use super::places;
use super::project::{Ports, Project};
use crate::context::Context;
use crate::docker::{self, Engine};
use crate::images::{self, Source};

/// Names and ports of their own: what `up` started isn't touched.
pub(super) const WITH: &str = "holdfast-chaos";
pub(super) const WITHOUT: &str = "holdfast-chaos-plain";
/// What the compose file calls the folder of the gateways' configuration.
const CONFIG: &str = "HOLDFAST_ENVOY_CONFIG";
/// Probes of two dozen containers, once a second, take more than the load does.
const PROBES: (&str, &str) = ("HOLDFAST_PROBE_INTERVAL", "5s");

/// Whether all hypotheses hold, or those of the experiments that are chosen. Fails where something is left; takes all down in any case.
pub(super) fn run(context: &Context, source: Source, only: Option<&str>) -> Result<bool> {
    let engine = Engine::find_or_start(context)?;
    let started = engine.was_started();
    let plain = context.target().join("chaos/plain");
    let project = |name| Project::new(context, engine.clone(), name, source, Ports::Any).setting(PROBES.0, PROBES.1);
    let (with, without) = (project(WITH), project(WITHOUT).setting(CONFIG, plain.display().to_string()));
    let played = images::make(context, &engine, source).and_then(|()| play(context, &with, &without, only));
    if played.is_err() {
        // What they said goes with them; whether it could be kept changes nothing.
        let _ = with.keep_logs().and_then(|()| without.keep_logs());
    }
    let gone = [with.down(), without.down()].into_iter().collect::<Result<()>>();
    let gone = gone.and_then(|()| engine.stop_if_idle(context));
    let holds = played?;
    gone?;
    ensure!(!(started && docker::ours_runs(context)), "the Docker engine that was started for this still runs");
    Ok(holds)
}

/// `--local`, and `--only 1,5`.
pub(super) fn read(args: &[String]) -> Result<(Source, Option<&str>)> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [] => Ok((Source::Public, None)),
        ["--local"] => Ok((Source::Local, None)),
        ["--only", only] => Ok((Source::Public, Some(only))),
        ["--local", "--only", only] | ["--only", only, "--local"] => Ok((Source::Local, Some(only))),
        _ => bail!("don't know `{}`: there are --local and --only N,N", words.join(" ")),
    }
}

/// Whether all hypotheses hold. The program that knows has the terminal meanwhile.
fn play(context: &Context, with: &Project<'_>, without: &Project<'_>, only: Option<&str>) -> Result<bool> {
    let out = context.target().join("chaos");
    let program = compiled(context)?;
    let shipped = context.root().join("integration/compose/envoy/envoy.yaml");
    let plain = context.cmd(&program, "the control's configuration").arg("plain").arg(shipped);
    plain.arg(out.join("plain/envoy.yaml")).run()?;
    with.up()?;
    without.up()?;
    let play = with.engine().speaking(context.cmd(&program, "chaos")).arg("play").arg(&out).args(only);
    let play = play.env("HOLDFAST_CHAOS_WITH", told(with, WITH)?);
    play.env("HOLDFAST_CHAOS_WITHOUT", told(without, WITHOUT)?).attached()
}

fn told(project: &Project<'_>, name: &str) -> Result<String> {
    Ok(format!("{name} {}", places::words(project)?))
}

/// Compiled as the services are: most of it is there already.
fn compiled(context: &Context) -> Result<std::path::PathBuf> {
    let selection = ["--quiet", "--release", "--package", "integration", "--bin", "chaos", "--target-dir"];
    context.cmd("cargo", "build the experiments").arg("build").args(selection).arg(context.target()).run()?;
    let program = context.target().join("release/chaos");
    program.is_file().then_some(program).context("cargo made no program `chaos`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_experiments_can_be_chosen_in_any_order_of_words() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(read(&words("--local --only 1,5")).unwrap(), (Source::Local, Some("1,5")));
        assert_eq!(read(&words("--only 1 --local")).unwrap(), (Source::Local, Some("1")));
        assert_eq!(read(&[]).unwrap(), (Source::Public, None));
        assert!(read(&words("--only")).is_err() && read(&words("1")).is_err());
    }
}
