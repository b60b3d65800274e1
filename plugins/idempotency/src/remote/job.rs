//! One verb for one waiter, and where it goes.

use super::Heard;
use crate::store::Failure;
use crate::store::redis::Redirect;
use crate::store::trip::{Language, Login, Trip};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::host::{Callout, ContextId};
use std::rc::Rc;

/// By which the tunnel of a Redis Cluster is told which node to connect to.
const NODE: &str = "x-redis-node";

/// Trips for an answer that is read in pieces: a few more than the longest value has.
const MOST_PIECES: u16 = 400;

/// A verb on its way.
#[derive(Debug)]
pub struct Job<W> {
    /// What is sent next; taken while its replies are read.
    pub(super) trip: RefCell<Option<Trip>>,
    /// Who waits; nobody, for an errand.
    pub waiter: Option<W>,
    /// The stream that waits, or the root.
    pub(super) context: Cell<ContextId>,
    /// What the proxy calls the store.
    pub(super) cluster: String,
    /// Where a cluster keeps it.
    pub(super) slot: Option<u16>,
    /// Where it was sent on to.
    pub(super) node: RefCell<Option<String>>,
    /// What its last call was marked with.
    pub(super) mark: Cell<u64>,
    trips: Cell<u16>,
    /// Only to be dropped with it.
    _load: Option<Load>,
}

/// The bytes that a job holds as long as it lives, in the sum of those of all jobs.
#[derive(Debug)]
struct Load {
    sum: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.sum.set(self.sum.get().saturating_sub(self.bytes));
    }
}

/// How calls are made.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) language: Language,
    pub(super) login: Login,
    pub(super) timeout: Duration,
}

/// Where calls go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// What the proxy calls the store.
    pub cluster: String,
    /// The node of a Redis Cluster, as `host:port`.
    pub node: Option<String>,
    /// For pieces of long answers, which wait behind everything else.
    pub long: bool,
}

// === impl Job ===

impl<W> Job<W> {
    /// A verb for `waiter`, whose stream is `context`.
    pub const fn new(trip: Trip, waiter: Option<W>, context: ContextId, cluster: String, slot: Option<u16>) -> Self {
        Self {
            trip: RefCell::new(Some(trip)),
            waiter,
            context: Cell::new(context),
            cluster,
            slot,
            node: RefCell::new(None),
            mark: Cell::new(0),
            trips: Cell::new(0),
            _load: None,
        }
    }

    /// Adds what it holds to a sum, until it is gone.
    pub(super) fn weighed(self, sum: &Rc<Cell<usize>>) -> Self {
        let bytes = self.size();
        sum.set(sum.get().saturating_add(bytes));
        Self { _load: Some(Load { sum: Rc::clone(sum), bytes }), ..self }
    }

    /// The same for one node of a cluster.
    pub(super) fn at(self, node: Option<String>) -> Self {
        *self.node.borrow_mut() = node;
        self
    }

    /// The trip, to be read, and how many replies it gets. An errand keeps it, to be sent again.
    pub(super) fn take_trip(&self) -> (usize, Option<Trip>) {
        let mut kept = self.trip.borrow_mut();
        let trip = if self.waiter.is_some() { kept.take() } else { kept.clone() };
        (trip.as_ref().map_or(0, Trip::replies), trip)
    }

    /// How many bytes its reply will have, where that is more than a few.
    pub(super) fn long_reply(&self) -> Option<usize> {
        self.trip.borrow().as_ref().and_then(Trip::long_reply)
    }

    /// Whether somebody else's wish is the same.
    pub(super) fn wishes(&self, trip: &Trip) -> bool {
        self.trip.borrow().as_ref() == Some(trip)
    }

    /// Whether what it tells decides nothing.
    pub(super) fn is_note(&self) -> bool {
        self.trip.borrow().as_ref().is_some_and(Trip::is_note)
    }

    /// It begins anew, with its first trip where that isn't the one it has.
    pub(super) fn reset(&self, first: Option<&Trip>) {
        self.trips.set(0);
        if let Some(first) = first {
            *self.trip.borrow_mut() = Some(first.clone());
        }
        if self.slot.is_some() {
            *self.node.borrow_mut() = None;
        }
    }

    /// One more trip, if there were not too many.
    pub(super) fn goes_on(&self, trip: Trip, most: u16) -> Option<Heard> {
        let most = if trip.long_reply().is_some() { MOST_PIECES } else { most };
        *self.trip.borrow_mut() = Some(trip);
        self.trips.set(self.trips.get().saturating_add(1));
        (self.trips.get() > most).then_some(Err(Failure::Contended))
    }

    pub(super) fn redirect(&self, redirect: &Redirect) {
        *self.node.borrow_mut() = Some(redirect.node.clone());
    }

    /// Bytes that it holds.
    pub(super) fn size(&self) -> usize {
        self.trip.borrow().as_ref().map_or(0, Trip::size)
    }
}

// === impl Target ===

impl Target {
    /// One call for these jobs, marked with a number that no other call has.
    pub(super) fn callout<W>(&self, wire: &Wire, jobs: &[Rc<Job<W>>], mark: u64) -> Callout {
        for job in jobs {
            job.mark.set(mark);
        }
        let trips: Vec<_> = jobs.iter().map(|job| job.trip.borrow()).collect();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let authority = header(":authority", "holdfast-store");
        let mut headers = vec![header(":method", "POST"), header(":path", &wire.language.path(mark)), authority];
        headers.extend(self.node.as_ref().map(|node| header(NODE, node)));
        let body = wire.language.write(&wire.login, trips.iter().filter_map(|trip| trip.as_ref()));
        Callout { upstream: self.cluster.clone(), headers, body, timeout: wire.timeout }
    }
}
