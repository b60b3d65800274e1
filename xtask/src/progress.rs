//! One line for each command that ends, and a sign of life for each that runs for more than two seconds.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::text;

/// A command that ends sooner says nothing before its end.
const FIRST: Duration = Duration::from_secs(2);
/// On a terminal the line is rewritten, so it may change often.
const EVERY_TERMINAL: Duration = Duration::from_millis(500);
/// In a log each sign of life is a line.
const EVERY_LOG: Duration = Duration::from_secs(15);
/// Columns of what the command last said.
const DETAIL: usize = 70;

/// The progress of one command.
pub(crate) struct Progress {
    label: String,
    clock: Stopwatch,
    next: Duration,
    terminal: bool,
}

/// Time since it was made. xtask is no plugin: it may look at the real clock.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

// === impl Stopwatch ===

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a build tool lives in real time; only plugins must not")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

// === impl Progress ===

impl Progress {
    pub(crate) fn start(label: &str) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { label: label.to_owned(), clock: Stopwatch::start(), next: FIRST, terminal }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Shows that the command is alive, if it is time to.
    pub(crate) fn beat(&mut self, detail: impl FnOnce() -> String) {
        let elapsed = self.elapsed();
        if elapsed < self.next {
            return;
        }
        self.next = elapsed + if self.terminal { EVERY_TERMINAL } else { EVERY_LOG };
        let line = row(" .. ", elapsed, &format!("{}: {}", self.label, text::cut(&detail(), DETAIL)));
        self.show(&line, !self.terminal);
    }

    pub(crate) fn done(self) {
        self.end(" ok ");
    }

    /// A tentative command's failure is only a remark.
    pub(crate) fn failed(self, tentative: bool) {
        self.end(if tentative { " no " } else { "FAIL" });
    }

    fn end(&self, mark: &str) {
        self.show(&row(mark, self.elapsed(), &self.label), true);
    }

    fn show(&self, line: &str, stays: bool) {
        let (before, after) = (if self.terminal { "\r\x1b[K" } else { "" }, if stays { "\n" } else { "" });
        print!("{before}{line}{after}");
        // A closed pipe is no reason to stop the work.
        let _ = std::io::stdout().flush();
    }
}

/// A line about something that took no time.
pub(crate) fn note(line: &str) {
    println!("[ -- ]            {line}");
}

/// `[ ok ]    12.3 s  label`
pub(crate) fn row(mark: &str, elapsed: Duration, label: &str) -> String {
    format!("[{mark}] {:>8.1} s  {label}", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up() {
        assert_eq!(row(" ok ", Duration::from_millis(12_340), "clippy"), "[ ok ]     12.3 s  clippy");
    }
}
