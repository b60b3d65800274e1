//! One experiment in four curves, with Holdfast and without.

use std::fmt::Write as _;

use super::super::Second;
use super::Outcome;
use crate::draw::{open, rectangle, text};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 468.0;
/// Of a panel's curves.
const WIDE: f64 = 356.0;
const TALL: f64 = 126.0;
const COLUMNS: [f64; 2] = [66.0, 500.0];
const ROWS: [f64; 2] = [86.0, 286.0];
/// Of a small letter, about.
const LETTER: f64 = 5.5;
const LEGEND: f64 = HEIGHT - 16.0;

const STYLE: &str = "
  .with{color:#2f74c9} .without{color:#d1343f} .swatch{fill:currentColor}
  .curve{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
  .fault{fill:#818b98;opacity:.18} .grid{stroke:#818b98;opacity:.3} .end{text-anchor:end} .mid{text-anchor:middle}
  @media (prefers-color-scheme:dark){.with{color:#4a90e2} .without{color:#e5534b}}
";

/// What one panel shows.
struct Panel {
    title: &'static str,
    of: fn(&Second) -> Option<f64>,
    unit: &'static str,
    /// The axis ends here at least.
    top: f64,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "got what they wanted",
        of: |second| second.served.map(|share| share * 100.0),
        unit: " %",
        top: 100.0,
    },
    Panel { title: "99 of 100 within", of: |second| second.p99, unit: " ms", top: 10.0 },
    Panel {
        title: "requests at services, per request of a client",
        of: |second| second.amplification,
        unit: "",
        top: 2.0,
    },
    Panel { title: "executions per payment, so far", of: |second| second.executions, unit: "", top: 2.0 },
];

/// Draws it.
pub fn picture(outcome: &Outcome) -> String {
    let experiment = &outcome.experiment;
    let title = format!("{}. {}", experiment.number, experiment.name);
    let mut svg = open(WIDTH, HEIGHT, &format!("{title}: {}", outcome.verdict()), STYLE);
    text(&mut svg, "big", COLUMNS[0] - 42.0, 32.0, &title);
    let sides =
        [("without", outcome.without.seconds(experiment.seconds)), ("with", outcome.with.seconds(experiment.seconds))];
    for (n, panel) in PANELS.iter().enumerate() {
        let place = [COLUMNS[n % 2], ROWS[n / 2]];
        faults(&mut svg, outcome, place, n < 2);
        panel.draw(&mut svg, &sides, place, experiment.seconds);
    }
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// Bands where something is broken, with their names where there is room.
fn faults(svg: &mut String, outcome: &Outcome, [left, top]: [f64; 2], named: bool) {
    let experiment = &outcome.experiment;
    let ends = experiment.phases.iter().skip(1).map(|phase| phase.at).chain([experiment.seconds]);
    let x = |second: u32| left + WIDE * f64::from(second) / f64::from(experiment.seconds.max(1));
    let mut free = f64::NEG_INFINITY;
    for (phase, end) in experiment.phases.iter().zip(ends).filter(|(phase, _)| !phase.title.is_empty()) {
        rectangle(svg, "fault", [x(phase.at), top, x(end) - x(phase.at), TALL]);
        let (middle, half) = (x(phase.at).midpoint(x(end)), LETTER * half_of(phase.title));
        if named && middle - half > free {
            text(svg, "small dim mid", middle, top - 5.0, phase.title);
            free = middle + half;
        }
    }
}

fn half_of(title: &str) -> f64 {
    f64::from(u32::try_from(title.chars().count()).unwrap_or(u32::MAX)) / 2.0
}

fn legend(svg: &mut String) {
    let mut x = COLUMNS[0];
    for (class, name) in [("with", "with Holdfast"), ("without", "the same Envoys without it")] {
        rectangle(svg, &format!("swatch {class}"), [x, LEGEND - 10.0, 11.0, 11.0]);
        text(svg, "small", x + 16.0, LEGEND, name);
        x += 130.0;
    }
}

// === impl Panel ===

impl Panel {
    fn draw(&self, svg: &mut String, sides: &[(&str, Vec<Second>); 2], [left, top]: [f64; 2], seconds: u32) {
        let most = sides.iter().flat_map(|(_, seconds)| seconds).filter_map(self.of).fold(self.top, f64::max);
        let most = round_up(most);
        text(svg, "small bold", left, top - 21.0, self.title);
        for half in 0..=2_u32 {
            let part = f64::from(half) / 2.0;
            let y = top + TALL * (1.0 - part);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {y:.1}h{WIDE}\"/>");
            text(svg, "small dim end", left - 5.0, y + 4.0, &format!("{}{}", most * part, self.unit));
        }
        for second in (0..=seconds).step_by(if seconds > 60 { 20 } else { 10 }) {
            let x = left + WIDE * f64::from(second) / f64::from(seconds.max(1));
            text(svg, "small dim mid", x, top + TALL + 15.0, &format!("{second} s"));
        }
        for (class, values) in sides {
            let points = values.iter().map(|second| (self.of)(second).map(|value| (value / most).min(1.0)));
            let path = path(points, [left, top], f64::from(seconds.max(1)));
            let _ = writeln!(svg, "<path class=\"curve {class}\" d=\"{path}\"/>");
        }
    }
}

/// A line through what is known, each second in its middle; broken where nothing is.
fn path(points: impl Iterator<Item = Option<f64>>, [left, top]: [f64; 2], seconds: f64) -> String {
    let (mut path, mut pen, mut middle) = (String::new(), 'M', 0.5);
    for point in points {
        if let Some(part) = point {
            let _ = write!(path, "{pen}{:.1} {:.1}", left + WIDE * middle / seconds, top + TALL * (1.0 - part));
        }
        pen = if point.is_some() { 'L' } else { 'M' };
        middle += 1.0;
    }
    path
}

/// The next 1, 2 or 5 with zeros behind it.
fn round_up(value: f64) -> f64 {
    let tens = (0..9).map(|n| 10_f64.powi(n));
    tens.flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten]).find(|round| *round >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::super::run::tests::record;
    use super::super::super::{Phase, Run, all};
    use super::*;

    #[test]
    fn every_panel_has_a_curve_of_each_side() {
        let experiment = all().remove(0);
        let run =
            |ok| Run { records: (0..20_000).step_by(250).map(|at| record(at, 5, ok)).collect(), ..Run::default() };
        let svg = picture(&Outcome { experiment, with: run(true), without: run(false) });
        assert_eq!(svg.matches("class=\"curve with\"").count(), PANELS.len());
        assert_eq!(svg.matches("class=\"curve without\"").count(), PANELS.len());
        assert!(svg.contains(">503<") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn a_name_that_has_no_room_is_left_out() {
        let mut experiment = all().remove(0);
        let band = |at, title| Phase::new(at, title, &[]);
        let bands = [band(10, "it is drained"), band(12, "restart"), Phase::well(14, &[]), band(60, "killed")];
        experiment.phases = bands.into_iter().chain([Phase::well(70, &[])]).collect();
        let svg = picture(&Outcome { experiment, with: Run::default(), without: Run::default() });
        let times = |text: &str| svg.matches(text).count();
        assert_eq!((times(">it is drained<"), times(">restart<"), times(">killed<")), (2, 0, 2));
        assert_eq!(times("class=\"fault\""), 3 * PANELS.len());
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = [Some(0.0), None, Some(1.0), Some(1.0)].into_iter();
        assert_eq!(path(points, [0.0, 0.0], 4.0).matches('M').count(), 2);
    }

    #[test]
    fn axes_end_at_round_figures() {
        let ends = [1.0, 1.2, 2.1, 9.0, 101.0].map(|most| format!("{}", round_up(most)));
        assert_eq!(ends, ["1", "2", "5", "10", "200"]);
    }
}
