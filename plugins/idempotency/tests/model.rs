//! Every order of events of a small world, checked by stateright: three gateways have the same request, messages to the store are delayed and
//! arrive after their sender gave up or died, leases run out, the store's clock may step back, the secrets are being swapped, and the store may
//! fail over to a copy that misses the last write, and an operator may settle what nobody knows the end of. The store decides by the plugin's own `protocol.rs`, the gateways by its `decide.rs`.

use core::time::Duration;
use idempotency::decide::{End, Heard, Next, end, next};
use idempotency::protocol::{Answer, Claim, Fingerprint, Owner, Record, Settled, Stage, Write};
use idempotency::protocol::{abandon, claim, complete, settle};
use sdk_shim::outcome::flag;
use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;

const NODES: usize = 3;
const LEASE: u64 = 2;
const TTL: u64 = 100;
/// The clock goes this far: every lease can run out in between.
const HORIZON: u64 = 4;
/// All nodes have the same request: its digest under each secret.
const DIGESTS: [[u8; 32]; 2] = [[7; 32], [8; 32]];

/// What the world may do besides.
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
#[derive(Clone, Copy, Debug, Default)]
struct World {
    reexecute: bool,
    /// The store acknowledges a write and loses it.
    fails_over: bool,
    /// Any node may list the new secret first, or still the old one.
    rotates: bool,
    /// The store's clock is set to 0, once.
    steps_back: bool,
    /// The service may also not be reached, say that it did nothing, or give no answer.
    service_fails: bool,
    /// An operator knows from the service's books what a run did that can't do anything any more.
    settles: bool,
}

/// How a claimed request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// The service ran it, and answered.
    Answered,
    /// It ran it, and gave no answer.
    Reset,
    /// It ran it and gave no answer; a second attempt, which somebody's policy made, found nobody.
    ResetThenRefused,
    /// It said that it did nothing.
    DidNothing,
    /// It wasn't reached.
    Refused,
    /// A filter behind this one refused.
    NotRouted,
}

// === impl Went ===

impl Went {
    const FAILURES: [Self; 5] = [Self::Reset, Self::ResetThenRefused, Self::DidNothing, Self::Refused, Self::NotRouted];

    fn ran(self) -> bool {
        matches!(self, Self::Answered | Self::Reset | Self::ResetThenRefused)
    }

    /// What the proxy tells of it.
    fn heard(self) -> Heard {
        let heard = |by_service, attempts, flags| Heard { by_service, attempts, flags, ..Heard::default() };
        match self {
            Self::Answered | Self::DidNothing => heard(true, 1, 0),
            Self::Reset => heard(false, 1, flag::UPSTREAM_TERMINATION),
            Self::ResetThenRefused => heard(false, 2, flag::CONNECT_FAILURE),
            Self::Refused => heard(false, 1, flag::CONNECT_FAILURE),
            Self::NotRouted => heard(false, 0, 0),
        }
    }
}

/// What the store has under each name.
type Records = [Option<Record<u8>>; 2];

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

#[allow(clippy::struct_excessive_bools, reason = "what happened so far, each apart from the others")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    records: Records,
    tombstones: BTreeSet<usize>,
    nodes: [Node; NODES],
    /// Which nodes list the new secret first.
    swapped: [bool; NODES],
    under_way: BTreeSet<Message>,
    /// Who ran the request, in turn; an execution's number, from 1, is its answer.
    runs: Vec<usize>,
    /// A gateway died, and nobody knows what it did.
    died: bool,
    /// What clients got as the first answer, by node.
    replays: BTreeSet<u8>,
    lost: bool,
    /// The records before the last write, which a copy may have instead.
    copy: Records,
    stepped_back: bool,
    /// The highest fence that was granted.
    fence: u64,
    /// One was granted that is not higher than all before.
    fence_fell: bool,
    /// A released key was claimed.
    retaken: bool,
    /// A request came back without having run.
    refused: bool,
    /// Somebody was told that this is another request, or one that can't be compared.
    mistaken: bool,
    /// The run that the operator has looked at, and what it did; the store may have gone on since.
    looked: Option<(Owner, Option<u8>)>,
    settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Whether it has swapped the secrets.
    Ask(usize, bool),
    /// A message reaches the store; its reply reaches a sender that still waits.
    Deliver(Message),
    GiveUp(usize),
    Run(usize, Went),
    /// The owner sends its completion once more.
    CompleteAgain(usize),
    Die(usize),
    Tick,
    FailOver,
    StepBack,
    /// The operator looks at the record, and into the books.
    Look,
    Settle,
}

/// Who has a record that the operator has settled.
const OPERATOR: Owner = Owner(99);

fn owner(node: usize) -> Owner {
    Owner(node as u128 + 1)
}

impl State {
    /// The secrets in the order of this node, which is also that of the names.
    fn secrets(&self, node: usize) -> [usize; 2] {
        if self.swapped[node] { [1, 0] } else { [0, 1] }
    }

    fn claim(&self, node: usize, world: World) -> Claim {
        let [first, other] = self.secrets(node);
        let fingerprint = Fingerprint { version: 1, digest: DIGESTS[first] };
        let (owner, others) = (owner(node), vec![DIGESTS[other]]);
        Claim { owner, fingerprint, others, lease: LEASE, ttl: TTL, reexecute: world.reexecute }
    }

    /// What a store looks at: the first of the node's names that is not empty.
    fn found(&self, names: [usize; 2]) -> usize {
        if self.records[names[0]].is_none() && self.records[names[1]].is_some() { names[1] } else { names[0] }
    }

    /// As the stores write: under one name, and under none of the others any more.
    fn write(&mut self, at: usize, write: Write<u8>) {
        self.copy.clone_from(&self.records);
        if let Write::Put(record) = write {
            self.records = [None, None];
            self.records[at] = Some(record);
        }
    }

    fn deliver(&mut self, message: Message, world: World) {
        self.under_way.remove(&message);
        match message {
            Message::Claim(node) => self.deliver_claim(node, world),
            Message::Complete(node, answer) => {
                let at = self.found(self.secrets(node));
                let (_, write) = complete(self.records[at].as_ref(), owner(node), answer, TTL, self.now);
                self.write(at, write);
                if matches!(self.nodes[node], Node::Ran(_)) {
                    self.nodes[node] = Node::Over;
                }
            }
            Message::Abandon(node) => {
                let at = self.found(self.secrets(node));
                let (_, write) = abandon(self.records[at].as_ref(), owner(node), TTL, self.now);
                self.tombstones.insert(node);
                self.write(at, write);
            }
        }
    }

    fn deliver_claim(&mut self, node: usize, world: World) {
        let names = self.secrets(node);
        let found = self.records[self.found(names)].as_ref();
        let (answer, write) = claim(found, self.tombstones.contains(&node), &self.claim(node, world), self.now);
        let released = found.is_some_and(|record| record.stage == Stage::Released);
        self.write(names[0], write);
        if let Answer::Claimed { fence } = answer {
            self.fence_fell |= fence <= self.fence;
            self.fence = fence;
            self.retaken |= released;
        }
        self.mistaken |= matches!(answer, Answer::Mismatch | Answer::Unknown);
        if self.nodes[node] != Node::Asking {
            return;
        }
        self.nodes[node] = match next(in_bytes(&answer), Duration::ZERO, 0) {
            Next::Forward { .. } => Node::Claimed,
            Next::Replay(first) => {
                self.replays.extend(first);
                Node::Over
            }
            Next::Refuse { .. } | Next::AskAgain(_) => Node::Over,
        };
    }

    /// A claimed request went to the service.
    fn run(&mut self, node: usize, went: Went) {
        if went.ran() {
            self.runs.push(node);
        }
        self.refused |= !went.ran();
        let answer = u8::try_from(self.runs.len()).unwrap();
        self.nodes[node] = match end(&went.heard(), went == Went::DidNothing, false) {
            End::Store => {
                self.under_way.insert(Message::Complete(node, answer));
                Node::Ran(answer)
            }
            End::Release => {
                self.under_way.insert(Message::Abandon(node));
                Node::Over
            }
            End::Keep => Node::Over,
        };
    }

    /// What an operator finds out: of an uncertain run whose gateway will never send its request any more, whether it ran.
    fn look(&self) -> Option<(Owner, Option<u8>)> {
        let record = self.record().filter(|record| record.owner != OPERATOR)?;
        let Stage::Claimed { lease } = record.stage else { return None };
        let node = usize::try_from(record.owner.0).unwrap() - 1;
        let known = lease <= self.now && self.nodes[node] != Node::Claimed;
        let ran = self.runs.iter().position(|n| *n == node).map(|at| u8::try_from(at + 1).unwrap());
        known.then_some((record.owner, ran))
    }

    fn settle(&mut self) {
        let Some((owner, ran)) = self.looked.take() else { return };
        let at = self.found([0, 1]);
        let answer = ran.map(|ran| (OPERATOR, ran));
        let (settled, write) = settle(self.records[at].as_ref(), owner, answer, TTL, self.now);
        self.settled |= matches!(settled, Settled::Yes { .. });
        self.write(at, write);
    }

    /// The one record that there is.
    fn record(&self) -> Option<&Record<u8>> {
        self.records.iter().flatten().next()
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            records: [None, None],
            tombstones: BTreeSet::new(),
            nodes: [Node::Idle; NODES],
            swapped: [false; NODES],
            under_way: BTreeSet::new(),
            runs: Vec::new(),
            died: false,
            replays: BTreeSet::new(),
            lost: false,
            copy: [None, None],
            stepped_back: false,
            fence: 0,
            fence_fell: false,
            retaken: false,
            refused: false,
            mistaken: false,
            looked: None,
            settled: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, node) in state.nodes.iter().enumerate() {
            match node {
                Node::Idle if self.rotates => actions.extend([Action::Ask(n, false), Action::Ask(n, true)]),
                Node::Idle => actions.push(Action::Ask(n, false)),
                Node::Asking => actions.extend([Action::GiveUp(n), Action::Die(n)]),
                Node::Claimed => {
                    actions.extend([Action::Run(n, Went::Answered), Action::Die(n)]);
                    let failures = Went::FAILURES.into_iter().filter(|_| self.service_fails);
                    actions.extend(failures.map(|went| Action::Run(n, went)));
                }
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
        if self.settles {
            actions.extend(state.look().filter(|_| state.looked.is_none()).map(|_| Action::Look));
            actions.extend(state.looked.map(|_| Action::Settle));
        }
        if self.steps_back && !state.stepped_back && state.now > 0 {
            actions.push(Action::StepBack);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ask(n, swapped) => {
                state.nodes[n] = Node::Asking;
                state.swapped[n] = swapped;
                state.under_way.insert(Message::Claim(n));
            }
            Action::Deliver(message) => state.deliver(message, *self),
            Action::GiveUp(n) => {
                state.nodes[n] = Node::Over;
                state.under_way.insert(Message::Abandon(n));
            }
            Action::Run(n, went) => state.run(n, went),
            Action::CompleteAgain(n) => {
                let Node::Ran(answer) = state.nodes[n] else { return None };
                state.under_way.insert(Message::Complete(n, answer));
            }
            Action::Die(n) => {
                state.nodes[n] = Node::Over;
                state.died = true;
            }
            Action::Tick => state.now += 1,
            Action::Look => state.looked = state.look(),
            Action::Settle => state.settle(),
            Action::FailOver => {
                state.records.clone_from(&state.copy);
                state.lost = true;
            }
            Action::StepBack => {
                state.now = 0;
                state.stepped_back = true;
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
            Property::always("no false mismatch", |_, state: &State| !state.mistaken),
            Property::always("fences grow", |_, state: &State| state.lost || !state.fence_fell),
            Property::always("there is one record", |_, state: &State| state.records.iter().flatten().count() <= 1),
            Property::always("its digest goes with its name", |_, state: &State| {
                let goes = |(name, record): (usize, &Option<Record<u8>>)| {
                    record.as_ref().is_none_or(|record| {
                        record.stage == Stage::Released || record.fingerprint.digest == DIGESTS[name]
                    })
                };
                state.records.iter().enumerate().all(goes)
            }),
            Property::always("an answer is never overwritten by a run that lost its claim", |_, state: &State| {
                let Some(Record { owner, fence, stage: Stage::Done(answer), .. }) = state.record() else { return true };
                let ran = state.runs.get(usize::from(*answer) - 1);
                // An operator's answer is about the run that claimed last.
                let by_operator = *owner == OPERATOR && *fence == state.fence;
                ran.is_some_and(|n| self::owner(*n) == *owner || by_operator)
            }),
            Property::always("who gives up leaves no claim behind", |_, state: &State| {
                let quiet = state.under_way.is_empty() && state.nodes.iter().all(|node| *node == Node::Over);
                let free = state.record().is_none_or(|record| record.stage == Stage::Released);
                !quiet || state.died || state.lost || !state.runs.is_empty() || free
            }),
            Property::always("no key is wedged for ever", |_, state: &State| {
                state.record().is_none_or(|record| record.expires <= HORIZON + TTL)
            }),
            Property::sometimes("a repeat gets the first answer", |_, state: &State| !state.replays.is_empty()),
            Property::sometimes("a released key is run", |_, state: &State| state.retaken && !state.runs.is_empty()),
            Property::sometimes("an owner completes after its lease", |_, state: &State| {
                state.now > LEASE && matches!(state.record(), Some(Record { stage: Stage::Done(_), .. }))
            }),
        ];
        if self.fails_over {
            properties.push(Property::sometimes("a lost claim is run twice", |_, state: &State| state.runs.len() > 1));
        }
        if self.service_fails {
            properties.push(Property::sometimes("what didn't run is run by somebody else", |_, state: &State| {
                state.refused && !state.replays.is_empty()
            }));
        }
        if self.settles {
            properties.push(Property::sometimes("a repeat gets what the operator said", |_, state: &State| {
                !state.replays.is_empty() && matches!(state.record(), Some(Record { owner: OPERATOR, .. }))
            }));
            properties.push(Property::sometimes("what the operator released is run", |_, state: &State| {
                state.settled && state.retaken && !state.runs.is_empty()
            }));
        }
        if self.rotates {
            properties.push(Property::sometimes(
                "a node that has swapped is answered from before",
                |_, state: &State| {
                    !state.replays.is_empty() && state.runs == [0] && state.swapped == [false, true, true]
                },
            ));
        }
        properties
    }
}

fn in_bytes(answer: &Answer<u8>) -> Answer<Vec<u8>> {
    match *answer {
        Answer::Claimed { fence } => Answer::Claimed { fence },
        Answer::InFlight { remaining } => Answer::InFlight { remaining },
        Answer::Done(first) => Answer::Done(vec![first]),
        Answer::Mismatch => Answer::Mismatch,
        Answer::Unknown => Answer::Unknown,
        Answer::Uncertain { fence } => Answer::Uncertain { fence },
        Answer::Abandoned => Answer::Abandoned,
    }
}

fn check(world: World) -> usize {
    let checker = world.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

#[test]
fn at_most_one_execution_whatever_is_late_or_dies() {
    let states = check(World::default());
    assert!(states > 10_000, "{states} states: the world has become too small to show anything");
}

#[test]
fn who_asks_for_re_execution_gets_it_and_nothing_worse() {
    check(World { reexecute: true, ..World::default() });
}

#[test]
fn a_service_that_fails_runs_nothing_twice_and_what_did_not_run_is_free() {
    check(World { service_fails: true, ..World::default() });
}

#[test]
fn while_secrets_are_swapped_nothing_is_run_twice_and_nobody_is_refused_for_it() {
    for reexecute in [false, true] {
        check(World { rotates: true, reexecute, ..World::default() });
    }
}

#[test]
fn an_operator_settles_nothing_that_has_moved_on_and_nothing_is_run_twice() {
    for reexecute in [false, true] {
        check(World { settles: true, reexecute, ..World::default() });
    }
    check(World { settles: true, rotates: true, ..World::default() });
}

#[test]
fn a_clock_that_steps_back_lets_no_fence_fall() {
    check(World { steps_back: true, ..World::default() });
}

/// What a store that loses what it acknowledged does: the key may be run again. The documentation says no more than the model.
#[test]
fn a_store_that_loses_a_claim_may_run_it_twice_and_only_such_a_one() {
    check(World { fails_over: true, ..World::default() });
}
