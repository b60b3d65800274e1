//! `cargo xtask compose smoke`: whether the whole comes up, does what it is for, and goes.

use anyhow::{Result, ensure};

use super::places;
use super::project::{Ports, Project};
use crate::context::Context;
use crate::docker::{self, Engine};
use crate::images::{self, Source};
use crate::text;

/// A name and ports of its own: what `up` started isn't touched.
pub(super) const NAME: &str = "holdfast-smoke";

/// How many stories were told. Fails where something isn't as it should be, or is left; takes it down in any case.
pub(super) fn run(context: &Context, source: Source) -> Result<u32> {
    let engine = Engine::find_or_start(context)?;
    let started = engine.was_started();
    let project = Project::new(context, engine, NAME, source, Ports::Any);
    let told = images::make(context, project.engine(), source).and_then(|()| tell(context, &project));
    if told.is_err() {
        // What they said goes with them; whether it could be kept changes nothing.
        let _ = project.keep_logs();
    }
    let gone = project.down().and_then(|()| project.engine().stop_if_idle(context));
    let output = told?;
    gone?;
    ensure!(!(started && docker::ours_runs(context)), "the Docker engine that was started for this still runs");
    Ok(text::tests_passed(&output))
}

/// As an interrupted `compose -- run` or experiment does: a container in a network that has to go.
fn leave_something(project: &Project<'_>) -> Result<()> {
    let words = ["run", "--detach", "--no-deps", "rest-eu", "--name", "left", "--control", "0.0.0.0:9000"];
    project.compose("leave a container beside it")?.args(words).run().map(drop)
}

/// The stories are tests of the crate `integration`, which has clients.
fn tell(context: &Context, project: &Project<'_>) -> Result<String> {
    project.up()?;
    leave_something(project)?;
    let selection = ["test", "--package", "integration", "--test", "compose", "--", "--ignored", "--test-threads=1"];
    let cargo = context.cmd("cargo", "the stories of the smoke test").args(selection);
    let output = cargo.env("HOLDFAST_COMPOSE", places::words(project)?).run()?;
    ensure!(text::tests_passed(&output) > 0, "no story was told");
    Ok(output)
}
