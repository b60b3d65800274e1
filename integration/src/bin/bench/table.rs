//! From rounds to figures.

use crate::measure::Rounds;
use crate::solo::Solo;
use crate::stats::{Estimate, bootstrap, median, midmean};
use crate::subject::{Role, Subject};

/// The figures of one setting.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<Row>,
}

/// The figures of one configuration.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) subject: Subject,
    /// Microseconds of CPU time per request: the rounds' median.
    pub(crate) cost: f64,
    /// Microseconds more than without a filter, round by round.
    pub(crate) added: Vec<f64>,
    /// Their estimate.
    pub(crate) addition: Estimate,
    /// The addition, as a multiple of the no-op's.
    pub(crate) to_noop: Option<Estimate>,
    pub(crate) solo: Option<Solo>,
    /// Bytes.
    pub(crate) module_size: Option<u64>,
}

// === impl Table ===

impl Table {
    /// Works out a setting's figures.
    pub(crate) fn new(title: &str, subjects: &[Subject], costs: &Rounds, solo: Vec<Solo>) -> Self {
        let of_role = |role: Role| subjects.iter().zip(costs).find(|(subject, _)| subject.role == role);
        let none = of_role(Role::None).map_or(&[][..], |(_, costs)| costs);
        let noop = of_role(Role::Noop).map_or_else(Vec::new, |(_, costs)| differences(costs, none));
        let mut solo = solo.into_iter();
        let row = |(subject, costs): (&Subject, &Vec<f64>)| Row::new(subject, costs, none, &noop, solo.next());
        let rows = subjects.iter().zip(costs).map(row).collect();
        Self { title: title.to_owned(), rounds: none.len(), rows }
    }

    /// The row of a role that only one row has.
    pub(crate) fn row(&self, role: Role) -> Option<&Row> {
        self.rows.iter().find(|row| row.subject.role == role)
    }
}

// === impl Row ===

impl Row {
    fn new(subject: &Subject, costs: &[f64], none: &[f64], noop: &[f64], solo: Option<Solo>) -> Self {
        let added = differences(costs, none);
        let module = subject.module.as_ref().and_then(|file| std::fs::metadata(file).ok());
        Self {
            cost: median(costs),
            addition: bootstrap(added.len(), |draw| pick(&added, draw)),
            to_noop: (subject.role != Role::None).then(|| ratio(&added, noop)),
            added,
            subject: subject.clone(),
            solo,
            module_size: module.map(|meta| meta.len()),
        }
    }
}

/// Estimates a quotient of two additions.
pub(crate) fn ratio(added: &[f64], base: &[f64]) -> Estimate {
    bootstrap(added.len(), |draw| pick(added, draw) / pick(base, draw))
}

/// Estimates a difference of two additions.
pub(crate) fn difference(added: &[f64], base: &[f64]) -> Estimate {
    let differences = differences(added, base);
    bootstrap(differences.len(), |draw| pick(&differences, draw))
}

fn differences(costs: &[f64], base: &[f64]) -> Vec<f64> {
    costs.iter().zip(base).map(|(cost, base)| cost - base).collect()
}

fn pick(values: &[f64], draw: &[usize]) -> f64 {
    midmean(draw.iter().map(|round| values[*round]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_a_round_cancels_out() {
        let disturbance = [0.0, 5.0, 1.0, 9.0, 2.0, 0.5, 3.0, 4.0];
        let of = |cost: f64| disturbance.iter().map(|more| cost + more).collect::<Vec<f64>>();
        let (noop, breaker) = (differences(&of(18.0), &of(15.0)), differences(&of(20.0), &of(15.0)));
        let estimate = ratio(&breaker, &noop);
        assert!(
            (estimate.value - 5.0 / 3.0).abs() < 1e-9 && (estimate.high - estimate.low).abs() < 1e-9,
            "{estimate:?}"
        );
    }
}
