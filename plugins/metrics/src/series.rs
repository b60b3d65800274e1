//! Which series there are, and how many at most.
//!
//! A proxy keeps every metric that was ever defined, and a dashboard draws each. So this VM has a budget. Routes that come first have series of their own; once three
//! quarters are used up, routes that come new are `_other`. The last quarter is kept for what may yet happen to those that are known: a route's first timeout must
//! not go unseen because other routes came before it. What `_other` needs is bounded by words of ours and isn't charged.

use crate::policy::Policy;
use crate::row::{Place, Row};
use crate::spoken::Spoken;
use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use hashbrown::HashMap;
use sdk_shim::host::{Host, MetricKind};
use sdk_shim::key::{Key, KeySpec, OTHER};
use sdk_shim::labels::Label;
use sdk_shim::meter::{Counter, Meter};
use std::rc::Rc;

/// All series of one entry.
pub struct Series {
    meter: Meter,
    route: KeySpec,
    /// Labels beside route and protocol, in the order of their values.
    pub(crate) labels: Vec<Label>,
    max: u32,
    left: Cell<u32>,
    /// By the route's raw name and the protocol.
    places: RefCell<HashMap<Vec<u8>, Rc<Place>>>,
    others: [OnceCell<Rc<Place>>; Spoken::COUNT],
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("max", &self.max).field("left", &self.left).finish_non_exhaustive()
    }
}

// === impl Series ===

impl Series {
    /// Of an entry whose rows have these labels.
    pub fn new<H: Host>(host: &H, policy: &Policy, labels: Vec<Label>) -> Self {
        let common = &policy.common;
        Self {
            meter: Meter::new(host, "", common.chain.as_str(), &common.instance, u32::MAX),
            route: KeySpec::route(),
            labels,
            max: policy.max_series,
            left: Cell::new(policy.max_series),
            places: RefCell::default(),
            others: Default::default(),
        }
    }

    /// The current request's route and what it is spoken in.
    pub fn place<H: Host>(&self, host: &H, spoken: Spoken) -> Rc<Place> {
        self.place_of(host, self.route.capture(host), spoken)
    }

    /// The same route, spoken differently.
    pub fn sibling<H: Host>(&self, host: &H, place: &Place, spoken: Spoken) -> Rc<Place> {
        match &place.raw {
            Some(raw) => self.place_of(host, Key { raw: raw.clone() }, spoken),
            None => self.other(spoken),
        }
    }

    fn place_of<H: Host>(&self, host: &H, key: Key, spoken: Spoken) -> Rc<Place> {
        let mut raw = key.raw;
        raw.push(spoken as u8);
        if let Some(known) = self.places.borrow().get(&raw) {
            return Rc::clone(known);
        }
        self.new_place(host, raw, spoken)
    }

    #[cold]
    fn new_place<H: Host>(&self, host: &H, mut raw: Vec<u8>, spoken: Spoken) -> Rc<Place> {
        if !self.has_room() {
            self.meter.note_dropped(host);
            return self.other(spoken);
        }
        let index = raw.clone();
        raw.pop();
        let key = Key { raw };
        let name = self.route.name(&key).unwrap_or_else(|| OTHER.to_owned());
        let place = Rc::new(Place::new(Some(key.raw), name, spoken));
        self.places.borrow_mut().insert(index, Rc::clone(&place));
        place
    }

    /// Whoever found no room.
    fn other(&self, spoken: Spoken) -> Rc<Place> {
        let new = || Rc::new(Place::new(None, OTHER.to_owned(), spoken));
        self.others.get(spoken as usize).map_or_else(new, |other| Rc::clone(other.get_or_init(new)))
    }

    /// Whether something new may still begin.
    fn has_room(&self) -> bool {
        self.left.get() > self.max / 4
    }

    /// The row of a place whose labels have these values.
    pub fn row<H: Host>(&self, host: &H, place: &Place, values: &[&str]) -> Rc<Row> {
        if values.is_empty() {
            return Rc::clone(place.only.get_or_init(|| Rc::new(Row::default())));
        }
        let key = values.join(";");
        if let Some(known) = place.rows.borrow().get(&key) {
            return Rc::clone(known);
        }
        // The place without room for itself has one row.
        if place.raw.is_none() || !self.has_room() {
            if place.raw.is_some() {
                self.meter.note_dropped(host);
            }
            return Rc::clone(
                place.only.get_or_init(|| Rc::new(Row::of_values(values.iter().map(|_| OTHER.to_owned()).collect()))),
            );
        }
        let row = Rc::new(Row::of_values(values.iter().map(|value| (*value).to_owned()).collect()));
        place.rows.borrow_mut().insert(key, Rc::clone(&row));
        row
    }

    /// A metric of a place alone.
    pub fn of_place<H: Host>(&self, host: &H, place: &Place, kind: MetricKind, what: &str) -> Counter {
        self.define(host, place, &[], (kind, what), &[]).unwrap_or_else(|| {
            let other = self.other(place.spoken);
            self.define(host, &other, &[], (kind, what), &[]).unwrap_or_default()
        })
    }

    /// A metric of a row.
    pub fn of_row<H: Host>(
        &self,
        host: &H,
        (place, row): (&Place, &Row),
        what: (MetricKind, &str),
        more: &[(Label, &str)],
    ) -> Counter {
        self.define(host, place, &row.values, what, more).unwrap_or_else(|| {
            let (other, values) = (self.other(place.spoken), vec![OTHER.to_owned(); row.values.len()]);
            self.define(host, &other, &values, what, more).unwrap_or_default()
        })
    }

    /// Nothing where there is no room for it, or its name is too long.
    fn define<H: Host>(
        &self,
        host: &H,
        place: &Place,
        values: &[String],
        (kind, what): (MetricKind, &str),
        more: &[(Label, &str)],
    ) -> Option<Counter> {
        let is_charged = place.raw.is_some();
        if is_charged && self.left.get() == 0 {
            self.meter.note_dropped(host);
            return None;
        }
        let mut labels = vec![(Label::Route, place.route.as_str()), (Label::Protocol, place.spoken.as_str())];
        labels.extend(self.labels.iter().copied().zip(values.iter().map(String::as_str)));
        labels.extend_from_slice(more);
        let counter = match kind {
            MetricKind::Counter => self.meter.counter(host, what, &labels),
            MetricKind::Gauge => self.meter.gauge(host, what, &labels),
            MetricKind::Histogram => self.meter.histogram(host, what, &labels),
        };
        if is_charged && counter.exists() {
            self.left.set(self.left.get() - 1);
        }
        counter.exists().then_some(counter)
    }
}
