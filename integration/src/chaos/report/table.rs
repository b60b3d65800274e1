//! For the terminal.

use std::fmt::Write as _;

use super::super::Seen;
use super::Outcome;

/// What each check saw on both sides.
pub fn table(outcome: &Outcome) -> String {
    let mut text = format!("{:<78}{:>18}{:>18}\n", verdict(outcome), "with Holdfast", "without");
    for row in outcome.rows() {
        let _ = writeln!(text, "   {:<75}{:>18}{:>18}", row.check.words(), figure(&row.with), figure(&row.without));
        if let Some(example) = &row.with.example {
            let _ = writeln!(text, "      such as {example}");
        }
    }
    text
}

/// One line for each.
pub fn verdicts(outcomes: &[Outcome]) -> String {
    let lines = outcomes.iter().map(|outcome| format!("{} ({})\n", verdict(outcome), outcome.experiment.name));
    lines.collect()
}

fn verdict(outcome: &Outcome) -> String {
    format!("{:>2}. {}", outcome.experiment.number, outcome.verdict())
}

fn figure(seen: &Seen) -> String {
    let mark = if seen.held { "" } else { " ✗" };
    format!("{}{mark}", seen.figure)
}

#[cfg(test)]
mod tests {
    use super::super::super::run::tests::payment;
    use super::super::super::{Check, Run, all};
    use super::*;

    #[test]
    fn what_failed_is_marked_and_says_where_to_look() {
        let mut experiment = all().remove(0);
        experiment.checks = vec![Check::PaidOnce];
        let run = |times| Run {
            records: vec![payment("k-7", true)],
            executed: [("k-7".to_owned(), times)].into(),
            ..Run::default()
        };
        let outcome = Outcome { experiment, with: run(2), without: run(1) };
        let table = table(&outcome);
        assert!(table.contains("1 of 1 ✗") && table.contains("0 of 1\n") && table.contains("such as k-7"), "{table}");
        assert!(verdicts(&[outcome]).starts_with(" 1. FAILED"));
    }
}
