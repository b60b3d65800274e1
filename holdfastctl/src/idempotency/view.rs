//! How a record is shown: how far it came, and when. Never a key or an answer.

use super::index::Line;
use idempotency::store::Names;
use idempotency::store::redis::settle::{Found, Look, Seen, Stage};
use serde_json::{Value, json};

/// A record, and what the index says of it.
pub(super) struct View {
    pub(super) names: Names,
    pub(super) line: Option<Line>,
    /// When the line was written, if that is known.
    pub(super) noted: Option<u64>,
    pub(super) look: Look,
    /// Another key has the same fence: it doesn't tell which payment this is.
    pub(super) shared: bool,
}

// === impl View ===

impl View {
    /// What `resolve` takes: the line's id, which has all names in it, or the record's own name.
    fn id(&self) -> &str {
        let line = self.line.as_ref().map(|line| &line.names.first);
        line.or(self.seen().map(|seen| &seen.name)).unwrap_or(&self.names.first).as_str()
    }

    pub(super) fn seen(&self) -> Option<&Seen> {
        match &self.look.found {
            Found::Record(seen) => Some(seen),
            Found::Gone | Found::Foreign => None,
        }
    }

    /// `uncertain`, `running`, `released`, `done`, `gone`, `foreign`.
    pub(super) fn stage(&self) -> &'static str {
        match &self.look.found {
            Found::Gone => "gone",
            Found::Foreign => "foreign",
            Found::Record(seen) => match seen.stage {
                Stage::Claimed { lease } if self.look.now < lease => "running",
                Stage::Claimed { .. } => "uncertain",
                Stage::Released => "released",
                Stage::Done { .. } => "done",
            },
        }
    }

    /// Nobody has settled it, and nothing has ended it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage(), "uncertain" | "running")
    }

    /// The run that there is, or was when the line was written.
    pub(super) fn fence(&self) -> Option<u64> {
        self.seen().map(|seen| seen.fence).or_else(|| self.line.as_ref().map(|line| line.fence))
    }

    fn lease(&self) -> Option<u64> {
        match self.seen()?.stage {
            Stage::Claimed { lease } => Some(lease),
            Stage::Released | Stage::Done { .. } => None,
        }
    }

    fn has_answer(&self) -> bool {
        matches!(self.seen().map(|seen| seen.stage), Some(Stage::Done { length }) if length > 0)
    }

    /// Times are milliseconds since the epoch, by the store's clock.
    pub(super) fn value(&self) -> Value {
        let (seen, line) = (self.seen(), self.line.as_ref());
        let note = seen.and_then(|seen| seen.note.as_ref());
        json!({
            "id": self.id(),
            "stage": self.stage(),
            "fence": self.fence(),
            "fence_shared": self.shared,
            "noted_fence": line.map(|line| line.fence),
            "noted": self.noted,
            "lease": self.lease(),
            "forgotten": seen.map(|seen| seen.expires),
            "answer": self.has_answer(),
            "route": line.map(|line| &line.route),
            "tenant": line.map(|line| &line.tenant),
            "settled": note.map(|(at, word)| json!({"at": at, "as": word_of(word).0, "reason": word_of(word).1})),
            "now": self.look.now,
        })
    }

    /// A line of a list.
    pub(super) fn row(&self) -> String {
        let fence = self.fence().map_or_else(|| "-".to_owned(), |fence| fence.to_string());
        let route = self.line.as_ref().map_or("-", |line| if line.route.is_empty() { "-" } else { &line.route });
        let noted = self.noted.map_or_else(|| "-".to_owned(), |at| ago(self.look.now, at));
        let id = printable(self.id());
        let shared = if self.shared { "  (another key has this fence)" } else { "" };
        format!("{id}  {:<9}  {fence:>14}  {noted:<12}  {}{shared}\n", self.stage(), printable(route))
    }

    /// All of it.
    pub(super) fn page(&self) -> String {
        let now = self.look.now;
        let mut lines = vec![("stage", self.stage_in_words())];
        lines.extend(self.fence().map(|fence| {
            (
                "fence",
                format!("{fence}  (x-holdfast-fence told the service; begun {}, {})", utc(fence), ago(now, fence)),
            )
        }));
        if let Some(line) = &self.line {
            lines.push(("route", printable(&line.route)));
            lines.push(("tenant", printable(&line.tenant)));
            if self.fence() != Some(line.fence) {
                lines.push(("noted", format!("of another run, {}", line.fence)));
            }
        } else {
            lines.push(("index", "no line in this namespace".to_owned()));
        }
        if let Some(seen) = self.seen() {
            let lease = self.lease().map(|lease| ("lease", format!("{} ({})", utc(lease), ago(now, lease))));
            lines.extend(lease);
            lines.push(("forgotten", format!("{} ({})", utc(seen.expires), ago(now, seen.expires))));
            lines.push(("answer", if self.has_answer() { "stored, sealed" } else { "none" }.to_owned()));
            let note = seen.note.as_ref();
            lines.extend(note.map(|(at, word)| ("settled", format!("{} {}", utc(*at), printable(word)))));
        }
        let head = format!("{}\n", printable(self.id()));
        lines.iter().fold(head, |text, (name, value)| format!("{text}  {name:<10} {value}\n"))
    }

    pub(super) fn stage_in_words(&self) -> String {
        let what = match self.stage() {
            "uncertain" => "its lease is over, and nobody knows what came of it",
            "running" => {
                let left = self.lease().unwrap_or(0).saturating_sub(self.look.now);
                return format!("running: its lease is over in {}", span(left));
            }
            "released" => "the key is free",
            "done" => "its repeats are answered",
            "gone" => "there is no record: it was forgotten, or never there",
            _ => "that is no record of this version",
        };
        format!("{}: {what}", self.stage())
    }
}

/// How it was settled, and why.
fn word_of(word: &str) -> (&str, &str) {
    word.split_once(' ').unwrap_or((word, ""))
}

/// What others have written doesn't move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

/// `5 min ago`, `in 3 h`.
fn ago(now: u64, at: u64) -> String {
    if at > now { format!("in {}", span(at - now)) } else { format!("{} ago", span(now - at)) }
}

/// In whole units, rounded down.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `2026-11-26T21:12:08Z`, by the civil calendar: years from March, in eras of 400.
pub(super) fn utc(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1_000 % 86_400);
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use idempotency::protocol::Owner;
    use idempotency::store::Name;

    fn view(found: Found) -> View {
        let names = Names::from(Name::new("{1a2b}k").expect("a name"));
        View { names, line: None, noted: None, look: Look { now: 1_000_000, found }, shared: false }
    }

    fn record(stage: Stage) -> View {
        let name = Name::new("{1a2b}k").expect("a name");
        view(Found::Record(Box::new(Seen {
            name,
            owner: Owner(0xDEAD_BEEF),
            fence: 900_000,
            expires: 1_900_000,
            stage,
            note: None,
        })))
    }

    #[test]
    fn a_run_is_uncertain_from_the_end_of_its_lease_on() {
        assert_eq!(record(Stage::Claimed { lease: 1_000_001 }).stage(), "running");
        assert_eq!(record(Stage::Claimed { lease: 1_000_000 }).stage(), "uncertain");
        assert_eq!(record(Stage::Done { length: 9 }).value()["answer"], true);
        assert_eq!((view(Found::Gone).stage(), view(Found::Foreign).stage()), ("gone", "foreign"));
    }

    #[test]
    fn who_holds_a_record_is_not_shown() {
        let view = record(Stage::Claimed { lease: 5 });
        for shown in [view.page(), view.row(), view.value().to_string()] {
            assert!(!shown.contains("deadbeef") && !shown.contains("3735928559"), "{shown}");
        }
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_634_800_300, "2026-11-25T19:26:40Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
        for (ms, text) in
            [(999, "999 ms"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (172_800_000, "2 d")]
        {
            assert_eq!(span(ms), text);
        }
        assert_eq!((ago(5_000, 2_000), ago(2_000, 5_000)), ("3 s ago".to_owned(), "in 3 s".to_owned()));
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
