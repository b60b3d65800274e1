//! The store: one Redis, or the nodes of a cluster, each asked for what it has.

use super::address::Address;
use super::connection::{self, Connection};
use idempotency::store::Failure;
use idempotency::store::redis::slots::ranges;
use idempotency::store::redis::{Call, Range, cluster, redirect};
use idempotency::store::resp::{self, Reply};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Redirects that are followed for one question: a slot moves once, and a node may be a step behind.
const HOPS: usize = 5;
/// Questions that go to a node at once.
const BATCH: usize = 100;

pub(super) struct Store {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    connections: HashMap<String, Connection>,
    /// Which node has which slots; empty where it is no cluster, or that isn't known yet.
    ranges: Vec<Range>,
}

/// One command, and the slot that its keys are in.
#[derive(Clone)]
pub(super) struct Question {
    bytes: Vec<u8>,
    slot: u16,
}

// === impl Question ===

impl Question {
    /// A command of Redis' own, about this key.
    pub(super) fn new(parts: &[&str], key: &str) -> Self {
        let mut bytes = Vec::new();
        resp::command(&mut bytes, parts.iter().map(|part| part.as_bytes()));
        Self { bytes, slot: cluster::slot_of(key) }
    }
}

/// With its script: that is a few kilobytes, and never unknown.
impl From<&Call> for Question {
    fn from(call: &Call) -> Self {
        let mut bytes = Vec::new();
        call.in_full(&mut bytes);
        Self { bytes, slot: call.slot() }
    }
}

// === impl Store ===

impl Store {
    /// Connects when it is asked something.
    pub(super) fn new(address: Address, timeout: Duration) -> Result<Self, String> {
        let tls = address.tls.then(connection::tls).transpose()?;
        Ok(Self { address, tls, timeout, connections: HashMap::new(), ranges: Vec::new() })
    }

    /// Asks whoever has the key.
    pub(super) fn ask<T>(
        &mut self,
        question: &Question,
        read: impl Fn(&Reply<'_>) -> Result<T, Failure>,
    ) -> Result<T, String> {
        let mut node = self.node(question.slot);
        let mut asking = false;
        for _ in 0..HOPS {
            let body = self.exchange(&node, &question.bytes, 1, asking)?;
            let reply = only(&body);
            let Some(elsewhere) = reply.as_ref().ok().and_then(redirect) else {
                return reply.and_then(|reply| read(&reply)).map_err(|failure| told(&node, &failure));
            };
            asking = elsewhere.is_ask();
            if !asking && self.ranges.is_empty() {
                self.learn(&node)?;
            }
            node = elsewhere.node;
        }
        Err(format!("{node}: the nodes of the cluster send us round; try again when its slots don't move"))
    }

    /// Asks many things, in their order.
    pub(super) fn ask_all<T>(
        &mut self,
        questions: &[Question],
        read: impl Fn(&Reply<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, String> {
        // The first one tells whether this is a cluster, and which node has what.
        let Some((first, rest)) = questions.split_first() else { return Ok(Vec::new()) };
        let mut answers = vec![(0, self.ask(first, &read)?)];
        let mut by_node: HashMap<String, Vec<(usize, &Question)>> = HashMap::new();
        for (at, question) in rest.iter().enumerate() {
            by_node.entry(self.node(question.slot)).or_default().push((at + 1, question));
        }
        for (node, questions) in by_node {
            for batch in questions.chunks(BATCH) {
                let bytes = batch.iter().flat_map(|(_, question)| question.bytes.iter().copied()).collect::<Vec<u8>>();
                let body = self.exchange(&node, &bytes, batch.len(), false)?;
                for ((at, question), reply) in batch.iter().zip(resp::replies(&body, batch.len())) {
                    let moved = reply.as_ref().ok().and_then(redirect).is_some();
                    let answer = if moved {
                        self.ask(question, &read)?
                    } else {
                        reply.and_then(|reply| read(&reply)).map_err(|failure| told(&node, &failure))?
                    };
                    answers.push((*at, answer));
                }
            }
        }
        answers.sort_by_key(|(at, _)| *at);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn node(&self, slot: u16) -> String {
        let has = |range: &&Range| (range.first..=range.last).contains(&slot);
        self.ranges.iter().find(has).map_or_else(|| self.address.node.clone(), |range| range.node.clone())
    }

    /// Told slot by slot, nearly each question would take two trips.
    fn learn(&mut self, node: &str) -> Result<(), String> {
        let question = Question::from(&Call::slots());
        let body = self.exchange(node, &question.bytes, 1, false)?;
        // Who may not ask that goes by redirects.
        self.ranges = only(&body).and_then(|reply| ranges(&reply)).unwrap_or_default();
        Ok(())
    }

    fn exchange(&mut self, node: &str, commands: &[u8], wanted: usize, asking: bool) -> Result<Vec<u8>, String> {
        let mut connection = match self.connections.remove(node) {
            Some(connection) => connection,
            None => self.open(node).map_err(|why| self.unreachable(node, &why))?,
        };
        let body = if asking {
            let mut word = Vec::new();
            resp::command(&mut word, [&b"ASKING"[..]]);
            connection.exchange(&word, 1).and_then(|_| connection.exchange(commands, wanted))
        } else {
            connection.exchange(commands, wanted)
        };
        let body = body.map_err(|why| format!("{node}: {why}"))?;
        self.connections.insert(node.to_owned(), connection);
        Ok(body)
    }

    fn open(&self, node: &str) -> Result<Connection, String> {
        let mut connection = Connection::open(node, self.tls.as_ref(), self.timeout)?;
        let (mut words, mut wanted) = (Vec::new(), 0);
        let database = self.address.database.to_string();
        let mut say = |parts: &[&str]| {
            resp::command(&mut words, parts.iter().map(|part| part.as_bytes()));
            wanted += 1;
        };
        match &self.address.password {
            Some(password) if self.address.user.is_empty() => say(&["AUTH", password]),
            Some(password) => say(&["AUTH", &self.address.user, password]),
            None => {}
        }
        if self.address.database > 0 {
            say(&["SELECT", &database]);
        }
        if wanted > 0 {
            let body = connection.exchange(&words, wanted)?;
            for reply in resp::replies(&body, wanted) {
                match reply {
                    Ok(Reply::Simple(_)) => {}
                    Ok(Reply::Error(why)) => return Err(refused(&String::from_utf8_lossy(why))),
                    _ => return Err("what answers isn't a Redis".to_owned()),
                }
            }
        }
        Ok(connection)
    }

    /// A node that another one has named may be out of reach from here.
    fn unreachable(&self, node: &str, why: &str) -> String {
        if node == self.address.node {
            return format!("{node}: {why}");
        }
        format!(
            "{node}: {why}. {} says that this node of the cluster has the key: it must be reachable from here, by that name (run this where the gateways run)",
            self.address.node
        )
    }
}

fn only(body: &[u8]) -> Result<Reply<'_>, Failure> {
    resp::replies(body, 1).pop().unwrap_or(Err(Failure::Missing))
}

/// What a store's failure means for whoever asked.
fn told(node: &str, failure: &Failure) -> String {
    let why = match failure {
        Failure::Refused(why) => refused(why),
        Failure::OutOfRange => "too long a time".to_owned(),
        other => format!("an answer that wasn't expected ({})", other.cause()),
    };
    format!("{node}: {why}")
}

fn refused(why: &str) -> String {
    let what = match why.split([' ', ':']).next().unwrap_or_default() {
        "NOAUTH" => "it wants a password: redis://USER:PASSWORD@…",
        "WRONGPASS" => "user or password are wrong",
        "NOPERM" => "this user may not do that",
        "READONLY" => "this is a replica: name the one that is written to",
        "LOADING" => "it is loading its data; try again later",
        "CLUSTERDOWN" => "the cluster is down",
        "TRYAGAIN" => "the cluster is moving this key; try again when it has",
        "OOM" | "MISCONF" => "it takes no writes at the moment",
        _ => return format!("it says: {why}"),
    };
    format!("{what} ({why})")
}
