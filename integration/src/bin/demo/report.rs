//! The closing table and the verdict.

use std::fmt::Write as _;
use std::time::Duration;

use crate::spans::Heard;
use crate::story::Record;
use crate::tally::{Fate, Sum};

/// What both sides came to, side by side.
pub(crate) fn table(record: &Record) -> String {
    let (with, without) = (&record.with.sum, &record.without.sum);
    let mut text = format!("{:<52}{:>14}{:>14}\n", "", "with Holdfast", "without");
    let mut row = |name: &str, value: &dyn Fn(&Sum) -> String| {
        let _ = writeln!(text, "{name:<52}{:>14}{:>14}", value(with), value(without));
    };
    row("requests", &|sum| grouped(sum.all().into()));
    row("  served by the home region", &|sum| count(sum, Fate::Ok));
    row("  served by the other region", &|sum| count(sum, Fate::Moved));
    row("client errors", &|sum| grouped(sum.errors().into()));
    row("  refused at once (data may not leave the region)", &|sum| count(sum, Fate::Refused));
    row("  errors at once", &|sum| count(sum, Fate::Error));
    row("  errors after a wait", &|sum| count(sum, Fate::Waited));
    row("time that clients spent waiting for them", &|sum| seconds(sum.waited));
    row("99 of 100 requests took at most", &|sum| milliseconds(sum.p99));
    row("requests that hit the sick region", &|sum| grouped(sum.sick_hits));
    text
}

/// What came to the collector of spans.
pub(crate) fn spans(heard: &Heard) -> String {
    match &heard.example {
        Some(example) => {
            format!("Spans with the same on them: {}, for example\n  {example}\n", grouped(heard.spans as u64))
        }
        None => "This Envoy can't put filter state on spans: that begins with 1.37.\n".to_owned(),
    }
}

/// Whether the story happened, with the times.
pub(crate) fn verdict(record: &Record) -> (String, bool) {
    let (with, without) = (&record.with.sum, &record.without.sum);
    let failed_at = record.acts.get(1).map_or(Duration::ZERO, |act| act.from);
    let healed_at = record.acts.get(3).map_or(Duration::ZERO, |act| act.from);
    let opened = record.first("open").map(|at| at.saturating_sub(failed_at));
    let closed = record.transitions.iter().rev().find(|change| change.to == "closed").map(|change| change.at);
    let last = record.with.seconds.last().is_some_and(|second| second[Fate::Ok as usize] >= 95);
    let checks = [
        ("the breaker opened", opened.is_some()),
        ("probes were sent", record.first("half_open").is_some()),
        ("users came back little by little", record.first("recovering").is_some()),
        ("the breaker closed", closed.is_some() && record.state_at(record.end) == "closed"),
        ("users were served by the other region", with.count(Fate::Moved) > 0),
        ("requests that may not move were refused", with.count(Fate::Refused) > 0),
        ("the sick region was spared", with.sick_hits < without.sick_hits),
        ("clients saw fewer errors", with.errors() < without.errors()),
        ("clients waited less", with.waited < without.waited),
        ("all is well at the end", last),
    ];
    let failed: Vec<&str> = checks.iter().filter(|(_, held)| !held).map(|(what, _)| *what).collect();
    if !failed.is_empty() {
        return (format!("FAILED: not seen: {}", failed.join("; ")), false);
    }
    let text = format!(
        "The breaker opened {} after the first failure, and closed {} after the\nregion worked again. Clients saw {} errors instead of {}, and the sick region got\n{} requests instead of {}.",
        seconds(opened.unwrap_or_default()),
        seconds(closed.unwrap_or_default().saturating_sub(healed_at)),
        grouped(with.errors().into()),
        grouped(without.errors().into()),
        grouped(with.sick_hits),
        grouped(without.sick_hits),
    );
    (text, true)
}

fn count(sum: &Sum, fate: Fate) -> String {
    grouped(sum.count(fate).into())
}

/// `12,345`.
pub(crate) fn grouped(n: u64) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", grouped(n / 1_000), n % 1_000) }
}

/// `12.3 s`, or whole seconds from 100 on.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{} s", grouped(duration.as_secs())) }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", grouped(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}
