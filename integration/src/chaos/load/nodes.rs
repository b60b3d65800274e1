//! The client's choice between gateways.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::net::lookup_host;

use crate::{TestResult, runtime};

/// A gateway that gave no answer is left alone for so long, where there is another one.
const SHUNNED: Duration = Duration::from_secs(2);
/// A container that starts again may have another address.
const LOOK: Duration = Duration::from_millis(500);

/// All gateways.
pub(super) struct Nodes(Vec<Arc<Node>>);

/// One gateway.
pub(super) struct Node {
    place: String,
    state: Mutex<State>,
}

struct State {
    address: SocketAddr,
    shunned: Option<Instant>,
}

// === impl Nodes ===

impl Nodes {
    /// Finds them by name, and looks again from time to time.
    pub(super) async fn find(places: &[String]) -> TestResult<Self> {
        ensure!(!places.is_empty(), "no gateway was named");
        let mut nodes = Vec::new();
        for place in places {
            let address = look(place).await.with_context(|| format!("can't find {place}"))?;
            let state = Mutex::new(State { address, shunned: None });
            nodes.push(Arc::new(Node { place: place.clone(), state }));
        }
        for node in &nodes {
            runtime::spawn(Arc::clone(node).keep_looking());
        }
        Ok(Self(nodes))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one for this attempt: they take turns, but for those that gave no answer.
    pub(super) fn choose(&self, first: usize, attempt: u32) -> &Node {
        let turn = first + attempt as usize;
        let of = |turn: usize| &self.0[turn % self.0.len()];
        let mut turns = (turn..turn + self.0.len()).map(of);
        turns.find(|node| !node.is_shunned()).unwrap_or_else(|| of(turn))
    }
}

// === impl Node ===

impl Node {
    pub(super) fn name(&self) -> &str {
        self.place.split_once(':').map_or(&self.place, |(name, _)| name)
    }

    pub(super) fn address(&self) -> IpAddr {
        self.state().address.ip()
    }

    pub(super) fn port(&self) -> u16 {
        self.state().address.port()
    }

    /// Whether it gave any answer.
    pub(super) fn heard(&self, anything: bool) {
        self.state().shunned = if anything { None } else { Some(Instant::now()) };
    }

    fn is_shunned(&self) -> bool {
        self.state().shunned.is_some_and(|since| since.elapsed() < SHUNNED)
    }

    async fn keep_looking(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            // Where it has no name at the moment, the last address stands.
            if let Some(address) = look(&self.place).await {
                self.state().address = address;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(place: &str) -> Option<SocketAddr> {
    let found = tokio::time::timeout(LOOK, lookup_host(place)).await.ok()?.ok()?;
    found.into_iter().find(SocketAddr::is_ipv4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Nodes {
        let node = |port: u16| {
            let state = State { address: ([127, 0, 0, 1], port).into(), shunned: None };
            Arc::new(Node { place: format!("edge-{port}:{port}"), state: Mutex::new(state) })
        };
        Nodes(vec![node(1), node(2)])
    }

    #[test]
    fn attempts_take_turns() {
        let nodes = nodes();
        let ports = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)].map(|(first, n)| nodes.choose(first, n).port());
        assert_eq!(ports, [1, 2, 1, 2, 1]);
    }

    #[test]
    fn who_gave_no_answer_is_left_alone_until_it_gives_one() {
        let nodes = nodes();
        nodes.choose(0, 0).heard(false);
        assert_eq!((nodes.choose(0, 0).port(), nodes.choose(1, 0).port()), (2, 2));
        nodes.choose(1, 0).heard(false);
        assert_eq!(nodes.choose(0, 0).port(), 1, "where none answers, turns are all that is left");
        nodes.choose(0, 0).heard(true);
        assert_eq!(nodes.choose(1, 0).port(), 1);
    }
}
