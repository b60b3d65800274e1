//! The protocol in the proxy's own shared data: one node, all its workers.
//!
//! | cell, after the prefix | holds |
//! |---|---|
//! | `;layout` | how many sets there are, and how many ways each has: what was configured first in this process |
//! | `;s<set>` | a set: up to 32 records. A name belongs to one set, so a verb is one compare-and-set of one cell |
//! | `;b<set>.<way>` | an answer, sealed, after its owner |
//! | `;secret` | what names and seals are made with ([`secret()`]) |
//! | `;uncertain` | the claims of which nobody knows what came ([`uncertain`]) |
//!
//! **Bounds.** Envoy can't delete shared data (docs/hosts.md E6), so there are only so many cells. A record that lives is never evicted: where all ways of
//! a name's set are taken, a claim fails with [`Failure::Full`]. Names fall into sets by chance, so some set is full long before
//! all are: `slots` should be three times the number of keys in a `ttl`. Of 2,000 keys one finds its set full (the tail of Poisson's distribution, times the
//! number of sets) once in 100 times with twice as many slots, and four times in a million with three times as many. Each set has an equal share of `max_bytes` for its answers (with the defaults
//! 512 KiB for 32); an answer that doesn't fit is kept without its body, and where not even that fits, [`Failure::Full`]. A share should therefore
//! be some times `max_body`. Besides that, a record takes about 200 bytes.
//!
//! **Calls.** A claim is a read and a write, a repeat one read (two with the answer), giving up a read and a write, a completion three reads and three writes. Once
//! per VM the layout is read. One more round is needed where another worker was faster, and where room must be made.
//!
//! **Time** is the proxy's clock. A lease that is over, or a record that has expired, comes back to life when the clock steps back: leases last longer, nothing runs
//! twice. A clock that steps forward ends leases early: their claims are uncertain, and their owners still complete them. A step
//! of more than `ttl` forgets records.
//!
//! **What can't be read** (a newer form, another name with the same CRC32 on `WasmX`) is a failure, and is never overwritten. What the host
//! loses is lost: all of it with the process, on `WasmX` also what it evicts. Where only an answer was lost, the key is answered
//! [`Answer::Unknown`]: it was run, so it isn't run again.

mod bytes;
mod cells;
mod layout;
mod plan;
mod run;
mod set;
pub mod uncertain;

pub use layout::share;

use super::{Failure, Name};
use crate::encoding::Encoding;
use crate::protocol::{Answer, Claim, Owner, StoreMillis};
use core::cell::Cell;
use layout::Layout;
use plan::Completion;
use run::Cells;
use sdk_shim::cell::MAX_TRIES;
use sdk_shim::host::Host;

/// Records in the proxy's shared data.
#[derive(Debug)]
pub struct Memory {
    prefix: String,
    slots: u32,
    max_bytes: u64,
    layout: Cell<Option<Layout>>,
}

// === impl Memory ===

impl Memory {
    /// The records whose cells begin with `prefix`: at most about `slots` of them, with answers of `max_bytes` bytes in all.
    ///
    /// `slots` counts once per process: records must be found again, so another number takes effect with a restart, or with another prefix.
    pub fn new(prefix: &str, slots: u32, max_bytes: u64) -> Self {
        Self { prefix: prefix.to_owned(), slots, max_bytes, layout: Cell::new(None) }
    }

    /// Wishes to run a request.
    pub fn claim<H: Host>(
        &self,
        host: &H,
        name: &Name,
        claim: &Claim,
        now: StoreMillis,
    ) -> Result<Answer<Vec<u8>>, Failure> {
        let cells = self.cells(host, name)?;
        let mut lost = None;
        for _ in 0..MAX_TRIES {
            let (answer, place) = cells.run(&mut |set, _| plan::claim(set, name, claim, now))?;
            let Some(place) = place else { return Ok(answer) };
            if let Some(answer) = cells.answer(place)? {
                return Ok(Answer::Done(answer));
            }
            // An answer changes after its set only: if the set still tells of the one that wasn't there, nobody is about to bring it.
            if lost.replace(place) == Some(place) {
                return Ok(Answer::Unknown);
            }
        }
        Err(Failure::Contended)
    }

    /// Stores what the service answered, for `ttl` milliseconds: `answer`, or `small` where there is no room for that. Gives whether it is stored, now or
    /// by the same call before; `false` where the claim isn't this owner's any more.
    ///
    /// [`Failure::Full`] where there is no room for `small` either; the claim then stays.
    #[allow(clippy::too_many_arguments, reason = "a verb of the protocol, and where to run it")]
    pub fn complete<H: Host>(
        &self,
        host: &H,
        name: &Name,
        owner: Owner,
        answer: &[u8],
        small: &[u8],
        ttl: u64,
        now: StoreMillis,
    ) -> Result<bool, Failure> {
        let share = self.layout(host)?.share(self.max_bytes);
        let completion = Completion { name, owner, answers: [answer, small], ttl, share };
        self.cells(host, name)?.run(&mut |set, looked| plan::complete(set, looked, &completion, now))
    }

    /// Gives a claim up: nothing ran. Its fence is kept for `keep` milliseconds. Gives whether there was a claim to release.
    pub fn abandon<H: Host>(
        &self,
        host: &H,
        name: &Name,
        owner: Owner,
        keep: u64,
        now: StoreMillis,
    ) -> Result<bool, Failure> {
        self.cells(host, name)?.run(&mut |set, _| Ok(plan::abandon(set, name, owner, keep, now)))
    }

    /// How many records there may be.
    pub fn slots<H: Host>(&self, host: &H) -> Result<u32, Failure> {
        self.layout(host).map(Layout::slots)
    }

    fn cells<'a, H: Host>(&'a self, host: &'a H, name: &Name) -> Result<Cells<'a, H>, Failure> {
        Ok(Cells::of(host, &self.prefix, self.layout(host)?, name))
    }

    fn layout<H: Host>(&self, host: &H) -> Result<Layout, Failure> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let layout = layout::settle(host, &format!("{};layout", self.prefix), self.slots)?;
        self.layout.set(Some(layout));
        Ok(layout)
    }
}

/// What names and seals are made with, where no secret is configured: 32 bytes that the first VM draws and all use. It never leaves the process.
pub fn secret<H: Host>(host: &H, prefix: &str) -> Result<[u8; 32], Failure> {
    cells::change(host, &format!("{prefix};secret"), |found| {
        let Some(bytes) = found else {
            let secret = draw(host);
            return Ok((Some(secret.to_vec()), secret));
        };
        Ok((None, bytes.try_into().map_err(|_| Failure::Unexpected)?))
    })
}

fn draw<H: Host>(host: &H) -> [u8; 32] {
    let mut drawn = Encoding::of("memory's secret 1");
    (0..4).for_each(|_| _ = drawn.number(host.seed()));
    drawn.digest()
}
