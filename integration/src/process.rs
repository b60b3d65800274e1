//! The operating system's side: a child that can't outlive us, and what it costs.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::TestResult;

/// Linux counts CPU time for user space in hundredths of a second on every platform that it runs on.
const TICK: Duration = Duration::from_millis(10);

type Job = (Command, Sender<io::Result<Child>>);

/// The kernel's "kill me when my parent dies" means the parent *thread*, and a test's thread may end before the
/// process that it shares with others. So one thread that never ends starts them all.
static STARTER: LazyLock<Mutex<Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = channel::<Job>();
    std::thread::spawn(move || {
        for (mut command, answer) in queue {
            // A caller that is gone drops the child's handle only; the kernel still ends it with us.
            drop(answer.send(command.spawn()));
        }
    });
    Mutex::new(jobs)
});

/// A child process, killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Child>,
    pid: u32,
}

// === impl Process ===

impl Process {
    pub(crate) fn spawn(command: Command) -> TestResult<Self> {
        let (answer, started) = channel();
        STARTER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, answer))
            .context("the starter is gone")?;
        let child = started.recv().context("the starter is gone")?;
        let child = child.context("starting a process")?;
        Ok(Self { pid: child.id(), child: Mutex::new(child) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None))
    }

    /// Sends a signal; an error where the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> TestResult {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is not reaped, nobody else can have its number.
        anyhow::ensure!(child.try_wait()?.is_none(), "process {} has ended", self.pid);
        kill_process(Pid::from_child(&child), signal).with_context(|| format!("{signal:?} for process {}", self.pid))
    }

    /// Kills it, as the kernel does when memory runs out, and returns when it is gone.
    pub(crate) fn kill(&self) {
        end(&mut self.child.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn cpu_time(&self) -> TestResult<Duration> {
        let ticks = cpu_ticks(&self.proc_file("stat")?).context("no CPU time in /proc/<pid>/stat")?;
        Ok(TICK * ticks)
    }

    pub(crate) fn rss(&self) -> TestResult<u64> {
        resident_bytes(&self.proc_file("status")?).context("no VmRSS in /proc/<pid>/status")
    }

    fn proc_file(&self, name: &str) -> TestResult<String> {
        let path = format!("/proc/{}/{name}", self.pid);
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(self.child.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

fn end(child: &mut Child) {
    // Both fail only if the process is already gone and reaped, which is what we want.
    drop(child.kill());
    drop(child.wait());
}

/// A command that the kernel ends with us: under `setpriv --pdeathsig`, or plain on machines without util-linux.
pub(crate) fn guarded(program: &OsStr) -> Command {
    static GUARD: LazyLock<bool> = LazyLock::new(|| Command::new("setpriv").arg("--version").output().is_ok());
    if !*GUARD {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Fields 14 and 15; counted behind the command's name, which may contain spaces.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_from_proc() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 0 0 0 0 30 12 0 0 20 0 1";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2_097_152));
    }
}
