//! What images are made on.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::Source;
use crate::apt;
use crate::command::Cmd;
use crate::context::Context;
use crate::discover::on_path;
use crate::docker::Engine;

/// Of debootstrap. The public one is of the same release.
const SUITE: &str = "bookworm";
const LOCAL: &str = "holdfast/base:bookworm";
const PUBLIC: &str = "debian:bookworm-slim";
/// Another public one, for who compiles on a newer system.
const VARIABLE: &str = "HOLDFAST_BASE_IMAGE";
/// That release's: major and minor.
const GLIBC: (u32, u32) = (2, 36);

/// Its name; made if it is to be made here and isn't there.
pub(super) fn find_or_make(context: &Context, engine: &Engine, source: Source) -> Result<String> {
    let chosen = std::env::var(VARIABLE).ok().filter(|chosen| !chosen.is_empty());
    if let Some(chosen) = chosen {
        return Ok(chosen);
    }
    // What cargo compiles here must start there.
    let here = Cmd::new("getconf", "glibc").arg("GNU_LIBC_VERSION").capture();
    ensure_not_newer(here.as_deref().and_then(glibc))?;
    if source == Source::Public {
        return Ok(PUBLIC.to_owned());
    }
    let known = engine.docker(context, "docker image inspect").args(["image", "inspect", "--format", "{{.Id}}", LOCAL]);
    if known.capture().is_none() {
        make(context, engine)?;
    }
    Ok(LOCAL.to_owned())
}

fn make(context: &Context, engine: &Engine) -> Result<()> {
    if on_path("debootstrap").is_none() {
        apt::install(context, &["debootstrap"], "debootstrap, which makes a base for images")?;
    }
    let at = context.target().join("docker");
    let (folder, archive) = (at.join("base"), at.join("base.tar"));
    fs::create_dir_all(&at)?;
    // What an interrupted run left may be half there.
    let _ = fs::remove_dir_all(&folder);
    let debootstrap = context.cmd("debootstrap", format!("debootstrap {SUITE}")).args(["--variant=minbase", SUITE]);
    debootstrap.arg(&folder).run().context("a base for images takes root, and a mirror of Debian's packages")?;
    let tar = context.cmd("tar", "tar the base").arg("--exclude=./var/cache/apt/archives/*.deb").arg("-C").arg(&folder);
    tar.arg("-cf").arg(&archive).arg(".").run()?;
    engine.docker(context, &format!("docker import {LOCAL}")).arg("import").arg(&archive).arg(LOCAL).run()?;
    fs::remove_dir_all(&folder)?;
    Ok(fs::remove_file(&archive)?)
}

fn ensure_not_newer(here: Option<(u32, u32)>) -> Result<()> {
    let Some((major, minor)) = here else { return Ok(()) };
    ensure!(
        (major, minor) <= GLIBC,
        "this system's glibc {major}.{minor} is newer than the image's ({}.{}): what is compiled here doesn't start there.\n  \
         Name another base, such as {VARIABLE}=ubuntu:24.04, or run this in a Debian {SUITE}",
        GLIBC.0,
        GLIBC.1
    );
    Ok(())
}

/// `glibc 2.36`.
fn glibc(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_newer_system_is_not_put_into_an_older_image() {
        assert!(ensure_not_newer(glibc("glibc 2.36")).is_ok() && ensure_not_newer(glibc("glibc 2.9.1")).is_ok());
        let error = ensure_not_newer(glibc("glibc 2.39")).unwrap_err().to_string();
        assert!(error.contains("2.39") && error.contains(VARIABLE), "{error}");
        assert!(ensure_not_newer(glibc("musl")).is_ok(), "who knows");
    }
}
