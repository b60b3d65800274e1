//! What an engine does to the machine's packet filter, and how it is undone.
//!
//! An engine lets the machine forward packets, makes chains, and forbids forwarding to all others. It leaves that behind when it ends.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::Cmd;
use crate::context::Context;

/// Whether the kernel forwards packets: `0` or `1`.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
/// All chains that an engine makes, and the rules that lead into them, have it in their names.
const MARK: &str = "DOCKER";
const BEFORE: &str = "forwarding.before";
const RULES: &str = "iptables.without-docker";

/// Whether it has been noted how things were, and they aren't put back.
pub(super) fn is_remembered(folder: &Path) -> bool {
    folder.join(BEFORE).exists()
}

/// Notes how things are, unless an engine that was killed has left its note.
pub(super) fn remember(folder: &Path) -> Result<()> {
    if is_remembered(folder) {
        return Ok(());
    }
    let forwarding = fs::read_to_string(FORWARDING).with_context(|| format!("can't read {FORWARDING}"))?;
    let saved = saved_rules(&["-t", "filter"]);
    let policy = saved.lines().find_map(policy_of).unwrap_or("ACCEPT");
    Ok(fs::write(folder.join(BEFORE), format!("{} {policy}\n", forwarding.trim()))?)
}

/// Takes an engine's chains away, and lets packets be forwarded as before.
pub(super) fn put_back(context: &Context, folder: &Path) -> Result<()> {
    let note = folder.join(BEFORE);
    let Ok(before) = fs::read_to_string(&note) else { return Ok(()) };
    let Some((forwarding, policy)) = before.trim().split_once(' ') else { return Ok(()) };
    let rules = folder.join(RULES);
    fs::write(&rules, without_docker(&saved_rules(&[]), policy))?;
    context.cmd("iptables-restore", "put the packet filter back").arg(&rules).run()?;
    fs::write(FORWARDING, forwarding).with_context(|| format!("can't write {FORWARDING}"))?;
    Ok(fs::remove_file(note)?)
}

fn saved_rules(options: &[&str]) -> String {
    Cmd::new("iptables-save", "iptables-save").args(options).capture().unwrap_or_default()
}

/// What becomes of packets to be forwarded that no rule is for: `:FORWARD DROP [0:0]`.
fn policy_of(line: &str) -> Option<&str> {
    line.strip_prefix(":FORWARD ")?.split(' ').next()
}

/// The rules without an engine's. Others' stay, those that came meanwhile too.
fn without_docker(saved: &str, policy: &str) -> String {
    let mut filter = false;
    let mut kept = String::new();
    for line in saved.lines().filter(|line| !line.contains(MARK)) {
        filter = if line.starts_with('*') { line == "*filter" } else { filter };
        let line = if filter && policy_of(line).is_some() { &format!(":FORWARD {policy} [0:0]") } else { line };
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_rules_go_and_others_stay() {
        let saved = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [3:180]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A FORWARD -i tun0 -j ACCEPT\nCOMMIT\n*mangle\n:FORWARD ACCEPT [0:0]\nCOMMIT";
        let kept = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i tun0 -j ACCEPT\nCOMMIT\n*mangle\n:FORWARD ACCEPT [0:0]\nCOMMIT\n";
        assert_eq!(without_docker(saved, "ACCEPT"), kept);
    }

    #[test]
    fn the_policy_is_read() {
        assert_eq!(policy_of(":FORWARD DROP [3:180]"), Some("DROP"));
        assert_eq!(policy_of(":INPUT ACCEPT [0:0]"), None);
    }
}
