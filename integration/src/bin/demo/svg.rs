//! The timeline as a picture for the README.

use std::fmt::Write as _;
use std::time::Duration;

use integration::draw::{open, rectangle, text};

use crate::report::{grouped, seconds};
use crate::story::{Measured, Record};
use crate::tally::{FATES, Fate, Second};

/// The picture's size; a README shows it about as wide.
const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 470.0;
/// Of the charts.
const LEFT: f64 = 24.0;
const SPAN: f64 = WIDTH - 2.0 * LEFT;
const TALL: f64 = 118.0;
/// Where things begin, from the top.
const ACTS: f64 = 52.0;
const FIRST: f64 = 106.0;
const STRIP: f64 = FIRST + TALL + 6.0;
const SECOND: f64 = 298.0;
const AXIS: f64 = SECOND + TALL;
const LEGEND: f64 = AXIS + 40.0;

/// Of the fates and the breaker's states.
const STYLE: &str = "
  .on{fill:#fff;font-size:11px;font-weight:600}
  .ok{fill:#57ab6a} .moved{fill:#3b82d6} .refused{fill:#d9a520} .error{fill:#d1343f} .waited{fill:#9a5fd0}
  .closed{fill:#9cc7a6} .open{fill:#c62f3b} .half_open{fill:#12808a} .recovering{fill:#2f74c9}
  @media (prefers-color-scheme:dark){
    .ok{fill:#3f8f54} .moved{fill:#4a90e2} .error{fill:#e5534b} .waited{fill:#a878dc} .closed{fill:#2c5437}}
";

/// Draws the record.
pub(crate) fn timeline(record: &Record) -> String {
    let mut svg = open(WIDTH, HEIGHT, &label(record), STYLE);
    text(
        &mut svg,
        "big",
        LEFT,
        28.0,
        "One of two regions fails: every request of two Envoys, by the second in which it began",
    );
    acts(&mut svg, record);
    side(&mut svg, "with Holdfast", &record.with, FIRST);
    strip(&mut svg, record);
    side(&mut svg, "the same Envoy without it", &record.without, SECOND);
    axis(&mut svg, record);
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

fn label(record: &Record) -> String {
    let errors = |measured: &Measured| grouped(measured.sum.errors().into());
    format!(
        "Client errors while a region fails: {} with Holdfast, {} without",
        errors(&record.with),
        errors(&record.without)
    )
}

/// What befell the region, above both charts, with lines down through them.
fn acts(svg: &mut String, record: &Record) {
    let scale = scale(record);
    for (n, act) in record.acts.iter().enumerate() {
        let x = LEFT + act.from.as_secs_f64() * scale;
        if n > 0 {
            let _ = writeln!(
                svg,
                "<path class=\"line\" d=\"M{x:.1} {:.1}v18M{x:.1} {FIRST}V{:.1}M{x:.1} {SECOND}V{AXIS}\"/>",
                ACTS - 10.0,
                STRIP + 16.0
            );
        }
        text(svg, "small bold", x + 4.0, ACTS, act.title);
    }
}

fn side(svg: &mut String, title: &str, measured: &Measured, top: f64) {
    let sum = &measured.sum;
    let numbers = format!(
        "{} client errors · {} spent waiting for them · {} requests hit the sick region",
        grouped(sum.errors().into()),
        seconds(sum.waited),
        grouped(sum.sick_hits)
    );
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\"><tspan class=\"bold\">{title}</tspan><tspan class=\"dim\" dx=\"12\">{numbers}</tspan></text>",
        top - 10.0
    );
    let wide = SPAN / f64::from(u32::try_from(measured.seconds.len().max(1)).unwrap_or(1));
    let mut x = LEFT;
    for second in &measured.seconds {
        bar(svg, second, x, wide, top);
        x += wide;
    }
    let _ = writeln!(svg, "<path class=\"base\" d=\"M{LEFT} {:.1}h{SPAN}\"/>", top + TALL);
}

/// One second: its fates on top of each other.
fn bar(svg: &mut String, second: &Second, x: f64, wide: f64, top: f64) {
    let total = f64::from(second.iter().sum::<u32>().max(1));
    let mut bottom = top + TALL;
    for (fate, n) in FATES.into_iter().zip(second).filter(|(_, n)| **n > 0) {
        let tall = TALL * f64::from(*n) / total;
        bottom -= tall;
        rectangle(svg, class(fate), [x + 0.5, bottom, wide - 1.0, tall]);
    }
}

/// The breaker's states, below the first chart.
fn strip(svg: &mut String, record: &Record) {
    let mut spans = spans(record);
    // Half-open may last a tenth of a second. It shall be seen all the same, so it is drawn last, over its neighbours.
    spans.sort_by_key(|(state, ..)| *state == "half_open");
    for (state, x, wide) in spans {
        rectangle(svg, state, [x, STRIP, wide.max(3.0), 16.0]);
        let (name, room) = name(state);
        if wide > room {
            text(svg, if name == "closed" { "small" } else { "on" }, x + 5.0, STRIP + 12.0, name);
        }
    }
    text(svg, "small dim", LEFT, STRIP + 30.0, "the circuit breaker of region eu");
}

/// State, begin and width of each stay in a state.
fn spans(record: &Record) -> Vec<(&str, f64, f64)> {
    let pixels = |at: Duration| (at.as_secs_f64() * scale(record)).min(SPAN);
    let begins = [("closed", Duration::ZERO)].into_iter();
    let begins = begins.chain(record.transitions.iter().map(|change| (change.to.as_str(), change.at)));
    let ends = record.transitions.iter().map(|change| change.at).chain([record.end]);
    begins.zip(ends).map(|((state, from), to)| (state, LEFT + pixels(from), pixels(to) - pixels(from))).collect()
}

/// What a state is called, and the pixels that takes.
fn name(state: &str) -> (&'static str, f64) {
    match state {
        "open" => ("open", 36.0),
        "half_open" => ("probe", 42.0),
        "recovering" => ("recovering", 72.0),
        _ => ("closed", 48.0),
    }
}

fn axis(svg: &mut String, record: &Record) {
    let scale = scale(record);
    for second in (0..=shown(record)).step_by(10) {
        let unit = if second == 0 { " s" } else { "" };
        text(svg, "small dim", LEFT + f64::from(second) * scale, AXIS + 15.0, &format!("{second}{unit}"));
    }
}

fn legend(svg: &mut String) {
    let mut x = LEFT;
    for fate in FATES {
        rectangle(svg, class(fate), [x, LEGEND - 10.0, 11.0, 11.0]);
        let name = meaning(fate);
        text(svg, "small", x + 16.0, LEGEND, name);
        x += 38.0 + 5.9 * f64::from(u32::try_from(name.chars().count()).unwrap_or(0));
    }
}

const fn meaning(fate: Fate) -> &'static str {
    match fate {
        Fate::Ok => "served at home",
        Fate::Moved => "served by the other region",
        Fate::Refused => "may not leave its region: refused at once",
        Fate::Error => "error",
        Fate::Waited => "waited 3 s, then error",
    }
}

const fn class(fate: Fate) -> &'static str {
    match fate {
        Fate::Ok => "ok",
        Fate::Moved => "moved",
        Fate::Refused => "refused",
        Fate::Error => "error",
        Fate::Waited => "waited",
    }
}

/// Pixels per second. Charts show whole seconds; what came after the last of them is left out.
fn scale(record: &Record) -> f64 {
    SPAN / f64::from(shown(record))
}

fn shown(record: &Record) -> u32 {
    u32::try_from(record.with.seconds.len().max(1)).unwrap_or(1)
}
