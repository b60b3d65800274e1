//! `protocol.rs` over a map is the reference. Two workers do what chance says, and one of them in the middle of what the other one does.

use super::races::{Meanwhile, die, survives};
use super::*;
use core::time::Duration;
use idempotency::protocol::{self, Record, Write};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Milliseconds: short, so that everything runs out now and then.
const LEASE: u64 = 100;
const TTL: u64 = 1_000;
const KEEP: u64 = 50;

/// An owner is a number of its own per claim; who ends a claim is one of those that there were.
#[derive(Clone, Debug)]
enum Verb {
    Claim { key: u8, print: u8, reexecute: bool },
    Complete { key: u8, owner: prop::sample::Index, length: usize },
    Abandon { key: u8, owner: prop::sample::Index },
}

/// What came of a verb.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Claim(Answer<Vec<u8>>),
    Flag(bool),
}

/// One worker does something. Before one of its calls the other one does something.
#[derive(Clone, Debug)]
struct Act {
    wait: u64,
    worker: usize,
    verb: Verb,
    meanwhile: Option<Meantime>,
    /// Before this call, whose ever it is, its worker dies.
    dies: Option<u32>,
}

#[derive(Clone, Debug)]
struct Meantime {
    /// Before this call.
    nth: u32,
    /// So much time has passed.
    later: u64,
    /// So long ago the other worker looked at the clock.
    lag: u64,
    verb: Verb,
}

fn verb(keys: u8, longest: usize) -> impl Strategy<Value = Verb> {
    let owner = any::<prop::sample::Index>;
    prop_oneof![
        3 => (0..keys, 0..5u8, prop::bool::weighted(0.2)).prop_map(|(key, print, reexecute)| Verb::Claim { key, print: print / 4, reexecute }),
        3 => (0..keys, owner(), 0..longest).prop_map(|(key, owner, length)| Verb::Complete { key, owner, length }),
        1 => (0..keys, owner()).prop_map(|(key, owner)| Verb::Abandon { key, owner }),
    ]
}

fn wait() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0), 2 => 1..2 * LEASE, 1 => TTL..2 * TTL]
}

fn acts(keys: u8, longest: usize) -> impl Strategy<Value = Vec<Act>> {
    let lag = prop_oneof![3 => Just(0), 1 => 0..2 * TTL];
    let meanwhile = (0..8u32, wait(), lag, verb(keys, longest)).prop_map(|(nth, later, lag, verb)| Meantime {
        nth,
        later,
        lag,
        verb,
    });
    let act =
        (wait(), 0..2usize, verb(keys, longest), prop::option::of(meanwhile), prop::option::weighted(0.3, 0..12u32))
            .prop_map(|(wait, worker, verb, meanwhile, dies)| Act { wait, worker, verb, meanwhile, dies });
    prop::collection::vec(act, 1..40)
}

/// A verb whose owner is decided.
#[derive(Clone, Debug)]
struct Call {
    key: String,
    owner: u128,
    verb: Verb,
    now: u64,
}

impl Call {
    /// An answer is of its owner, and of no other one.
    fn answer(&self, length: usize) -> Vec<u8> {
        vec![u8::try_from(self.owner % 251).unwrap(); length]
    }

    fn wish(&self, print: u8, reexecute: bool) -> Claim {
        let fingerprint = Fingerprint { version: 1, digest: [print; 32] };
        Claim { fingerprint, lease: LEASE, ttl: TTL, reexecute, ..wish(self.owner) }
    }

    fn run(&self, worker: &Worker) -> Told {
        survives(|| self.do_it(worker)).unwrap_or(Err(Failure::Missing))
    }

    fn do_it(&self, worker: &Worker) -> Told {
        let (memory, host, name, owner) = (&worker.memory, &worker.host, name(&self.key), Owner(self.owner));
        match self.verb {
            Verb::Claim { print, reexecute, .. } => {
                memory.claim(host, &name, &self.wish(print, reexecute), self.now).map(Said::Claim)
            }
            Verb::Complete { length, .. } => {
                let answer = self.answer(length);
                memory.complete(host, &name, owner, &answer, &small(&answer), TTL, self.now).map(Said::Flag)
            }
            Verb::Abandon { .. } => memory.abandon(host, &name, owner, KEEP, self.now).map(Said::Flag),
        }
    }
}

/// What a verb said; a worker that died said nothing.
type Told = Result<Said, Failure>;

/// The reference.
type Records = BTreeMap<String, Record<Vec<u8>>>;

fn refer(records: &Records, call: &Call) -> (Records, Said) {
    let found = records.get(&call.key);
    let (said, write) = match call.verb {
        Verb::Claim { print, reexecute, .. } => {
            let (answer, write) = protocol::claim(found, false, &call.wish(print, reexecute), call.now);
            (Said::Claim(answer), write)
        }
        Verb::Complete { length, .. } => {
            let (stored, write) = protocol::complete(found, Owner(call.owner), call.answer(length), TTL, call.now);
            (Said::Flag(stored), write)
        }
        Verb::Abandon { .. } => {
            let (released, write) = protocol::abandon(found, Owner(call.owner), KEEP, call.now);
            (Said::Flag(released), write)
        }
    };
    let mut records = records.clone();
    if let Write::Put(record) = write {
        records.insert(call.key.clone(), record);
    }
    (records, said)
}

/// Gives each verb its owner and its time.
struct World {
    proxy: FakeProxy,
    workers: [Worker; 2],
    owners: Rc<RefCell<u128>>,
}

impl World {
    fn new(slots: u32, max_bytes: u64) -> Self {
        let proxy = FakeProxy::envoy();
        let workers = [(); 2].map(|()| Worker::of(&proxy, slots, max_bytes));
        for worker in &workers {
            worker.memory.slots(&worker.host).unwrap();
        }
        Self { proxy, workers, owners: Rc::new(RefCell::new(1)) }
    }

    /// Does an act; gives the calls and what came of them, the one that was begun first first.
    fn act(&self, act: &Act) -> Vec<(Call, Told)> {
        self.proxy.advance(Duration::from_millis(act.wait));
        let [worker, other] = [act.worker, 1 - act.worker].map(|n| self.workers[n].clone());
        let calls = Rc::new(RefCell::new(Vec::new()));
        let mut script: Vec<(u32, Box<dyn FnOnce()>)> = Vec::new();
        if let Some(Meantime { nth, later, lag, verb }) = act.meanwhile.clone() {
            let (proxy, owners, calls) = (self.proxy.clone(), self.owners.clone(), calls.clone());
            let action = move || {
                proxy.advance(Duration::from_millis(later));
                let call = call(&owners, &verb, proxy.clock().now().as_millis() - lag);
                let told = call.run(&other);
                calls.borrow_mut().push((call, told));
            };
            script.push((nth, Box::new(action)));
        }
        script.extend(act.dies.map(|nth| (nth, Box::new(die) as Box<dyn FnOnce()>)));
        let meanwhile = Meanwhile::script(&self.proxy, script);
        let ours = call(&self.owners, &act.verb, self.proxy.clock().now().as_millis());
        let told = ours.run(&worker);
        let never = meanwhile.over();
        calls.borrow_mut().insert(0, (ours, told));
        for action in never {
            survives(action);
        }
        calls.take()
    }
}

fn call(owners: &RefCell<u128>, verb: &Verb, now: u64) -> Call {
    let mut owners = owners.borrow_mut();
    let there_are = usize::try_from(*owners).unwrap();
    let (key, owner) = match verb {
        Verb::Claim { key, .. } => {
            *owners += 1;
            (key, *owners)
        }
        // Mostly one of the latest.
        Verb::Complete { key, owner, .. } | Verb::Abandon { key, owner } => {
            (key, (there_are - owner.index(there_are.min(6))) as u128)
        }
    };
    Call { key: format!("key{key}"), owner, verb: verb.clone(), now }
}

/// Each state that the reference can be in after these calls in some order, if what they were told is what was said.
fn follow(before: &[Records], calls: &[(Call, Told)]) -> Vec<Records> {
    let forth: Vec<_> = calls.iter().collect();
    let back: Vec<_> = calls.iter().rev().collect();
    let mut after = Vec::new();
    for (records, order) in before.iter().flat_map(|records| [(records, &forth), (records, &back)]) {
        let end = order.iter().try_fold(records.clone(), |records, (call, said)| {
            let (next, referred) = refer(&records, call);
            (Ok(&referred) == said.as_ref()).then_some(next)
        });
        after.extend(end.filter(|end| !after.contains(end)));
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// There is room for everything.
    #[test]
    fn two_workers_are_told_what_one_after_the_other_would_be(acts in acts(4, 40)) {
        let world = World::new(64, 1 << 20);
        let mut states = vec![Records::new()];
        for act in &acts {
            let calls = world.act(&Act { dies: None, ..act.clone() });
            let after = follow(&states, &calls);
            prop_assert!(!after.is_empty(), "{calls:#?}\nfrom {states:#?}");
            states = after;
        }
    }
}

/// Who may run a key, by what was told.
#[derive(Default)]
struct Ledger {
    /// The latest that anybody saw on the clock.
    now: u64,
    /// Until when each key's record lives.
    until: BTreeMap<String, u64>,
    /// What completions stored or may have stored.
    answers: Vec<(String, Vec<u8>)>,
}

impl Ledger {
    fn note(&mut self, call: &Call, said: &Told) -> Result<(), TestCaseError> {
        let until = self.until.get(&call.key).copied().unwrap_or(0);
        self.now = self.now.max(call.now);
        match (&call.verb, said) {
            (Verb::Claim { reexecute, .. }, Ok(Said::Claim(answer))) => match answer {
                Answer::Claimed { .. } => {
                    prop_assert!(*reexecute || until <= self.now, "{call:?} runs a second time");
                    self.until.insert(call.key.clone(), call.now + TTL);
                }
                Answer::Done(answer) => prop_assert!(self.answers.contains(&(call.key.clone(), answer.clone()))),
                Answer::Unknown => prop_assert!(false, "{call:?} finds no answer"),
                _ => {}
            },
            (Verb::Complete { length, .. }, said) if *said != Ok(Said::Flag(false)) => {
                let answer = call.answer(*length);
                self.answers.extend([small(&answer), answer].map(|answer| (call.key.clone(), answer)));
                // If it was stored, and not by an earlier call, the record lives so long from this worker's now on, which may be long past.
                self.until.insert(call.key.clone(), until.min(call.now + TTL));
            }
            (Verb::Abandon { .. }, said) if *said != Ok(Said::Flag(false)) => _ = self.until.remove(&call.key),
            _ => {}
        }
        Ok(())
    }
}

const ROOM: u64 = 150;
const WAYS: u32 = 3;

/// What the answer cells of the only set really hold.
fn held(proxy: &FakeProxy) -> u64 {
    (0..WAYS).map(|way| cell(proxy, &format!(";b0.{way}")).map_or(0, |bytes| bytes.len() as u64)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// There is room for little, and now and then a worker dies.
    #[test]
    fn whatever_is_full_and_whoever_dies_nothing_runs_twice_and_no_bound_is_passed(acts in acts(4, 120)) {
        let world = World::new(WAYS, ROOM);
        let mut ledger = Ledger::default();
        for act in &acts {
            let mut calls = world.act(act);
            // Of two that were at it at once those that free or answer a key are taken to be first, unless it is the other one's claim.
            let same = calls.iter().all(|(call, _)| call.owner == calls[0].0.owner);
            calls.sort_by_key(|(call, _)| (matches!(call.verb, Verb::Claim { .. }) != same, call.now));
            for (call, said) in &calls {
                ledger.note(call, said)?;
            }
            prop_assert!(held(&world.proxy) <= ROOM, "{} bytes after {calls:?}", held(&world.proxy));
        }
    }
}
