//! What is shown of it all: a table for the terminal, a page with pictures for the rest.

mod page;
mod picture;
mod table;

pub use page::page;
pub use picture::picture;
pub use table::{table, verdicts};

use super::{Check, Experiment, Run, Seen};

/// An experiment that was played.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was claimed.
    pub experiment: Experiment,
    /// What was seen with Holdfast.
    pub with: Run,
    /// And without.
    pub without: Run,
}

/// A check on both sides.
pub(super) struct Row {
    pub(super) check: Check,
    pub(super) with: Seen,
    pub(super) without: Seen,
}

// === impl Outcome ===

impl Outcome {
    /// Whether the hypothesis held, and the control showed that Holdfast is the reason where it should.
    pub fn stands(&self) -> bool {
        self.holds() && (!self.experiment.contrast || self.differs())
    }

    /// Whether all held with Holdfast.
    pub fn holds(&self) -> bool {
        self.rows().iter().all(|row| row.with.held)
    }

    /// Whether something that held with Holdfast didn't without.
    pub fn differs(&self) -> bool {
        self.rows().iter().any(|row| row.with.held && !row.without.held)
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let row =
            |check: &Check| Row { check: *check, with: check.judge(&self.with), without: check.judge(&self.without) };
        self.experiment.checks.iter().map(row).collect()
    }

    /// In a word or two.
    pub fn verdict(&self) -> &'static str {
        match (self.holds(), self.differs(), self.experiment.contrast) {
            (false, ..) => "FAILED",
            (true, true, _) => "holds; the control differs",
            (true, false, false) => "holds",
            (true, false, true) => "PROVES NOTHING: the control is as good",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::record;
    use super::super::{Whom, all};
    use super::*;

    fn run(ok: bool) -> Run {
        Run { records: vec![record(500, 1, ok)], ..Run::default() }
    }

    fn outcome(with: bool, without: bool, contrast: bool) -> Outcome {
        let mut experiment = all().remove(0);
        experiment.checks = vec![Check::Served(Whom::All, (0, 1), 50.0)];
        experiment.contrast = contrast;
        Outcome { experiment, with: run(with), without: run(without) }
    }

    #[test]
    fn a_hypothesis_stands_where_it_holds_and_the_control_differs() {
        assert!(outcome(true, false, true).stands());
        assert_eq!(outcome(true, false, true).verdict(), "holds; the control differs");
        assert!(!outcome(false, false, true).stands() && !outcome(false, true, false).stands());
    }

    #[test]
    fn a_control_that_is_as_good_proves_nothing_about_holdfast() {
        assert!(!outcome(true, true, true).stands());
        assert!(outcome(true, true, true).verdict().starts_with("PROVES NOTHING"));
        assert!(outcome(true, true, false).stands(), "where no difference is claimed");
    }
}
