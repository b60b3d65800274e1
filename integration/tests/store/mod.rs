//! What the stores' tests share: the protocol as a reference model, and a draw of what several owners do to one key.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod memcached;
pub(crate) mod redis;

use std::collections::HashMap;

use anyhow::Context as _;
use idempotency::protocol::{self, Answer, Claim, Fingerprint, Owner, Record, Stage, Write};
use idempotency::store::Name;
use integration::TestResult;
use sdk_shim::random::{SplitMix64, below};

/// Outlasts the tests.
pub(crate) const LONG: u64 = 600_000;

/// What an owner does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Claim(Claim),
    Complete { owner: Owner, answer: Vec<u8>, ttl: u64 },
    Abandon { owner: Owner, keep: u64 },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Claim(Answer<Vec<u8>>),
    Complete(bool),
    Abandon(bool),
}

/// One key, as `protocol.rs` sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) record: Option<Record<Vec<u8>>>,
    /// Until when.
    tombstones: HashMap<Owner, u64>,
}

// === impl Op ===

impl Op {
    /// Who does it.
    pub(crate) fn owner(&self) -> Owner {
        match self {
            Self::Claim(claim) => claim.owner,
            Self::Complete { owner, .. } | Self::Abandon { owner, .. } => *owner,
        }
    }
}

// === impl Model ===

impl Model {
    /// When the tombstone of whoever does this ends.
    pub(crate) fn tombstone(&self, op: &Op) -> Option<u64> {
        match op {
            Op::Claim(claim) => self.tombstones.get(&claim.owner).copied(),
            _ => None,
        }
    }

    /// What the protocol says at `now`, and what is there then.
    pub(crate) fn after(&self, op: &Op, now: u64, tombstone: bool) -> (Said, Self) {
        let mut next = self.clone();
        let live = self.record.as_ref().filter(|record| now < record.expires);
        let (said, write) = match op {
            Op::Claim(claim) => {
                let (answer, write) = protocol::claim(live, tombstone, claim, now);
                (Said::Claim(answer), write)
            }
            Op::Complete { owner, answer, ttl } => {
                let (stored, write) = protocol::complete(live, *owner, answer.clone(), *ttl, now);
                (Said::Complete(stored), write)
            }
            Op::Abandon { owner, keep } => {
                next.tombstones.insert(*owner, now + keep);
                let (released, write) = protocol::abandon(live, *owner, *keep, now);
                (Said::Abandon(released), write)
            }
        };
        match write {
            Write::Keep => {}
            Write::Put(record) => next.record = Some(record),
        }
        (said, next)
    }

    /// The service answered.
    fn is_done(&self) -> bool {
        matches!(self.record, Some(Record { stage: Stage::Done(_), .. }))
    }
}

/// Times in milliseconds; `short` is over after one wait, as is a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) lease: u64,
    pub(crate) short: u64,
    pub(crate) long: u64,
}

/// Draws what happens to one key.
#[derive(Debug)]
pub(crate) struct Draws {
    chance: SplitMix64,
    times: Times,
    rotating: bool,
    /// Claims of owners that there are already: they may come again, or late.
    claims: Vec<Claim>,
}

// === impl Draws ===

impl Draws {
    /// The same seed draws the same.
    pub(crate) fn new(seed: u64, times: Times) -> Self {
        Self { chance: SplitMix64::new(seed), times, rotating: false, claims: Vec::new() }
    }

    /// There are two secrets, and every other owner's node lists them the other way round.
    pub(crate) fn rotating(self) -> Self {
        Self { rotating: true, ..self }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        below(self.chance.draw(), bound)
    }

    /// What happens next.
    pub(crate) fn op(&mut self, model: &Model) -> Op {
        match self.below(100) {
            0..50 => Op::Claim(self.new_claim()),
            50..60 => Op::Claim(self.known()),
            60..75 if !model.is_done() || self.below(3) == 0 => self.completion(model),
            _ => Op::Abandon { owner: self.owner(model), keep: self.ttl() },
        }
    }

    fn completion(&mut self, model: &Model) -> Op {
        let length = [0, 3, 700][usize::try_from(self.below(3)).unwrap()];
        let answer = (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect();
        let ttl = if self.below(2) == 0 { self.times.short } else { self.times.long };
        Op::Complete { owner: self.owner(model), answer, ttl }
    }

    /// Mostly who holds the key, or somebody who tried to, or somebody who is yet to come.
    fn owner(&mut self, model: &Model) -> Owner {
        match (self.below(8), &model.record) {
            (0..5, Some(record)) => record.owner,
            (7, _) => self.new_claim().owner,
            _ => self.known().owner,
        }
    }

    fn known(&mut self) -> Claim {
        let known = self.below(u64::try_from(self.claims.len()).unwrap());
        self.claims.get(usize::try_from(known).unwrap()).cloned().unwrap_or_else(|| self.new_claim())
    }

    fn new_claim(&mut self) -> Claim {
        let owner = Owner(u128::from(self.chance.draw()) << 64 | u128::from(self.chance.draw()));
        let (version, digest) = [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (u64::MAX, 1)]
            [usize::try_from(self.below(8)).unwrap()];
        let reexecute = self.below(2) == 0;
        let (lease, ttl) = (self.times.lease, self.ttl());
        let mut digests = vec![[digest; 32]];
        if self.rotating {
            digests.insert(usize::from(has_swapped(owner)), [digest + 100; 32]);
        }
        let fingerprint = Fingerprint { version, digest: digests.remove(0) };
        let claim = Claim { owner, fingerprint, others: digests, lease, ttl, reexecute };
        self.claims.push(claim.clone());
        claim
    }

    fn ttl(&mut self) -> u64 {
        if self.below(6) == 0 { self.times.short } else { self.times.long }
    }
}

/// Whether this owner's node lists the new secret first.
pub(crate) fn has_swapped(owner: Owner) -> bool {
    owner.0 % 2 == 1
}

/// A key's name.
pub(crate) fn name(text: &str) -> TestResult<Name> {
    Name::new(text).context("a name")
}

/// A claim of the one request that all make, for this lease.
pub(crate) fn claim(owner: u128, lease: u64) -> Claim {
    let fingerprint = Fingerprint { version: 1, digest: [1; 32] };
    Claim { owner: Owner(owner), fingerprint, others: Vec::new(), lease, ttl: LONG, reexecute: false }
}

/// The owner's service answered.
pub(crate) fn completion(owner: u128, answer: &[u8]) -> Op {
    Op::Complete { owner: Owner(owner), answer: answer.to_vec(), ttl: LONG }
}

/// How often what was said, so that a run that never meets a case is noticed.
#[derive(Debug, Default)]
pub(crate) struct Coverage(HashMap<&'static str, u32>);

// === impl Coverage ===

impl Coverage {
    fn count(&mut self, said: &Said) {
        let what = match said {
            Said::Claim(Answer::Claimed { .. }) => "claimed",
            Said::Claim(Answer::InFlight { .. }) => "in flight",
            Said::Claim(Answer::Done(_)) => "done",
            Said::Claim(Answer::Mismatch) => "mismatch",
            Said::Claim(Answer::Unknown) => "unknown",
            Said::Claim(Answer::Uncertain { .. }) => "uncertain",
            Said::Claim(Answer::Abandoned) => "abandoned",
            Said::Complete(true) => "completed",
            Said::Complete(false) => "not completed",
            Said::Abandon(true) => "released",
            Said::Abandon(false) => "nothing to release",
        };
        *self.0.entry(what).or_default() += 1;
    }

    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn assert(&self, least: u32) {
        println!("{:?}", self.0);
        let all = ["claimed", "in flight", "done", "mismatch", "unknown", "uncertain", "abandoned", "completed"];
        let more = ["not completed", "released", "nothing to release", "taken over", "completed late"];
        for what in all.iter().chain(&more) {
            let times = self.0.get(what).copied().unwrap_or(0);
            assert!(times >= least, "{what}: only {times} times");
        }
    }

    /// What both tests note of an answer and the state before.
    pub(crate) fn observe(&mut self, before: &Model, said: &Said, now: u64) {
        self.count(said);
        let over = before.record.as_ref().is_some_and(|record| {
            now < record.expires && matches!(record.stage, Stage::Claimed { lease } if lease <= now)
        });
        match said {
            Said::Claim(Answer::Claimed { .. }) if over => self.note("taken over"),
            Said::Complete(true) if over => self.note("completed late"),
            _ => {}
        }
    }
}
