//! The live view: a block that is redrawn, or one line per second where the output is no terminal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::chart;
use crate::story::Record;
use crate::tally::{FATES, Fate, Second};

/// Seconds that fit into a line of 80 characters.
const COLUMNS: usize = 74;

/// Shows a story while it goes on.
pub(crate) trait View {
    /// Shows where it stands.
    fn draw(&mut self, record: &Record);
    /// Leaves the terminal as it was.
    fn close(&mut self);
}

/// The view for this output.
pub(crate) fn new(plain: bool) -> Box<dyn View> {
    if plain { Box::new(Plain::default()) } else { Box::new(Block::default()) }
}

/// Redrawn in place.
#[derive(Default)]
struct Block {
    lines: usize,
}

/// One line per second.
#[derive(Default)]
struct Plain {
    told: usize,
    transitions: usize,
    acts: usize,
}

// === impl Block ===

impl View for Block {
    fn draw(&mut self, record: &Record) {
        let lines = block(record);
        let mut out = String::new();
        if self.lines > 0 {
            let _ = write!(out, "\x1b[{}A", self.lines);
        }
        for line in &lines {
            let _ = writeln!(out, "{line}\x1b[K");
        }
        self.lines = lines.len();
        // A terminal that is gone can't be told.
        let mut stdout = std::io::stdout().lock();
        drop(stdout.write_all(format!("\x1b[?25l{out}").as_bytes()).and_then(|()| stdout.flush()));
    }

    fn close(&mut self) {
        print!("\x1b[?25h");
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.close();
    }
}

fn block(record: &Record) -> Vec<String> {
    let state = record.state_at(record.end);
    let skip = record.with.seconds.len().saturating_sub(COLUMNS);
    let mut lines = vec![
        String::new(),
        format!(" {:>3} s   {}", record.end.as_secs(), record.act_at(record.end)),
        format!("        the breaker of region eu: \x1b[1m{}\x1b[0m", words(state)),
        String::new(),
        format!("  \x1b[1mwith Holdfast\x1b[0m     {}", now(&record.with.seconds)),
    ];
    lines.extend(chart(&record.with.seconds, skip));
    lines.push(format!("   {}  <- breaker", strip(record, skip)));
    lines.push(format!("  \x1b[1mwithout\x1b[0m           {}", now(&record.without.seconds)));
    lines.extend(chart(&record.without.seconds, skip));
    lines.push(String::new());
    lines.push(FATES.map(|fate| format!("  {} {}", chart::cell(fate), fate.name())).concat());
    lines
}

fn chart(seconds: &[Second], skip: usize) -> impl Iterator<Item = String> {
    chart::rows(&seconds[skip.min(seconds.len())..]).into_iter().map(|row| format!("  │{row}"))
}

/// The breaker's state, a character per second.
fn strip(record: &Record, skip: usize) -> String {
    let letter = |second: usize| match record.state_at(Duration::from_secs(second as u64 + 1)) {
        "open" => "O",
        "half_open" => "?",
        "recovering" => "/",
        _ => "·",
    };
    (skip..record.with.seconds.len()).map(letter).collect()
}

fn words(state: &str) -> &'static str {
    match state {
        "open" => "open: nothing goes there",
        "half_open" => "half-open: one probe at a time",
        "recovering" => "recovering: its users come back",
        _ => "closed: all is well",
    }
}

/// The last full second in numbers.
fn now(seconds: &[Second]) -> String {
    let Some(last) = seconds.last() else { return String::new() };
    let parts = FATES.iter().zip(last).filter(|(_, n)| **n > 0).map(|(fate, n)| format!("{n} {}", short(*fate)));
    parts.collect::<Vec<_>>().join(" · ")
}

/// What a fate is called while it may still change.
fn short(fate: Fate) -> &'static str {
    if fate == Fate::Waited { "waiting" } else { fate.name() }
}

// === impl Plain ===

impl View for Plain {
    fn draw(&mut self, record: &Record) {
        for act in record.acts.iter().skip(self.acts) {
            println!("{:>5.1} s  *** {}", act.from.as_secs_f64(), act.title);
        }
        self.acts = record.acts.len();
        for change in record.transitions.iter().skip(self.transitions) {
            println!("{:>5.1} s  the breaker of region eu is {}", change.at.as_secs_f64(), words(&change.to));
        }
        self.transitions = record.transitions.len();
        for second in self.told..record.with.seconds.len() {
            let (with, without) = (&record.with.seconds[..=second], &record.without.seconds[..=second]);
            println!("{:>5} s  with: {:<60} without: {}", second, now(with), now(without));
        }
        self.told = record.with.seconds.len();
    }

    fn close(&mut self) {}
}
