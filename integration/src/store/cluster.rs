//! A Redis Cluster.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context as _;

use super::redis::Redis;
use crate::port::ReservedPort;
use crate::{TestResult, eventually};

/// Keys are spread over so many slots.
const SLOTS: u16 = 16_384;
/// Masters: the least that Redis takes for a cluster.
const NODES: u16 = 3;
/// For the nodes to agree.
const AGREED: Duration = Duration::from_secs(20);

/// Three masters on 127.0.0.1, without replicas, that share the slots evenly.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

// === impl RedisCluster ===

impl RedisCluster {
    /// Starts the nodes and waits until each says that the cluster is well.
    ///
    /// # Errors
    /// When Redis isn't installed, or they don't agree within 20 s.
    pub fn start() -> TestResult<Self> {
        let nodes = (0..NODES).map(|_| node()).collect::<TestResult<Vec<_>>>()?;
        let cluster = Self { nodes };
        for (index, node) in (0..NODES).zip(&cluster.nodes) {
            give(node, index)?;
            node.ask(&["CLUSTER", "MEET", "127.0.0.1", &cluster.nodes[0].port().to_string()])?;
        }
        eventually("the cluster is well", AGREED, || cluster.is_well())?;
        Ok(cluster)
    }

    /// The nodes; any of them can be paused, killed and restarted.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Their ports: what a client is given to begin with.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Redis::port).collect()
    }

    /// Whether every node says that all slots are served and that it knows the others.
    ///
    /// # Errors
    /// When one doesn't answer.
    pub fn is_well(&self) -> TestResult<bool> {
        let wanted = ["cluster_state:ok", "cluster_known_nodes:3", "cluster_size:3"];
        for node in &self.nodes {
            let said = node.ask(&["CLUSTER", "INFO"])?;
            if !wanted.iter().all(|line| said.contains(line)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A key's slot.
    ///
    /// # Errors
    /// When no node answers.
    pub fn slot(&self, key: &str) -> TestResult<u16> {
        integer(&self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key])?)
    }

    /// Index of the node that serves a slot.
    ///
    /// # Errors
    /// When none of them does.
    pub fn owner(&self, slot: u16) -> TestResult<usize> {
        let serves = |node: &Redis| Ok::<_, anyhow::Error>(own_slots(node)?.iter().any(|range| range.contains(&slot)));
        for (index, node) in self.nodes.iter().enumerate() {
            if serves(node)? {
                return Ok(index);
            }
        }
        anyhow::bail!("nobody serves slot {slot}")
    }

    /// Begins to move a slot to another node: from now on its owner answers `ASK` for the keys that it hasn't.
    ///
    /// # Errors
    /// When the node has the slot already, or one of the two refuses.
    pub fn begin_move(&self, slot: u16, to: usize) -> TestResult {
        let (from, to) = (&self.nodes[self.owner(slot)?], &self.nodes[to]);
        let slot = slot.to_string();
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)?])?;
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)?])?;
        Ok(())
    }

    /// Ends it: the slot's keys are moved, and from now on its old owner answers `MOVED`.
    ///
    /// # Errors
    /// When one of the nodes refuses.
    pub fn end_move(&self, slot: u16, to: usize) -> TestResult {
        let (from, number) = (&self.nodes[self.owner(slot)?], slot.to_string());
        let port = self.nodes[to].port().to_string();
        while let Some(key) = bulks(&from.ask(&["CLUSTER", "GETKEYSINSLOT", &number, "1"])?).first() {
            from.ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])?;
        }
        let id = id(&self.nodes[to])?;
        // The new owner first: the slot is never without one.
        for node in std::iter::once(&self.nodes[to]).chain(&self.nodes) {
            node.ask(&["CLUSTER", "SETSLOT", &number, "NODE", &id])?;
        }
        Ok(())
    }
}

fn node() -> TestResult<Redis> {
    let options = Redis::options().set("--cluster-enabled", "yes").set("--cluster-node-timeout", "2000");
    options.start_on(ReservedPort::with_bus()?)
}

/// Gives a node its part of the slots, and an epoch of its own, so that no two claim to be the newest.
fn give(node: &Redis, index: u16) -> TestResult {
    let range = SLOTS / NODES * index..if index + 1 == NODES { SLOTS } else { SLOTS / NODES * (index + 1) };
    let slots: Vec<String> = range.map(|slot| slot.to_string()).collect();
    let add: Vec<&str> = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
    node.ask(&add)?;
    node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
    Ok(())
}

fn id(node: &Redis) -> TestResult<String> {
    let said = node.ask(&["CLUSTER", "MYID"])?;
    bulks(&said).first().map(|id| (*id).to_owned()).context("no id")
}

/// What a node says of itself in `CLUSTER NODES`: its ranges are the words from the ninth on; `[…]` is a slot on its way.
fn own_slots(node: &Redis) -> TestResult<Vec<Range<u16>>> {
    let said = node.ask(&["CLUSTER", "NODES"])?;
    let own = said.lines().find(|line| line.contains("myself")).context("a node that doesn't know itself")?;
    let words = own.split_whitespace().skip(8).filter(|word| !word.starts_with('['));
    words.map(range).collect::<Option<_>>().with_context(|| own.to_owned())
}

fn range(word: &str) -> Option<Range<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some(first.parse().ok()?..last.parse::<u16>().ok()? + 1)
}

fn integer(reply: &str) -> TestResult<u16> {
    let number = reply.trim().strip_prefix(':').with_context(|| format!("{reply:?} is no number"))?;
    Ok(number.parse()?)
}

/// The bulk strings of a flat reply, as long as they hold no line break.
fn bulks(reply: &str) -> Vec<&str> {
    reply.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$'])).collect()
}
