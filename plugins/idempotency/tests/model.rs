//! Every order of events of a small world, checked by stateright: three gateways have the same request, messages to the store are delayed and
//! arrive after their sender gave up or died, leases run out, and the store may fail over to a copy that misses the last write. The store decides
//! by the plugin's own `protocol.rs`.

use idempotency::protocol::{Answer, Claim, Fingerprint, Owner, Record, Stage, Write, abandon, claim, complete};
use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;

const NODES: usize = 3;
const LEASE: u64 = 2;
const TTL: u64 = 100;
/// The clock goes this far: every lease can run out in between.
const HORIZON: u64 = 4;
/// All nodes have the same request.
const REQUEST: Fingerprint = Fingerprint { version: 1, digest: [7; 32] };

/// What the world may do besides.
#[derive(Clone, Copy, Debug)]
struct World {
    reexecute: bool,
    /// The store acknowledges a write and loses it.
    fails_over: bool,
}

/// How far a gateway is with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Node {
    Idle,
    /// Its claim is under way.
    Asking,
    /// It may run the request.
    Claimed,
    /// The service ran it, with this number, and the completion is not acknowledged.
    Ran(u8),
    /// Answered, refused, given up or dead.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Claim(usize),
    Complete(usize, u8),
    Abandon(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    record: Option<Record<u8>>,
    tombstones: BTreeSet<usize>,
    nodes: [Node; NODES],
    under_way: BTreeSet<Message>,
    /// Who ran the request, in turn; an execution's number, from 1, is its answer.
    runs: Vec<usize>,
    /// A gateway died, and nobody knows what it did.
    died: bool,
    /// What clients got as the first answer, by node.
    replays: BTreeSet<u8>,
    lost: bool,
    /// The record before the last write, which a copy may have instead.
    copy: Option<Record<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ask(usize),
    /// A message reaches the store; its reply reaches a sender that still waits.
    Deliver(Message),
    GiveUp(usize),
    Run(usize),
    /// The owner sends its completion once more.
    CompleteAgain(usize),
    Die(usize),
    Tick,
    FailOver,
}

fn owner(node: usize) -> Owner {
    Owner(node as u128 + 1)
}

impl State {
    fn write(&mut self, write: Write<u8>) {
        self.copy.clone_from(&self.record);
        match write {
            Write::Keep => {}
            Write::Put(record) => self.record = Some(record),
            Write::Delete => self.record = None,
        }
    }

    fn deliver(&mut self, message: Message, world: World) {
        self.under_way.remove(&message);
        match message {
            Message::Claim(node) => self.deliver_claim(node, world),
            Message::Complete(node, answer) => {
                let (_, write) = complete(self.record.as_ref(), owner(node), answer, TTL, self.now);
                self.write(write);
                if matches!(self.nodes[node], Node::Ran(_)) {
                    self.nodes[node] = Node::Over;
                }
            }
            Message::Abandon(node) => {
                let write = abandon(self.record.as_ref(), owner(node));
                self.tombstones.insert(node);
                self.write(write);
            }
        }
    }

    fn deliver_claim(&mut self, node: usize, world: World) {
        let wish =
            Claim { owner: owner(node), fingerprint: REQUEST, lease: LEASE, ttl: TTL, reexecute: world.reexecute };
        let (answer, write) = claim(self.record.as_ref(), self.tombstones.contains(&node), &wish, self.now);
        self.write(write);
        if self.nodes[node] != Node::Asking {
            return;
        }
        self.nodes[node] = match answer {
            Answer::Claimed { .. } => Node::Claimed,
            Answer::Done(first) => {
                self.replays.insert(first);
                Node::Over
            }
            _ => Node::Over,
        };
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            record: None,
            tombstones: BTreeSet::new(),
            nodes: [Node::Idle; NODES],
            under_way: BTreeSet::new(),
            runs: Vec::new(),
            died: false,
            replays: BTreeSet::new(),
            lost: false,
            copy: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, node) in state.nodes.iter().enumerate() {
            match node {
                Node::Idle => actions.push(Action::Ask(n)),
                Node::Asking => actions.extend([Action::GiveUp(n), Action::Die(n)]),
                Node::Claimed => actions.extend([Action::Run(n), Action::Die(n)]),
                Node::Ran(_) => actions.extend([Action::CompleteAgain(n), Action::Die(n)]),
                Node::Over => {}
            }
        }
        actions.extend(state.under_way.iter().map(|message| Action::Deliver(*message)));
        if state.now < HORIZON {
            actions.push(Action::Tick);
        }
        if self.fails_over && !state.lost {
            actions.push(Action::FailOver);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ask(n) => {
                state.nodes[n] = Node::Asking;
                state.under_way.insert(Message::Claim(n));
            }
            Action::Deliver(message) => state.deliver(message, *self),
            Action::GiveUp(n) => {
                state.nodes[n] = Node::Over;
                state.under_way.insert(Message::Abandon(n));
            }
            Action::Run(n) => {
                state.runs.push(n);
                let answer = u8::try_from(state.runs.len()).ok()?;
                state.nodes[n] = Node::Ran(answer);
                state.under_way.insert(Message::Complete(n, answer));
            }
            Action::CompleteAgain(n) => {
                let Node::Ran(answer) = state.nodes[n] else { return None };
                state.under_way.insert(Message::Complete(n, answer));
            }
            Action::Die(n) => {
                state.nodes[n] = Node::Over;
                state.died = true;
            }
            Action::Tick => state.now += 1,
            Action::FailOver => {
                state.record.clone_from(&state.copy);
                state.lost = true;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no second execution", |world: &World, state: &State| {
                world.reexecute || state.lost || state.runs.len() <= 1
            }),
            Property::always("everybody gets the same answer", |world: &World, state: &State| {
                world.reexecute || state.lost || state.replays.len() <= 1
            }),
            Property::always("an answer is never overwritten by a run that lost its claim", |_, state: &State| {
                let Some(Record { owner, stage: Stage::Done(answer), .. }) = &state.record else { return true };
                state.runs.get(usize::from(*answer) - 1).is_some_and(|n| self::owner(*n) == *owner)
            }),
            Property::always("who gives up leaves nothing behind", |_, state: &State| {
                let quiet = state.under_way.is_empty() && state.nodes.iter().all(|node| *node == Node::Over);
                !quiet || state.died || state.lost || !state.runs.is_empty() || state.record.is_none()
            }),
            Property::always("no key is wedged for ever", |_, state: &State| {
                state.record.as_ref().is_none_or(|record| record.expires <= state.now + TTL)
            }),
            Property::sometimes("a repeat gets the first answer", |_, state: &State| !state.replays.is_empty()),
            Property::sometimes("an owner completes after its lease", |_, state: &State| {
                state.now > LEASE && matches!(&state.record, Some(Record { stage: Stage::Done(_), .. }))
            }),
        ];
        if self.fails_over {
            properties.push(Property::sometimes("a lost claim is run twice", |_, state: &State| state.runs.len() > 1));
        }
        properties
    }
}

fn check(world: World) -> usize {
    let checker = world.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

#[test]
fn at_most_one_execution_whatever_is_late_or_dies() {
    let states = check(World { reexecute: false, fails_over: false });
    assert!(states > 10_000, "{states} states: the world has become too small to show anything");
}

#[test]
fn who_asks_for_re_execution_gets_it_and_nothing_worse() {
    check(World { reexecute: true, fails_over: false });
}

/// What a store that loses what it acknowledged does: the key may be run again. The documentation says no more than the model.
#[test]
fn a_store_that_loses_a_claim_may_run_it_twice_and_only_such_a_one() {
    check(World { reexecute: false, fails_over: true });
}
