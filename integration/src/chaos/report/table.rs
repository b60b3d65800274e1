//! For the terminal.

use std::fmt::Write as _;

use super::super::Seen;
use super::Outcome;

/// All verdicts, with what each check saw on both sides.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<62}{:>22}{:>22}\n", "", "with Holdfast", "without");
    for outcome in outcomes {
        let experiment = &outcome.experiment;
        let _ = writeln!(text, "{}. {}: {}", experiment.number, experiment.name, outcome.verdict());
        for row in outcome.rows() {
            let words = row.check.words();
            let _ = writeln!(text, "   {words:<59}{:>22}{:>22}", figure(&row.with), figure(&row.without));
        }
    }
    text
}

fn figure(seen: &Seen) -> String {
    let mark = if seen.held { "" } else { " ✗" };
    format!("{}{mark}", seen.figure)
}
