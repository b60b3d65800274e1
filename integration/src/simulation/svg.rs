//! The study as a picture in two panels: how attempts multiply, and whether goodput comes back.

use std::fmt::Write as _;

use crate::draw::{open, rectangle, text};

use super::outcome::{Outcome, share};
use super::scenario::{OUTAGE_SECONDS, STALL};
use super::study::Study;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 372.0;
/// Of both panels.
const TOP: f64 = 92.0;
const TALL: f64 = 200.0;
const BOTTOM: f64 = TOP + TALL;
const LEGEND: f64 = HEIGHT - 20.0;
/// Of the first one, and of the second.
const BARS: f64 = 54.0;
const BARS_WIDE: f64 = 306.0;
const LINES: f64 = 436.0;
const LINES_WIDE: f64 = 418.0;
#[allow(clippy::cast_lossless, reason = "From isn't const")]
const PER_SECOND: f64 = LINES_WIDE / OUTAGE_SECONDS as f64;

/// The schemes that are shown: the first ones.
const CLASSES: [&str; 3] = ["none", "envoy", "ours"];

const STYLE: &str = "
  .none{color:#d1343f} .envoy{color:#c98a12} .ours{color:#2f74c9} .bar{fill:currentColor}
  .curve{fill:none;stroke:currentColor;stroke-width:2.2;stroke-linejoin:round}
  .stall{fill:#818b98;opacity:.22} .grid{stroke:#818b98;opacity:.3} .end{text-anchor:end} .mid{text-anchor:middle}
  @media (prefers-color-scheme:dark){.none{color:#e5534b} .envoy{color:#d9a520} .ours{color:#4a90e2}}
";

/// Draws the study.
pub fn chart(study: &Study) -> String {
    let mut svg = open(WIDTH, HEIGHT, &label(study), STYLE);
    bars(&mut svg, study);
    lines(&mut svg, study);
    legend(&mut svg, study);
    svg.push_str("</svg>\n");
    svg
}

fn label(study: &Study) -> String {
    let figure = |outcomes: &Vec<Outcome>| outcomes.last().map_or(0.0, Outcome::amplification);
    let figures = study.schemes.iter().zip(&study.storms).take(CLASSES.len());
    let figures = figures.map(|(scheme, outcomes)| format!("{:.1} with {}", figure(outcomes), scheme.name()));
    format!(
        "Attempts per request where everything fails behind {} layers: {}",
        study.base.layers,
        figures.collect::<Vec<_>>().join("; ")
    )
}

// The first panel.

fn bars(svg: &mut String, study: &Study) {
    heading(svg, BARS - 30.0, "Everything fails", "attempts on the service per request");
    let top = doublings(study);
    for exponent in (0..=top).step_by(2) {
        level(svg, BARS, BARS_WIDE, f64::from(exponent) / f64::from(top), &format!("{}", 1u64 << exponent));
    }
    let group = BARS_WIDE / real(study.base.layers);
    for layer in 0..study.base.layers {
        let left = BARS + group * real(layer);
        bar_group(svg, study, layer, [left, group, f64::from(top)]);
        let tries = format!("{} × {} tries", plural(layer + 1), study.base.tries);
        text(svg, "small dim mid", left + group / 2.0, BOTTOM + 16.0, &tries);
    }
}

/// The axis is logarithmic, and ends at a power of four.
fn doublings(study: &Study) -> u32 {
    let most = study.storms.iter().flatten().map(Outcome::amplification).fold(1.0, f64::max);
    (1..20).map(|n| 2 * n).find(|n| f64::from(1u32 << n) >= most - 0.5).unwrap_or(40)
}

fn bar_group(svg: &mut String, study: &Study, layer: usize, [left, group, doublings]: [f64; 3]) {
    let wide = group * 0.26;
    let mut x = left + group * 0.11;
    for (class, outcomes) in CLASSES.iter().zip(&study.storms) {
        let times = outcomes.get(layer).map_or(1.0, Outcome::amplification).max(1.0);
        let tall = TALL * times.log2() / doublings;
        rectangle(svg, &bar(class), [x + 1.0, BOTTOM - tall, wide - 2.0, tall]);
        text(svg, "small mid", x + wide / 2.0, BOTTOM - tall - 5.0, &figure(times));
        x += wide;
    }
}

fn figure(times: f64) -> String {
    if times < 9.995 { format!("{times:.2}") } else { format!("{times:.0}") }
}

fn plural(layers: usize) -> String {
    if layers == 1 { "1 layer".to_owned() } else { layers.to_string() }
}

// The second panel.

fn lines(svg: &mut String, study: &Study) {
    heading(
        svg,
        LINES - 38.0,
        "The service stalls for five seconds",
        "good answers per request, second by second (above 100 %: late ones)",
    );
    for quarter in 0..=4u32 {
        level(svg, LINES, LINES_WIDE, f64::from(quarter) / 4.0, &format!("{} %", quarter * 25));
    }
    let x = |second: u32| LINES + f64::from(second) * PER_SECOND;
    let (from, to) = (x(STALL.0), x(STALL.1));
    rectangle(svg, "stall", [from, TOP, to - from, TALL]);
    text(svg, "small mid dim", f64::midpoint(from, to), TOP - 5.0, "stalls");
    for second in (0..=OUTAGE_SECONDS).step_by(20) {
        text(svg, "small dim mid", x(second), BOTTOM + 16.0, &format!("{second} s"));
    }
    let outcomes = study.outages.iter().filter_map(|outcomes| outcomes.last());
    for (class, outcome) in CLASSES.iter().zip(outcomes) {
        line(svg, class, outcome, study);
    }
}

/// Good answers of each second, in its middle.
fn line(svg: &mut String, class: &str, outcome: &Outcome, study: &Study) {
    let asked = f64::from(study.base.requests_per_second().max(1));
    let mut path = String::new();
    for (n, second) in outcome.seconds.iter().take(OUTAGE_SECONDS as usize).enumerate() {
        let part = (share(second.good, 1) / asked).min(1.06);
        let pen = if n == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{pen}{:.1} {:.1}", LINES + PER_SECOND * (real(n) + 0.5), BOTTOM - TALL * part);
    }
    let _ = writeln!(svg, "<path class=\"curve {class}\" d=\"{path}\"/>");
}

// Both.

fn heading(svg: &mut String, x: f64, title: &str, what: &str) {
    text(svg, "big", x, 30.0, title);
    text(svg, "small dim", x, 49.0, what);
}

/// A line across, at this part of the height.
fn level(svg: &mut String, left: f64, wide: f64, part: f64, words: &str) {
    let y = BOTTOM - TALL * part;
    let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {y:.1}h{wide}\"/>");
    text(svg, "small dim end", left - 6.0, y + 4.0, words);
}

fn legend(svg: &mut String, study: &Study) {
    let mut x = BARS - 30.0;
    for (class, scheme) in CLASSES.iter().zip(&study.schemes) {
        let name = scheme.name();
        rectangle(svg, &bar(class), [x, LEGEND - 10.0, 11.0, 11.0]);
        text(svg, "small", x + 16.0, LEGEND, &name);
        x += 40.0 + 6.0 * real(name.len());
    }
    let system = format!("{} nodes per layer, {} requests/s and node", study.base.nodes, study.base.load);
    text(svg, "small dim end", WIDTH - 24.0, LEGEND, &system);
}

fn bar(class: &str) -> String {
    format!("bar {class}")
}

fn real(n: usize) -> f64 {
    share(n as u64, 1)
}
