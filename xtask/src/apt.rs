//! System packages, where there is no other way.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command::Cmd;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;

const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Another apt may be at work; wait for it, in seconds.
const LOCK: &str = "DPkg::Lock::Timeout=120";

/// Installs Debian packages, for the purpose in `why`; refreshes apt's lists if they turn out to be stale.
pub(crate) fn install(context: &Context, packages: &[&str], why: &str) -> Result<()> {
    let list = packages.join(" ");
    let by_hand =
        format!("{why} is missing; install it yourself (on Debian or Ubuntu: `apt-get install {list}`, as root)");
    let sudo = privilege().with_context(|| by_hand.clone())?;
    let apt = |label: String| apt_get(context, label, sudo);
    let attempt = |round: &str| {
        let options = ["install", "-y", "--no-install-recommends", "-o", LOCK];
        apt(format!("apt-get install {list}{round}")).args(options).args(packages).tentative().run()
    };
    if attempt("").is_err() {
        apt("apt-get update".into()).arg("update").run().with_context(|| by_hand.clone())?;
        attempt(" (again)").with_context(|| by_hand)?;
    }
    note(&format!("{list}: installed as system packages ({why})"));
    Ok(())
}

/// Debian starts a package's service when it is installed, and we only want the program: whoever wanted the service had it before.
pub(crate) fn stop_service(context: &Context, service: &str) {
    let label = format!("systemctl disable {service}");
    let command = match privilege() {
        Ok(true) => context.cmd("sudo", label).args(["-n", "systemctl"]),
        _ => context.cmd("systemctl", label),
    };
    let command = command.args(["disable", "--now", "--quiet", service]);
    if command.tentative().run().is_err() {
        note(&format!("{service}: if the package started its service, stop it yourself; the tests don't use it"));
    }
}

fn apt_get(context: &Context, label: String, sudo: bool) -> Cmd {
    let command = if sudo {
        context.cmd("sudo", label).args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
    } else {
        context.cmd("apt-get", label).env("DEBIAN_FRONTEND", "noninteractive")
    };
    command.limit(LIMIT)
}

/// Whether apt-get needs sudo; an error if neither way is open.
fn privilege() -> Result<bool> {
    if on_path("apt-get").is_none() {
        bail!("this machine has no apt-get");
    }
    if Cmd::new("id", "user id").arg("-u").capture().as_deref() == Some("0") {
        return Ok(false);
    }
    if Cmd::new("sudo", "sudo").args(["-n", "true"]).capture().is_some() {
        return Ok(true);
    }
    bail!("not root, and sudo asks for a password")
}
