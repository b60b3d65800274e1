//! An engine of our own, below `target/docker/`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{answers, firewall};
use crate::command::Cmd;
use crate::context::Context;
use crate::progress::{Progress, note};
use crate::text;

/// It takes one or two.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Containers that it still has are given ten.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// The kernel takes no longer path for a socket, and containerd's own lies deeper.
const LONGEST_SOCKET: usize = 107;
/// Of its log, where it doesn't start.
const TAIL: usize = 15;

/// Where it listens, as `DOCKER_HOST` says it.
pub(super) fn host(context: &Context) -> String {
    format!("unix://{}", folder(context).join("engine.sock").display())
}

/// Its process, if it is still the one that was started here.
pub(super) fn pid(context: &Context) -> Option<u32> {
    let file = pid_file(context);
    let pid = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
    // An id is used again some day: who has it now must say that it writes this very file.
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    String::from_utf8_lossy(&command).split('\0').any(|word| file.as_os_str() == word).then_some(pid)
}

/// Starts it and waits until it answers. It goes on when we end.
pub(super) fn start(context: &Context) -> Result<()> {
    let root = Cmd::new("id", "user id").arg("-u").capture().as_deref() == Some("0");
    ensure!(root, "that takes root; start the machine's engine instead, and be in its group `docker`");
    if let Some(engine) = pid(context) {
        bail!("one of ours is there (process {engine}) and doesn't answer; its log: {}", log_file(context).display());
    }
    let deepest = folder(context).join("run/containerd/containerd.sock.ttrpc");
    ensure!(deepest.as_os_str().len() <= LONGEST_SOCKET, "{} is too long for a socket", deepest.display());
    fs::create_dir_all(folder(context))?;
    // One that was killed has left its note, its id, and containers that this one takes over.
    let fresh = !was_killed(context);
    firewall::remember(&folder(context))?;
    let _ = fs::remove_file(pid_file(context));
    let mut child = spawn(context)?;
    let mut progress = Progress::start("start a Docker engine of our own");
    while !answers(Some(&host(context))) {
        let ended = child.try_wait()?;
        if ended.is_some() || progress.elapsed() > START_LIMIT {
            progress.failed(false);
            give_up(&mut child);
            if fresh {
                tidy(context)?;
            }
            bail!("dockerd isn't there\n{}", text::indent(&text::tail(&log(context), TAIL)));
        }
        progress.beat(|| text::last_line(&log(context)));
        sleep(POLL);
    }
    progress.done();
    note(&format!("its data, socket and log are in {}", folder(context).display()));
    Ok(())
}

/// Asks it to end and waits for it, then puts the packet filter back.
pub(super) fn stop(context: &Context) -> Result<()> {
    let Some(engine) = pid(context) else { return Ok(()) };
    let mut progress = Progress::start("stop our Docker engine");
    signal("-TERM", engine);
    while pid(context).is_some() {
        if progress.elapsed() > STOP_LIMIT {
            progress.failed(false);
            bail!("dockerd (process {engine}) doesn't end; its log: {}", log_file(context).display());
        }
        progress.beat(|| text::last_line(&log(context)));
        sleep(POLL);
    }
    progress.done();
    tidy(context)
}

/// Whether one of ours came and wasn't stopped.
pub(super) fn was_killed(context: &Context) -> bool {
    pid(context).is_none() && firewall::is_remembered(&folder(context))
}

/// Undoes what it leaves when it ends.
fn tidy(context: &Context) -> Result<()> {
    unmount(context)?;
    firewall::put_back(context, &folder(context))
}

/// It leaves a mount of its network namespace behind, over which nobody could remove the folder.
fn unmount(context: &Context) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("can't read what is mounted")?;
    for mount in mounts_below(&mounts, &folder(context)) {
        context.cmd("umount", "umount what our Docker engine left").arg(mount).run()?;
    }
    Ok(())
}

/// The deepest first. Where a space is in a path it is written otherwise, and nothing is found.
fn mounts_below<'a>(mounts: &'a str, folder: &Path) -> Vec<&'a str> {
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut below: Vec<&str> = places.filter(|place| Path::new(place).starts_with(folder)).collect();
    below.sort_by_key(|place| std::cmp::Reverse(place.len()));
    below
}

fn spawn(context: &Context) -> Result<Child> {
    let at = folder(context);
    let log = File::create(log_file(context))?;
    let mut command = Command::new("dockerd");
    command.arg("--host").arg(host(context)).arg("--pidfile").arg(pid_file(context));
    command.arg("--data-root").arg(at.join("data")).arg("--exec-root").arg(at.join("run"));
    // Compose makes its own networks; the machine needs no docker0 for them.
    command.arg("--bridge=none").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // Ctrl-C here isn't meant for it.
    command.process_group(0).spawn().context("can't start dockerd")
}

fn give_up(child: &mut Child) {
    signal("-TERM", child.id());
    // It has ended, or it will: either way it has to be waited for.
    let _ = child.wait();
}

fn signal(which: &str, pid: u32) {
    // It may have ended by itself, and that is what was wanted.
    let _ = Command::new("kill").args([which, &pid.to_string()]).stderr(Stdio::null()).status();
}

fn folder(context: &Context) -> PathBuf {
    context.target().join("docker")
}

fn pid_file(context: &Context) -> PathBuf {
    folder(context).join("engine.pid")
}

fn log_file(context: &Context) -> PathBuf {
    folder(context).join("engine.log")
}

fn log(context: &Context) -> String {
    fs::read_to_string(log_file(context)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_is_unmounted_the_deepest_first() {
        let mounts = "proc /proc proc rw 0 0\nnsfs /t/docker/run/netns nsfs rw 0 0\nnsfs /t/docker/run/netns/default nsfs rw 0 0\nx /t/docker-2 ext4 rw 0 0";
        let found = mounts_below(mounts, Path::new("/t/docker"));
        assert_eq!(found, ["/t/docker/run/netns/default", "/t/docker/run/netns"]);
    }
}
