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
        self.holds() && self.is_control()
    }

    /// Whether all held with Holdfast.
    pub fn holds(&self) -> bool {
        self.rows().iter().all(|row| row.with.held)
    }

    /// Whether the control was one: well before anything was broken, and breaking what it should.
    pub fn is_control(&self) -> bool {
        let breaks = |check: &Check| !check.judge(&self.without).held;
        self.experiment.before().judge(&self.without).held && self.experiment.contrast.iter().all(breaks)
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let row =
            |check: &Check| Row { check: *check, with: check.judge(&self.with), without: check.judge(&self.without) };
        self.experiment.checks.iter().map(row).collect()
    }

    /// In a word or two.
    pub fn verdict(&self) -> &'static str {
        let well_before = self.experiment.before().judge(&self.without).held;
        match (self.holds(), well_before, self.is_control()) {
            (false, ..) => "FAILED",
            (true, false, _) => "PROVES NOTHING: the control was sick before",
            (true, true, false) => "PROVES NOTHING: the control is as good",
            (true, true, true) if self.experiment.contrast.is_empty() => "holds",
            (true, true, true) => "holds; the control differs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::record;
    use super::super::{Phase, Whom, all};
    use super::*;

    fn run(ok: bool) -> Run {
        Run { records: vec![record(500, 1, true), record(1_500, 1, ok)], ..Run::default() }
    }

    fn outcome(with: bool, without: bool, contrast: bool) -> Outcome {
        let mut experiment = all().remove(0);
        experiment.phases = vec![Phase::new(1, "503", &[])];
        experiment.checks = vec![Check::Served(Whom::All, (1, 2), 50.0)];
        experiment.contrast = if contrast { experiment.checks.clone() } else { Vec::new() };
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

    #[test]
    fn what_the_control_breaks_without_the_fault_is_no_difference() {
        let twice = [("k".to_owned(), 2)].into();
        let without = Run { executed: twice, ..run(true) };
        let mut outcome = Outcome { without, ..outcome(true, true, true) };
        outcome.with.executed = [("k".to_owned(), 1)].into();
        outcome.experiment.checks.push(Check::PaidOnce);
        assert!(outcome.holds() && !outcome.stands(), "{}", outcome.verdict());
    }

    #[test]
    fn a_control_that_was_sick_before_the_fault_is_none() {
        let sick = Run { records: vec![record(500, 1, false), record(1_500, 1, false)], ..Run::default() };
        let outcome = Outcome { without: sick, ..outcome(true, false, true) };
        assert_eq!(outcome.verdict(), "PROVES NOTHING: the control was sick before");
        assert!(!outcome.stands());
    }
}
