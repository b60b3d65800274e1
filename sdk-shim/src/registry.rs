//! Who is a key: one append-only list per instance, shared by all workers.
//!
//! Keys may come from clients (a header, a path), and neither memory nor metric names may grow by a client's will. The
//! registry holds at most `max` names; who comes later is `_other`: counted, but never opened. The list is a row of
//! cells, `<prefix>0`, `<prefix>1`, ...: a name is added by creating the next cell, which only one worker can, and a worker
//! learns what others added by reading on from where it stopped. Nothing is ever rewritten or removed, since Envoy can't
//! delete shared data.

use crate::cell::{self, CellError, Record};
use crate::host::{Expect, Host};
use core::cell::{Cell, RefCell};
use hashbrown::HashMap;

/// Races for one name that may be lost before giving up.
const MAX_RACES: u32 = 64;

/// What the registry says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// A key, with its number in the list.
    Member(u32),
    /// The list, or the part of it that client-chosen names may fill, is full.
    Full,
    /// The host gave no access to the list.
    Unavailable(CellError),
}

/// A name in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    client_chosen: bool,
    name: String,
}

impl Record for Entry {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.client_chosen)];
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (flag, name) = bytes.split_first()?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        (*flag <= 1).then_some(Self { client_chosen: *flag == 1, name })
    }
}

/// What stands in the first cell that this VM hasn't read.
enum Next {
    /// A name, now known.
    Learnt(String),
    /// Nothing of use; a name may be written there under this condition.
    Free(Expect),
    /// There is no such cell: the list is full.
    Full,
}

/// This VM's view of the list.
#[derive(Debug)]
pub struct Registry {
    prefix: String,
    max: u32,
    members: RefCell<HashMap<String, u32>>,
    client_chosen: Cell<u32>,
    /// Cells read so far: the list is known up to here.
    read: Cell<u32>,
}

impl Registry {
    /// The list whose cells are named `prefix` and a number, of at most `max` names.
    ///
    /// Names that clients choose may fill half of it, so that they can't keep routes out.
    pub fn new(prefix: String, max: u32) -> Self {
        Self { prefix, max, members: RefCell::default(), client_chosen: Cell::new(0), read: Cell::new(0) }
    }

    /// Finds `name`, adding it where there is room.
    pub fn admit<H: Host>(&self, host: &H, name: &str, client_chosen: bool) -> Membership {
        // Each turn reads one of at most `max` cells, but for those in which somebody else was first. A cell that can be neither
        // read nor created (something else wrote it) must not keep us here.
        for _ in 0..self.max.saturating_add(MAX_RACES) {
            if let Some(number) = self.members.borrow().get(name) {
                return Membership::Member(*number);
            }
            let created = match self.read_on(host) {
                Err(error) => return Membership::Unavailable(error),
                Ok(Next::Learnt(_)) => continue,
                Ok(_) if self.is_full(client_chosen) => return Membership::Full,
                Ok(Next::Full) => return Membership::Full,
                Ok(Next::Free(expect)) => self.append(host, name, client_chosen, expect),
            };
            match created {
                Ok(()) => {}
                Err(error) => return Membership::Unavailable(error),
            }
        }
        Membership::Unavailable(CellError::Contended)
    }

    /// Learns what other workers added, at most `limit` names; gives those that are new to this VM.
    pub fn refresh<H: Host>(&self, host: &H, limit: u32) -> Vec<String> {
        let mut learnt = Vec::new();
        for _ in 0..limit {
            match self.read_on(host) {
                Ok(Next::Learnt(name)) => learnt.push(name),
                Ok(Next::Free(_) | Next::Full) | Err(_) => break,
            }
        }
        learnt
    }

    /// How many names this VM knows of.
    pub fn len(&self) -> u32 {
        self.read.get()
    }

    /// Whether it knows of none.
    pub fn is_empty(&self) -> bool {
        self.read.get() == 0
    }

    fn is_full(&self, client_chosen: bool) -> bool {
        self.read.get() >= self.max || (client_chosen && self.client_chosen.get() >= self.max.div_ceil(2))
    }

    /// Reads the next cell, if there is one.
    fn read_on<H: Host>(&self, host: &H) -> Result<Next, CellError> {
        if self.read.get() >= self.max {
            return Ok(Next::Full);
        }
        let seen = cell::read::<H, Entry>(host, &self.next_cell())?;
        Ok(seen.record.map_or(Next::Free(seen.expect), |entry| {
            self.learn(&entry);
            Next::Learnt(entry.name)
        }))
    }

    /// Whoever loses the race for the cell reads the winner's name in the next turn. A cell with bytes that are no name is
    /// replaced, so that it can't keep everybody after it out.
    fn append<H: Host>(&self, host: &H, name: &str, client_chosen: bool, expect: Expect) -> Result<(), CellError> {
        let entry = Entry { client_chosen, name: name.to_owned() };
        if cell::write(host, &self.next_cell(), &entry, expect)? {
            self.learn(&entry);
        }
        Ok(())
    }

    fn learn(&self, entry: &Entry) {
        let number = self.read.get();
        self.members.borrow_mut().entry(entry.name.clone()).or_insert(number);
        self.client_chosen.set(self.client_chosen.get().saturating_add(u32::from(entry.client_chosen)));
        self.read.set(number.saturating_add(1));
    }

    fn next_cell(&self) -> String {
        format!("{}{}", self.prefix, self.read.get())
    }
}
