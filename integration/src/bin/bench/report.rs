//! The figures for people, as Markdown that also reads well on a terminal.

use std::fmt::Write as _;

use crate::stats::Estimate;
use crate::table::{Row, Table};
use crate::verdict::{Bound, Verdict};

const HEAD: [&str; 7] =
    ["configuration", "us/request", "added us (95 %)", "x no-op (95 %)", "RSS MB", "idle us/s", "module KB"];

/// One setting.
pub(crate) fn table(table: &Table) -> String {
    let rows: Vec<[String; 7]> = table.rows.iter().map(cells).collect();
    let title = format!("\n{}: {} rounds, CPU time of the Envoy process\n\n", table.title, table.rounds);
    title + &aligned(&HEAD, &rows)
}

/// The promises.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> String {
    let rows: Vec<[String; 4]> = verdicts.iter().map(promise).collect();
    format!("\n{}", aligned(&["promise", "goal", "measured (95 %)", "kept"], &rows))
}

fn cells(row: &Row) -> [String; 7] {
    let addition = if row.to_noop.is_some() { interval(row.addition, 2) } else { dash() };
    let idle = row.solo.and_then(|solo| solo.idle);
    [
        row.subject.name.clone(),
        format!("{:.2}", row.cost),
        addition,
        row.to_noop.map_or_else(dash, |ratio| interval(ratio, 2)),
        row.solo.map_or_else(dash, |solo| (solo.rss / 1_000_000).to_string()),
        idle.map_or_else(dash, |idle| format!("{idle:.0}")),
        row.module_size.map_or_else(dash, |size| format!("{}.{}", size / 1_000, size / 100 % 10)),
    ]
}

fn promise(verdict: &Verdict) -> [String; 4] {
    let (digits, unit) = (if verdict.unit == "bytes" { 0 } else { 2 }, verdict.unit);
    let measured = interval(verdict.measured, digits);
    let goal = match verdict.bound {
        Bound::AtMost(most) => format!("<= {most:.digits$} {unit}"),
        Bound::AtLeast(least) => format!(">= {least:.digits$} {unit}"),
    };
    [verdict.promise.clone(), goal, measured, verdict.answer().as_str().into()]
}

pub(crate) fn interval(estimate: Estimate, digits: usize) -> String {
    let Estimate { value, low, high } = estimate;
    if low < high {
        format!("{value:.digits$} ({low:.digits$} to {high:.digits$})")
    } else {
        format!("{value:.digits$}")
    }
}

pub(crate) fn dash() -> String {
    "-".into()
}

/// The first column to the left, the others to the right.
pub(crate) fn aligned<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    let head = head.map(str::to_owned);
    for row in rows.iter().chain([&head]) {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.len()));
    }
    let rule = widths.map(|width| "-".repeat(width.saturating_sub(1)) + ":");
    let mut text = line(&head, &widths);
    text += &line(&rule, &widths).replacen(':', "-", 1);
    for row in rows {
        text += &line(row, &widths);
    }
    text
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut text = String::from("|");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // Writing to a text can't fail.
        let _ = if column == 0 { write!(text, " {cell:<width$} |") } else { write!(text, " {cell:>width$} |") };
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = aligned(&["a", "bbb"], &[["long".into(), "1".into()]]);
        assert_eq!(text, "| a    | bbb |\n| ---- | --: |\n| long |   1 |\n");
    }
}
