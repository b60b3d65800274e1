//! CPU time of a process, finely enough for short visits.
//!
//! `/proc/<pid>/stat` counts user and system time in hundredths of a second, as much as 400 requests take. The scheduler's own sum, of
//! which those are the rounded halves, is in `/proc/<pid>/task/*/sched` in nanoseconds, where the kernel shows it.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use integration::Envoy;

/// User and system time of all threads.
pub(crate) fn time(envoy: &Envoy) -> Result<Duration> {
    of(envoy.pid()).map_or_else(|| envoy.cpu_time(), Ok)
}

/// The same for any process whose threads live as long as it does: the sum over those that are there misses none. `None` where the kernel
/// doesn't show it.
pub(crate) fn of(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    threads.map(|thread| of_thread(&fs::read_to_string(thread.ok()?.path().join("sched")).ok()?)).sum()
}

/// Milliseconds, with six decimals.
fn of_thread(sched: &str) -> Option<Duration> {
    let line = sched.lines().find(|line| line.starts_with("se.sum_exec_runtime"))?;
    let milliseconds: f64 = line.rsplit_once(':')?.1.trim().parse().ok()?;
    Duration::try_from_secs_f64(milliseconds / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedulers_sum_is_read() {
        let sched = "envoy (1, #threads: 9)\n---\nse.vruntime  : 1.5\nse.sum_exec_runtime   :     51.626430\n";
        assert_eq!(of_thread(sched), Some(Duration::from_nanos(51_626_430)));
        assert_eq!(of_thread("envoy (1, #threads: 9)\n"), None);
    }
}
