//! The outcome, for people: rows of a terminal, and a picture.

use super::outcome::{Outcome, Second};
use std::fmt::Write as _;

/// Rows of a terminal, at most.
const ROWS: usize = 40;
/// Signs of a row's bar.
const SIGNS: u64 = 50;
const WIDTH: f64 = 880.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 56.0;
const WIDE: f64 = WIDTH - LEFT - 24.0;

/// What became of requests: how it is called, by a sign and by a colour.
type Kind = (&'static str, char, &'static str, fn(&Second) -> u64);

const KINDS: [Kind; 4] = [
    ("good", '#', "#2f8f4e", |second| second.good),
    ("moved", '>', "#2f74c9", |second| second.moved),
    ("refused at once", '-', "#c98a12", |second| second.refused),
    ("failed", '!', "#d1343f", |second| second.failed),
];

/// A row for every few seconds, and what it came to.
pub(super) fn for_people(with: &Outcome, without: &Outcome, names: &str) -> String {
    let group = with.seconds.len().div_ceil(ROWS).max(1);
    let rows = with.grouped(group);
    let most = rows.iter().map(|row| row.requests).max().unwrap_or_default();
    let mut text = format!("With {names}: {}\n\n", legend());
    for (n, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "{:>5} s  {:<50}  {}", n * group, bar(row, most), row.phase);
    }
    text + "\n" + &table(with, without)
}

fn legend() -> String {
    KINDS.map(|(name, sign, _, _)| format!("{sign} {name}")).join("  ")
}

/// Rounded so that the signs of a row are no more than its share of the whole.
fn bar(row: &Second, most: u64) -> String {
    let end = |sum: u64| usize::try_from(sum * SIGNS / most.max(1)).unwrap_or_default();
    let (mut text, mut sum) = (String::new(), 0);
    for (_, sign, _, count) in KINDS {
        sum += count(row);
        while text.len() < end(sum) {
            text.push(sign);
        }
    }
    text
}

fn table(with: &Outcome, without: &Outcome) -> String {
    let (one, other) = (with.total(), without.total());
    let mut text = format!("{:<34}{:>12}{:>12}\n", "", "with", "without");
    let mut row = |name: &str, with: u64, without: u64| {
        let _ = writeln!(text, "{name:<34}{with:>12}{without:>12}");
    };
    row("requests", one.requests, other.requests);
    for (name, _, _, count) in KINDS {
        row(name, count(&one), count(&other));
    }
    row("attempts that the service saw", one.attempts, other.attempts);
    row("seconds that clients waited in vain", with.waited.as_secs(), without.waited.as_secs());
    text
}

/// Both outcomes, second by second, over one another.
pub(super) fn picture(with: &Outcome, without: &Outcome, names: &str) -> String {
    let tall = 2.0 * PANEL + 150.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {tall}\" width=\"{WIDTH}\" height=\"{tall}\" role=\"img\" \
         aria-label=\"What became of requests, second by second, with {names} and without\">\n<style>text{{fill:#1f2328;font:13px system-ui,sans-serif}} \
         .page{{fill:#fff}} .dim{{fill:#59636e;font-size:11.5px}}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{tall}\"/>\n"
    );
    let most = [with, without].into_iter().flat_map(|outcome| &outcome.seconds).map(|second| second.requests).max();
    let most = most.unwrap_or_default().max(1);
    let titles = [("without", without, 44.0), ("with", with, 44.0 + PANEL + 44.0)];
    for (word, outcome, top) in titles {
        let title = if word == "with" { format!("With {names}") } else { "Without".to_owned() };
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>", top - 10.0);
        panel(&mut svg, outcome, top, most);
    }
    let mut x = LEFT;
    for (name, _, colour, _) in KINDS {
        let y = tall - 18.0;
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{:.1}\" width=\"11\" height=\"11\" fill=\"{colour}\"/>", y - 10.0);
        let _ = writeln!(svg, "<text class=\"dim\" x=\"{:.1}\" y=\"{y:.1}\">{name}</text>", x + 16.0);
        x += 130.0;
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, outcome: &Outcome, top: f64, most: u64) {
    let wide = WIDE / real(outcome.seconds.len().max(1) as u64);
    let bottom = top + PANEL;
    let _ = writeln!(svg, "<text class=\"dim\" x=\"8\" y=\"{:.1}\">{most}/s</text>", top + 9.0);
    for (n, second) in outcome.seconds.iter().enumerate() {
        let (x, mut y) = (LEFT + wide * real(n as u64), bottom);
        for (_, _, colour, count) in KINDS {
            let tall = PANEL * real(count(second)) / real(most);
            y -= tall;
            if tall > 0.0 {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.2}\" height=\"{tall:.1}\" fill=\"{colour}\"/>"
                );
            }
        }
        if n % 20 == 0 {
            let _ = writeln!(svg, "<text class=\"dim\" x=\"{x:.1}\" y=\"{:.1}\">{n} s</text>", bottom + 15.0);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a picture")]
fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_a_sign_for_each_fiftieth_of_the_busiest_row() {
        let row = Second { requests: 100, good: 50, refused: 30, failed: 20, ..Second::default() };
        assert_eq!(bar(&row, 100), format!("{}{}{}", "#".repeat(25), "-".repeat(15), "!".repeat(10)));
        assert_eq!(bar(&row, 200).len(), 25);
        assert_eq!(bar(&Second::default(), 0), "");
    }
}
