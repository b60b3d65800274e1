//! One budget of one key, as this worker sees it: three counters, and a copy of the slots that all workers share.
//!
//! A retry is counted, then the window is looked at, and one too many is given back. So of two workers that take the last one
//! at the same moment perhaps neither gets it, but never both.
//!
//! Who begins a slot? Each worker's timer fires once per slot. A worker that finds the slot that it found the last time begins the next one;
//! one that finds another slot has been overtaken, and waits. So no slot is shorter than one period, whichever workers live.

use crate::decide::{has_room, keeps};
use crate::policy::Budget;
use crate::state::{Counts, ENCODING, Slots, Window};
use core::cell::{Cell, Ref, RefCell};
use core::time::Duration;
use sdk_shim::cell::{self, CellError};
use sdk_shim::host::Host;
use sdk_shim::labels::Label;
use sdk_shim::meter::{Meter, Tallies};
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;

/// One budget of one key.
#[derive(Debug)]
pub struct Account {
    cell: String,
    /// Requests, retries that were given back, retries that were granted.
    counts: Tallies,
    slots: RefCell<Slots>,
    read_at: Cell<Option<Instant>>,
    /// The slot that the last tick left.
    ticked: Cell<Option<u64>>,
    /// What the counters showed last: they go back only when they are reset.
    last: Cell<Counts>,
}

/// What became of the wish for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was counted, in this slot.
    Granted(u64),
    /// There is none left.
    Refused,
}

/// The name of a key's cell.
pub fn cell_name(prefix: &str, key: &str) -> String {
    format!("{prefix};e{ENCODING};{key}")
}

impl Account {
    /// The account of `key` in the cell `cell`; its counters' names begin with `kind` (`client_`, or nothing).
    pub fn open<H: Host>(host: &H, meter: &Meter, kind: &str, key: &str, cell: String) -> Self {
        let counter = |what: &str| meter.counter(host, &format!("{kind}{what}_total"), &[(Label::Key, key)]);
        let counts = vec![counter("requests"), counter("returned"), counter("granted")];
        let counts = Tallies::new(host, counts, || meter.name(&format!("{kind}counts"), &[(Label::Key, key)]));
        Self {
            cell,
            counts,
            slots: RefCell::default(),
            read_at: Cell::default(),
            ticked: Cell::default(),
            last: Cell::default(),
        }
    }

    /// A first try came.
    pub fn count_request<H: Host>(&self, host: &H) {
        self.counts.add(host, 0);
    }

    /// A retry happens that could not be refused: it is owed.
    pub fn owe<H: Host>(&self, host: &H) {
        self.counts.add(host, 2);
    }

    /// Asks for a retry. Where the shared slots can't be read, or this one can't be counted, nobody knows how many there were: there is an error, and no retry.
    pub fn ask<H: Host>(
        &self,
        host: &H,
        budget: &Budget,
        now: Instant,
        max_age: Duration,
    ) -> Result<Answer, CellError> {
        self.refresh(host, now, max_age)?;
        let totals = self.totals(host);
        if self.is_reset(self.went_back(totals), totals) {
            self.rebase(host)?;
        }
        if self.slots.borrow().is_frozen() || !has_room(budget, &self.window_of(totals)) {
            return Ok(Answer::Refused);
        }
        self.counts.try_add(host, 2)?;
        let totals = self.totals(host);
        self.last.set(totals);
        if keeps(budget, &self.window_of(totals)) {
            return Ok(Answer::Granted(self.slots.borrow().number));
        }
        self.counts.add(host, 1);
        Ok(Answer::Refused)
    }

    /// The timer fired: a slot may begin. Gives whether the window is empty, so that nothing had to be done.
    pub fn tick<H: Host>(&self, host: &H, now: Instant) -> Result<bool, CellError> {
        let totals = self.totals(host);
        let went_back = self.went_back(totals);
        if self.read_at.get().is_some() && !went_back && self.slots.borrow().is_idle(totals) {
            self.ticked.set(Some(self.slots.borrow().number));
            return Ok(true);
        }
        self.refresh(host, now, Duration::ZERO)?;
        if self.is_reset(went_back, totals) {
            self.rebase(host)?;
        } else if self.ticked.get() == Some(self.slots.borrow().number) {
            self.begin_slot(host)?;
        }
        self.ticked.set(Some(self.slots.borrow().number));
        Ok(false)
    }

    fn begin_slot<H: Host>(&self, host: &H) -> Result<(), CellError> {
        let current = self.slots.borrow().number;
        self.change(host, |slots, totals| (slots.number == current).then(|| slots.next(totals)))
    }

    /// Whoever notices first starts anew, for all.
    fn rebase<H: Host>(&self, host: &H) -> Result<(), CellError> {
        let current = self.slots.borrow().number;
        self.change(host, |slots, totals| {
            (slots.number == current || slots.was_reset(totals)).then(|| slots.rebased(totals))
        })
    }

    /// Sets or lifts the operator's mode for this key, for every worker.
    pub fn set_override<H: Host>(&self, host: &H, set: Option<Override>) -> Result<(), CellError> {
        self.change(host, |slots, _| Some(slots.overridden(set)))
    }

    /// The operator's mode, while it is in force.
    pub fn override_mode(&self, now: Instant) -> Option<Mode> {
        self.slots.borrow().override_.filter(|set| set.in_force(now)).map(|set| set.mode)
    }

    /// This worker's copy of the slots.
    pub fn slots(&self) -> Ref<'_, Slots> {
        self.slots.borrow()
    }

    /// What the window holds now.
    pub fn window<H: Host>(&self, host: &H) -> Window {
        self.window_of(self.totals(host))
    }

    /// Takes the copy anew if it is older than `max_age`, or the clock stepped back; makes the first slot where there is none.
    pub fn refresh<H: Host>(&self, host: &H, now: Instant, max_age: Duration) -> Result<(), CellError> {
        if self.read_at.get().is_some_and(|at| at <= now && now.since(at) < max_age) {
            return Ok(());
        }
        match cell::read::<H, Slots>(host, &self.cell)?.record {
            Some(slots) => *self.slots.borrow_mut() = slots,
            None => self.change(host, |_, _| None)?,
        }
        self.read_at.set(Some(now));
        Ok(())
    }

    fn change<H: Host>(&self, host: &H, next: impl Fn(&Slots, Counts) -> Option<Slots>) -> Result<(), CellError> {
        let slots = cell::update(host, &self.cell, |stored: Option<Slots>| {
            let totals = self.snapshot(host);
            let known = stored.is_some();
            let slots = stored.unwrap_or_else(|| Slots::starting(totals));
            match next(&slots, totals) {
                Some(next) => (Some(next.clone()), next),
                None => ((!known).then(|| slots.clone()), slots),
            }
        })?;
        *self.slots.borrow_mut() = slots;
        Ok(())
    }

    /// Whether a counter shows less than this worker saw before.
    fn went_back(&self, totals: Counts) -> bool {
        totals.was_reset_since(&self.last.replace(totals))
    }

    /// Whether the counters were reset, and nobody has drawn the conclusion yet.
    fn is_reset(&self, went_back: bool, totals: Counts) -> bool {
        let slots = self.slots.borrow();
        slots.was_reset(totals) || (went_back && !slots.is_frozen())
    }

    fn window_of(&self, totals: Counts) -> Window {
        self.slots.borrow().window(totals)
    }

    /// What the counters show at the end of a window: a retry that is being given back is still in it.
    fn totals<H: Host>(&self, host: &H) -> Counts {
        self.counts.totals(host)
    }

    /// What they show at its beginning: read the other way round, so that one that is being given back is not in the window.
    fn snapshot<H: Host>(&self, host: &H) -> Counts {
        self.counts.totals_backwards(host)
    }
}
