//! Doing what a plan says: the only place where records and answers are read and written.

use super::cells;
use super::layout::{Layout, WAYS};
use super::plan::{self, Step};
use super::set::{Place, Set};
use crate::store::{Failure, Name};
use sdk_shim::cell::MAX_TRIES;
use sdk_shim::host::{Expect, Host};

/// Rounds of a verb. A completion may have to empty each way but its own, two rounds each; the rest is for races lost.
const MAX_ROUNDS: usize = 2 * WAYS as usize + 2 * MAX_TRIES;

/// The cells of a name's set.
pub(super) struct Cells<'a, H> {
    host: &'a H,
    prefix: &'a str,
    layout: Layout,
    set: u64,
}

/// Which answer cell was looked at, and its version then.
type Looked = Option<(usize, Expect)>;

// === impl Cells ===

impl<'a, H: Host> Cells<'a, H> {
    pub(super) fn of(host: &'a H, prefix: &'a str, layout: Layout, name: &Name) -> Self {
        Self { host, prefix, layout, set: layout.set_of(name) }
    }

    /// Does what `plan` says, round after round. It is told the set, and the way whose answer cell was looked at just before.
    pub(super) fn run<T>(
        &self,
        plan: &mut dyn FnMut(Set, Option<usize>) -> Result<Step<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut looked: Looked = None;
        for _ in 0..MAX_ROUNDS {
            let (set, expect) = self.read()?;
            let before = looked.take();
            match plan(set, before.map(|(way, _)| way))? {
                Step::Say(said) => return Ok(said),
                Step::Look(way, set) => looked = self.look(way, set.as_ref(), expect)?,
                Step::Write(answer, set, said) => {
                    let written = self.write_answer(answer, before)? && self.write(&set, expect)?;
                    if let Some(said) = said.filter(|_| written) {
                        return Ok(said);
                    }
                }
            }
        }
        Err(Failure::Contended)
    }

    /// `None` where what is there belongs to another record, or is nothing.
    pub(super) fn answer(&self, place: Place) -> Result<Option<Vec<u8>>, Failure> {
        let (bytes, _) = cells::read(self.host, &self.answer_cell(place.way))?;
        Ok(bytes.and_then(|bytes| plan::answer_of(place, &bytes).map(<[u8]>::to_vec)))
    }

    fn read(&self) -> Result<(Set, Expect), Failure> {
        let (bytes, expect) = cells::read(self.host, &self.set_cell())?;
        let set = bytes.map_or_else(|| Some(self.layout.empty()), |bytes| Set::decode(&bytes));
        Ok((set.ok_or(Failure::Unexpected)?, expect))
    }

    /// `false` where somebody else wrote it since it was read.
    fn write(&self, set: &Set, expect: Expect) -> Result<bool, Failure> {
        cells::write(self.host, &self.set_cell(), set.encode(), expect)
    }

    /// Looks at an answer cell, after the set was written where that is wanted; at nothing where somebody else wrote the set.
    fn look(&self, way: usize, set: Option<&Set>, expect: Expect) -> Result<Looked, Failure> {
        if let Some(set) = set
            && !self.write(set, expect)?
        {
            return Ok(None);
        }
        let (_, version) = cells::read(self.host, &self.answer_cell(way))?;
        Ok(Some((way, version)))
    }

    fn write_answer(&self, answer: Option<Vec<u8>>, looked: Looked) -> Result<bool, Failure> {
        match (answer, looked) {
            (None, _) => Ok(true),
            (Some(answer), Some((way, expect))) => cells::write(self.host, &self.answer_cell(way), answer, expect),
            (Some(_), None) => Ok(false),
        }
    }

    fn set_cell(&self) -> String {
        format!("{};s{}", self.prefix, self.set)
    }

    fn answer_cell(&self, way: usize) -> String {
        format!("{};b{}.{way}", self.prefix, self.set)
    }
}
