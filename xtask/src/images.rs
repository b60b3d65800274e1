//! `cargo xtask images`: what `integration/compose` runs and no registry has.
//!
//! Two images are always ours: the modules, and the demo services. With `--local` all others are made here too, for where none can be
//! pulled: a base by debootstrap, and on it Debian's packages and the Envoy of the tests. What can't be had so is said.

mod base;
mod contents;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::docker::Engine;
use crate::progress::note;

/// Where the images come from that aren't ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Registries; the compose file names them.
    Public,
    /// Here.
    Local,
}

/// An image that is made here.
struct Image {
    /// Its folder in `integration/compose/images/`.
    name: &'static str,
    /// What the compose file calls it.
    variable: &'static str,
    /// Puts into a folder what its Dockerfile copies.
    fill: fn(&Context, &Path) -> Result<()>,
}

/// What no registry has.
const OURS: [Image; 2] = [
    Image { name: "modules", variable: "HOLDFAST_MODULES_IMAGE", fill: contents::modules },
    Image { name: "service", variable: "HOLDFAST_SERVICE_IMAGE", fill: contents::service },
];

/// What can be made here in the place of a public one.
const STAND_INS: [Image; 3] = [
    Image { name: "envoy", variable: "ENVOY_IMAGE", fill: contents::envoy },
    Image { name: "redis", variable: "REDIS_IMAGE", fill: contents::nothing },
    Image { name: "prometheus", variable: "PROMETHEUS_IMAGE", fill: contents::nothing },
];

/// A public image that has no stand-in.
#[derive(Clone, Copy)]
pub(crate) struct Absent {
    /// What the compose file calls it.
    pub(crate) variable: &'static str,
    /// The only ones that need it are in this profile.
    pub(crate) profile: &'static str,
    why: &'static str,
}

/// All of them.
pub(crate) const NOT_HERE: [Absent; 3] = [
    Absent { variable: "KONG_IMAGE", profile: "kong", why: "Debian has no Kong" },
    Absent { variable: "WEBDIS_IMAGE", profile: "kong", why: "it is there for Kong" },
    Absent { variable: "GRAFANA_IMAGE", profile: "grafana", why: "Debian has no Grafana" },
];

// === impl Source ===

impl Source {
    /// `--local`, or nothing.
    pub(crate) fn read(args: &[String]) -> Result<Self> {
        match args {
            [] => Ok(Self::Public),
            [flag] if flag == "--local" => Ok(Self::Local),
            _ => bail!("don't know `{}`: there is --local", args.join(" ")),
        }
    }

    /// What the compose file must be told to take the images that are made.
    pub(crate) fn variables(self) -> Vec<(&'static str, String)> {
        self.images().map(|image| (image.variable, self.tag(image.name))).collect()
    }

    /// Whether an image is one that only `--local` makes.
    pub(crate) fn is_local(tag: &str) -> bool {
        tag.ends_with(":local")
    }

    fn images(self) -> impl Iterator<Item = &'static Image> {
        let stand_ins: &[Image] = if self == Self::Local { &STAND_INS } else { &[] };
        OURS.iter().chain(stand_ins)
    }

    /// The compose file's own defaults are the public ones'.
    fn tag(self, name: &str) -> String {
        let word = if self == Self::Local { "local" } else { "latest" };
        format!("holdfast/{name}:{word}")
    }
}

/// Makes them, and stops the engine again if it was started for that.
pub(crate) fn command(context: &Context, args: &[String]) -> Result<()> {
    let source = Source::read(args)?;
    let engine = Engine::find_or_start(context)?;
    let made = make(context, &engine, source);
    if engine.was_started() {
        engine.stop_if_idle(context)?;
    }
    made
}

/// Makes what `source` says. Where nothing changed that is a matter of seconds: each step's outcome is kept.
pub(crate) fn make(context: &Context, engine: &Engine, source: Source) -> Result<()> {
    let base = base::find_or_make(context, engine, source)?;
    for image in source.images() {
        image.build(context, engine, source, &base)?;
    }
    if source == Source::Local {
        for Absent { variable, profile, why } in NOT_HERE {
            note(&format!("SKIPPED: {variable} ({why}): the profile `{profile}` needs a registry"));
        }
    }
    Ok(())
}

// === impl Image ===

impl Image {
    fn build(&self, context: &Context, engine: &Engine, source: Source, base: &str) -> Result<()> {
        let folder = contents::empty(context, self.name)?;
        (self.fill)(context, &folder)?;
        let file = context.root().join("integration/compose/images").join(self.name).join("Dockerfile");
        let tag = source.tag(self.name);
        // Packages come from where this machine gets them.
        let options = ["build", "--network", "host", "--tag", &tag, "--build-arg", &format!("BASE={base}"), "--file"];
        let docker = engine.docker(context, &format!("docker build {tag}")).args(options);
        let built = docker.arg(file).arg(folder).run().map(drop);
        built.with_context(|| format!("no {tag}; where no registry can be reached, --local makes all that it needs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_local_only_what_is_ours_is_made() {
        let names = |source: Source| source.variables().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Source::Public), ["HOLDFAST_MODULES_IMAGE", "HOLDFAST_SERVICE_IMAGE"]);
        assert_eq!(names(Source::Local).len(), 5);
        assert_eq!(Source::Public.variables()[1].1, "holdfast/service:latest");
    }

    #[test]
    fn other_words_are_refused() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(Source::read(&words("--local")).unwrap(), Source::Local);
        assert!(Source::read(&words("--locale")).is_err() && Source::read(&words("--local --local")).is_err());
    }
}
