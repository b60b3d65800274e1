//! One verb for one request, in whatever language the store speaks: the bytes to send, and what the replies make of it.
//!
//! Redis takes one trip per verb, and a second one where it doesn't know the script; memcached takes one to three. Whoever sends them needn't know:
//! it asks a [`Trip`] for its bytes, puts as many as it likes into one call, and gives each its replies.

use super::memcached::{self, Abandoning, Claiming, Completing, Step};
use super::redis::pieces::{self, Long};
use super::redis::{self, Redirect};
use super::{Failure, Names, resp, webdis};
use crate::protocol::{Answer, Claim, Owner, StoreMillis};

/// How a store that is called speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Redis, through the tunnel: pipelines.
    Redis,
    /// memcached, through the tunnel: pipelines.
    Memcached,
    /// Redis behind Webdis: one command per HTTP request.
    Webdis,
}

/// How each connection to Redis begins.
#[derive(Clone, Default)]
pub struct Login {
    bytes: Vec<u8>,
    replies: usize,
}

/// What a verb was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A claim.
    Claim(Answer<Vec<u8>>),
    /// A completion: whether the answer is stored.
    Completed(bool),
    /// Giving up: whether there was a claim to release.
    Released(bool),
    /// A line in the index.
    Noted,
    /// Whether the store keeps what it acknowledged; otherwise it may evict it.
    Keeps(bool),
    /// Which node of the cluster has which slots.
    Slots(Vec<redis::Range>),
}

/// What a trip's replies lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One more trip.
    Again(Trip),
    /// The same trip, at another node of the cluster.
    Elsewhere(Trip, Redirect),
    /// That was all.
    Said(Said),
}

/// A verb under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trip {
    /// In Redis' language.
    Redis {
        /// What is asked.
        call: redis::Call,
        /// How the reply is to be read.
        verb: Verb,
        /// The script goes along.
        in_full: bool,
        /// The cluster is moving the slot; this node serves it to whoever asks so.
        asking: bool,
    },
    /// In memcached's.
    Memcached(memcached::Trip, Memcached),
}

/// What a Redis call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`redis::Call::claim`].
    Claim,
    /// [`redis::Call::complete`].
    Complete,
    /// [`redis::Call::abandon`].
    Abandon,
    /// [`redis::Call::index`], [`redis::Call::unindex`].
    Index,
    /// [`redis::Call::keeps`].
    Keeps,
    /// [`redis::Call::slots`].
    Slots,
    /// [`redis::Call::read`], of an answer that a claim found.
    Read(Pieces),
}

/// A long answer, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    names: Names,
    long: Long,
    have: Vec<u8>,
}

/// A verb under way in memcached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memcached {
    /// A claim.
    Claiming(Claiming),
    /// A completion.
    Completing(Completing),
    /// Giving up.
    Abandoning(Abandoning),
}

// === impl Login ===

impl Login {
    /// As somebody with a password, if there is one, and with another database than the first, if it is another.
    pub fn new(username: &str, password: Option<&[u8]>, database: u32) -> Self {
        let mut login = Self::default();
        if let Some(password) = password {
            let name = Some(username.as_bytes()).filter(|name| !name.is_empty());
            login.begin(&[Some(&b"AUTH"[..]), name, Some(password)]);
        }
        if database > 0 {
            login.begin(&[Some(b"SELECT"), Some(database.to_string().as_bytes())]);
        }
        login
    }

    fn begin(&mut self, words: &[Option<&[u8]>]) {
        let words: Vec<&[u8]> = words.iter().flatten().copied().collect();
        resp::command(&mut self.bytes, words);
        self.replies += 1;
    }
}

impl core::fmt::Debug for Login {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Login(..)")
    }
}

// === impl Language ===

impl Language {
    /// As labels spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Webdis => "webdis",
        }
    }

    /// Whether several trips may share a call.
    pub const fn pipelines(self) -> bool {
        matches!(self, Self::Redis | Self::Memcached)
    }

    /// The `:path` of a call. `mark` tells calls apart where answers may be mixed up.
    pub fn path(self, mark: u64) -> String {
        match self {
            Self::Redis | Self::Memcached => "/".to_owned(),
            Self::Webdis => webdis::path(mark),
        }
    }

    /// Whether this is the answer to the call with this mark; `header` is asked for what the answer says.
    pub fn is_answer(self, mark: u64, header: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
        match self {
            Self::Redis | Self::Memcached => true,
            Self::Webdis => header(webdis::MARKED).is_some_and(|shown| webdis::is_marked(&shown, mark)),
        }
    }

    /// Bytes that each reply may take where so many share a call.
    fn room(self, trips: usize) -> usize {
        match self {
            // What a reply has around it.
            Self::Redis => (pieces::MOST_PER_CALL / trips.max(1)).saturating_sub(64),
            Self::Memcached | Self::Webdis => super::MAX_VALUE,
        }
    }

    /// The bytes of one call for these trips, behind a connection's beginning. Both stores are told that it is the end: only then are long replies sure to
    /// come whole (docs/hosts.md).
    pub fn write<'a>(self, login: &Login, trips: impl IntoIterator<Item = &'a Trip>) -> Vec<u8> {
        let trips: Vec<_> = trips.into_iter().collect();
        let (mut out, room) = (login.bytes.clone(), self.room(trips.len()));
        for trip in trips {
            trip.write(self, room, &mut out);
        }
        match self {
            Self::Redis => resp::command(&mut out, [&b"QUIT"[..]]),
            Self::Memcached => out.extend(b"quit\r\n"),
            Self::Webdis => {}
        }
        out
    }

    /// What a call's body makes of its trips, each of which gets its own replies. `None` stands for one that is given up; its replies are skipped.
    pub fn read(
        self,
        login: &Login,
        body: &[u8],
        trips: Vec<(usize, Option<Trip>)>,
    ) -> Vec<Option<Result<Outcome, Failure>>> {
        let wanted: usize = trips.iter().map(|(replies, _)| replies).sum();
        match self {
            Self::Memcached => {
                let replies = memcached::text::replies(body, wanted);
                share(&replies, trips, Trip::read_memcached)
            }
            Self::Redis | Self::Webdis => {
                // One more for QUIT; Webdis sends none.
                let replies = resp::replies(body, login.replies + wanted + usize::from(self == Self::Redis));
                // Where a login failed, every command behind it is refused too.
                share(replies.get(login.replies..).unwrap_or_default(), trips, Trip::read_redis)
            }
        }
    }
}

fn share<R>(
    mut replies: &[R],
    trips: Vec<(usize, Option<Trip>)>,
    read: impl Fn(Trip, &[R]) -> Result<Outcome, Failure>,
) -> Vec<Option<Result<Outcome, Failure>>> {
    let mut outcomes = Vec::with_capacity(trips.len());
    for (count, trip) in trips {
        let (own, rest) = replies.split_at_checked(count).unwrap_or_default();
        replies = rest;
        outcomes.push(trip.map(|trip| read(trip, own)));
    }
    outcomes
}

// === impl Trip ===

impl Trip {
    /// Wishes to run a request. `now` is this node's clock, which only memcached needs.
    ///
    /// # Errors
    /// [`Failure::OutOfRange`] for times that the store can't keep.
    pub fn claim(language: Language, names: &Names, claim: Claim, now: StoreMillis) -> Result<Self, Failure> {
        Ok(match language {
            Language::Memcached => {
                let (trip, state) = Claiming::start(names.first.clone(), claim, now)?;
                Self::Memcached(trip, Memcached::Claiming(state))
            }
            _ => Self::redis(redis::Call::claim(names, &claim), Verb::Claim),
        })
    }

    /// Stores what the service answered, for `ttl` milliseconds.
    ///
    /// # Errors
    /// [`Failure::OutOfRange`] for times that the store can't keep.
    pub fn complete(
        language: Language,
        names: &Names,
        owner: Owner,
        answer: Vec<u8>,
        ttl: u64,
        now: StoreMillis,
    ) -> Result<Self, Failure> {
        Ok(match language {
            Language::Memcached => {
                let (trip, state) = Completing::start(names.first.clone(), owner, answer, ttl, now)?;
                Self::Memcached(trip, Memcached::Completing(state))
            }
            _ => Self::redis(redis::Call::complete(names, owner, answer, ttl), Verb::Complete),
        })
    }

    /// Gives up; for `keep` milliseconds a claim of this owner that arrives late does nothing.
    ///
    /// # Errors
    /// [`Failure::OutOfRange`] for times that the store can't keep.
    pub fn abandon(
        language: Language,
        names: &Names,
        owner: Owner,
        keep: u64,
        now: StoreMillis,
    ) -> Result<Self, Failure> {
        Ok(match language {
            Language::Memcached => {
                let (trip, state) = Abandoning::start(names.first.clone(), owner, keep, now)?;
                Self::Memcached(trip, Memcached::Abandoning(state))
            }
            _ => Self::redis(redis::Call::abandon(names, owner, keep), Verb::Abandon),
        })
    }

    /// A line in the index, or its removal; only Redis has one.
    pub const fn index(call: redis::Call) -> Self {
        Self::redis(call, Verb::Index)
    }

    /// Asks whether the store may evict; memcached always may.
    pub const fn keeps() -> Self {
        Self::redis(redis::Call::keeps(), Verb::Keeps)
    }

    /// Asks which node of a cluster has which slots.
    pub const fn slots() -> Self {
        Self::redis(redis::Call::slots(), Verb::Slots)
    }

    const fn redis(call: redis::Call, verb: Verb) -> Self {
        Self::Redis { call, verb, in_full: false, asking: false }
    }

    /// Whether it is a line in the index, which helps whoever looks and decides nothing.
    pub const fn is_note(&self) -> bool {
        matches!(self, Self::Redis { verb: Verb::Index, .. })
    }

    /// How many replies it gets.
    pub const fn replies(&self) -> usize {
        match self {
            Self::Redis { asking: false, .. } => 1,
            Self::Redis { asking: true, .. } => 2,
            Self::Memcached(trip, _) => trip.replies,
        }
    }

    /// Roughly how many bytes it holds.
    pub fn size(&self) -> usize {
        match self {
            Self::Redis { call, .. } => call.size(),
            Self::Memcached(trip, Memcached::Completing(state)) => trip.bytes.len() + state.size(),
            Self::Memcached(trip, _) => trip.bytes.len(),
        }
    }

    /// How many bytes its reply will have, where that is more than a few.
    pub fn long_reply(&self) -> Option<usize> {
        match self {
            Self::Redis { verb: Verb::Read(pieces), .. } => Some(pieces.next_length()),
            _ => None,
        }
    }

    fn write(&self, language: Language, room: usize, out: &mut Vec<u8>) {
        match self {
            Self::Memcached(trip, _) => out.extend(&trip.bytes),
            Self::Redis { call, in_full, .. } if language == Language::Webdis => {
                out.extend(webdis::body(call, *in_full));
            }
            Self::Redis { call, verb, in_full, asking } => {
                if *asking {
                    resp::command(out, [&b"ASKING"[..]]);
                }
                match (verb, in_full) {
                    (Verb::Claim, in_full) => call.with_room(out, *in_full, room),
                    (_, true) => call.in_full(out),
                    (_, false) => call.by_digest(out),
                }
            }
        }
    }

    fn read_redis(self, replies: &[Result<resp::Reply<'_>, Failure>]) -> Result<Outcome, Failure> {
        let Self::Redis { call, verb, in_full, asking } = self else { return Err(Failure::Unexpected) };
        let reply = replies.last().ok_or(Failure::Missing)?.as_ref().map_err(Clone::clone)?;
        if let Some(redirect) = redis::redirect(reply) {
            let asking = redirect.is_ask();
            return Ok(Outcome::Elsewhere(Self::Redis { call, verb, in_full, asking }, redirect));
        }
        if let (Verb::Claim, Some(long)) = (&verb, pieces::announced(reply)) {
            return call.names().map(|names| Pieces { names, long, have: Vec::new() }.ask()).ok_or(Failure::Unexpected);
        }
        let said = match verb.clone() {
            Verb::Claim => redis::claimed(reply).map(Said::Claim),
            Verb::Complete => redis::completed(reply).map(Said::Completed),
            Verb::Abandon => redis::released(reply).map(Said::Released),
            Verb::Index => redis::indexed(reply).map(|_| Said::Noted),
            Verb::Keeps => redis::indexed(reply).map(Said::Keeps),
            Verb::Slots => redis::slots::ranges(reply).map(Said::Slots),
            Verb::Read(pieces) => match pieces::piece(reply) {
                Ok(piece) => return Ok(pieces.take(piece)),
                Err(failure) => Err(failure),
            },
        };
        match said {
            Err(Failure::UnknownScript) if !in_full => {
                Ok(Outcome::Again(Self::Redis { call, verb, in_full: true, asking }))
            }
            said => said.map(Outcome::Said),
        }
    }

    fn read_memcached(self, replies: &memcached::Replies<'_>) -> Result<Outcome, Failure> {
        let Self::Memcached(_, state) = self else { return Err(Failure::Unexpected) };
        Ok(match state {
            Memcached::Claiming(state) => step(state.next(replies)?, Memcached::Claiming, Said::Claim),
            Memcached::Completing(state) => step(state.next(replies)?, Memcached::Completing, Said::Completed),
            Memcached::Abandoning(state) => step(state.next(replies)?, Memcached::Abandoning, Said::Released),
        })
    }
}

// === impl Pieces ===

impl Pieces {
    /// The next piece.
    fn ask(self) -> Outcome {
        let call = redis::Call::read(&self.names, self.long.owner, self.have.len());
        Outcome::Again(Trip::redis(call, Verb::Read(self)))
    }

    fn next_length(&self) -> usize {
        self.long.length.saturating_sub(self.have.len()).min(pieces::PIECE)
    }

    fn take(mut self, piece: &[u8]) -> Outcome {
        self.have.extend_from_slice(piece);
        if self.have.len() < self.long.length {
            return self.ask();
        }
        Outcome::Said(Said::Claim(Answer::Done(self.have)))
    }
}

fn step<S, A>(step: Step<S, A>, state: impl FnOnce(S) -> Memcached, said: impl FnOnce(A) -> Said) -> Outcome {
    match step {
        Step::Send(trip, next) => Outcome::Again(Trip::Memcached(trip, state(next))),
        Step::Finished(answer) => Outcome::Said(said(answer)),
    }
}
