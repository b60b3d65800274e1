//! Ending a command that runs for too long, with all that it started.
//!
//! A child of cargo is often the one that hangs, so killing cargo alone would leave it behind. The children stay in
//! our own process group (Ctrl-C has to reach them), which is why they are found by their parents' ids.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Between asking and forcing.
const GRACE: Duration = Duration::from_secs(2);

/// Asks the child and its descendants to end, and forces those that don't.
pub(crate) fn stop_tree(child: &mut Child) {
    let family = table().map(|table| family(child.id(), &table)).unwrap_or_default();
    signal("-TERM", &family);
    sleep(GRACE);
    signal("-KILL", &family);
    // It may have ended already; either way it has to be waited for.
    let _ = child.kill();
    let _ = child.wait();
}

/// All processes as (id, parent's id); none where the machine offers neither `/proc` nor `ps`.
pub(crate) fn table() -> Option<Vec<(u32, u32)>> {
    from_proc().or_else(from_ps)
}

fn from_proc() -> Option<Vec<(u32, u32)>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let rows: Vec<_> = stats.filter_map(|stat| parse_stat(&stat)).collect();
    (!rows.is_empty()).then_some(rows)
}

fn from_ps() -> Option<Vec<(u32, u32)>> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_pair).collect())
}

/// `pid (name) state ppid …`, where the name may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(u32, u32)> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    Some((pid.parse().ok()?, rest.split(' ').nth(1)?.parse().ok()?))
}

fn parse_pair(line: &str) -> Option<(u32, u32)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn family(root: u32, table: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        let children = table.iter().filter(|(_, parent)| found.contains(parent)).map(|(pid, _)| *pid);
        let children: Vec<u32> = children.collect();
        found.extend(children);
        if found.len() == before {
            return found;
        }
    }
}

fn signal(which: &str, pids: &BTreeSet<u32>) {
    let pids = pids.iter().map(u32::to_string);
    // Some will have ended in the meantime, and that is what was wanted.
    let _ = Command::new("kill").arg(which).args(pids).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_found_whatever_the_order() {
        let table = [(5, 4), (4, 2), (3, 1), (2, 1), (9, 3)];
        assert_eq!(family(2, &table), BTreeSet::from([2, 4, 5]));
        assert_eq!(family(7, &table), BTreeSet::from([7]));
    }

    #[test]
    fn names_with_parentheses_are_read_past() {
        assert_eq!(parse_stat("12 (a) b (c)) S 7 12 0"), Some((12, 7)));
        assert_eq!(parse_stat("garbage"), None);
        assert_eq!(parse_pair("  12   7"), Some((12, 7)));
    }
}
