//! The lines of the index: what the gateways noted of keys of which nobody knows the end.

use super::store::{Question, Store};
use idempotency::store::redis::index::key;
use idempotency::store::resp::Reply;
use idempotency::store::{Failure, Names};
use serde_json::Value;

/// Lines that are read at once: each is two elements of a reply, of which no more than 1,024 are read.
const PAGE: u64 = 500;
/// The index has 10,000 lines at most; whoever else writes there doesn't keep us for ever.
const MOST: u64 = 20_000;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) names: Names,
    pub(super) fence: u64,
    pub(super) route: String,
    /// A hash; empty where there are no tenants.
    pub(super) tenant: String,
}

/// A line, and when it was written, by the store's clock. `None` for what isn't a line of ours.
pub(super) type Noted = Option<(Line, u64)>;

/// All of them, the oldest first.
pub(super) fn lines(store: &mut Store, namespace: &str) -> Result<Vec<Noted>, String> {
    let key = key(namespace);
    let mut all = Vec::new();
    for from in (0..MOST).step_by(usize::try_from(PAGE).unwrap_or(1)) {
        let (first, last) = (from.to_string(), (from + PAGE - 1).to_string());
        let page = store.ask(&Question::new(&["ZRANGE", &key, &first, &last, "WITHSCORES"], &key), page)?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(0);
        all.extend(page);
        if is_last {
            break;
        }
    }
    // One that was noted again while we read is on two pages.
    let mut seen = std::collections::HashSet::new();
    all.retain(|noted| noted.as_ref().is_none_or(|(line, _)| seen.insert(line.names.first.clone())));
    Ok(all)
}

/// The line of one id, if there is one.
pub(super) fn line(store: &mut Store, namespace: &str, id: &str) -> Result<Option<Line>, String> {
    let lines = format!("{}:ids", key(namespace));
    store.ask(&Question::new(&["HGET", &lines, id], &lines), |reply| match reply {
        Reply::Nil => Ok(None),
        Reply::Bulk(line) => Ok(Line::read(line)),
        other => Err(failure(other)),
    })
}

fn page(reply: &Reply<'_>) -> Result<Vec<Noted>, Failure> {
    let Reply::Array(parts) = reply else { return Err(failure(reply)) };
    let noted = |pair: &[Reply<'_>]| match pair {
        [Reply::Bulk(line), Reply::Bulk(at)] => {
            let at = core::str::from_utf8(at).ok().and_then(|at| at.parse().ok());
            Ok(Line::read(line).zip(at))
        }
        _ => Err(Failure::Unexpected),
    };
    parts.chunks(2).map(noted).collect()
}

/// What the store said, where something else was expected.
pub(super) fn failure(reply: &Reply<'_>) -> Failure {
    match reply {
        Reply::Error(why) => Failure::Refused(String::from_utf8_lossy(why).into_owned()),
        _ => Failure::Unexpected,
    }
}

// === impl Line ===

impl Line {
    /// `None` for what a gateway doesn't write.
    fn read(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let also = match line.get("also") {
            None => Vec::new(),
            Some(also) => also.as_array()?.iter().map(text).collect::<Option<_>>()?,
        };
        let names = Names::new([vec![text(line.get("id")?)?], also].concat())?;
        let fence = line.get("fence")?.as_u64()?;
        Some(Self { names, fence, route: text(line.get("route")?)?, tenant: text(line.get("tenant")?)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use idempotency::store::redis::Entry;

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_else_is_taken_for_one() {
        let names = Names::new(["{1a}new".to_owned(), "{1a}old".to_owned()]).expect("names");
        let entry = Entry { names: &names, fence: 1_795_634_800_300, route: "pay \"now\"", tenant: "5e" };
        let line = Line::read(entry.line().as_bytes()).expect("a line");
        let expected = Line { names, fence: 1_795_634_800_300, route: "pay \"now\"".into(), tenant: "5e".into() };
        assert_eq!(line, expected);
        for wrong in [
            "x",
            "[]",
            r#"{"id":7,"fence":1,"route":"","tenant":""}"#,
            r#"{"id":"","fence":1,"route":"","tenant":""}"#,
            r#"{"id":"a","fence":-1,"route":"","tenant":""}"#,
            r#"{"id":"a","fence":1,"route":"","tenant":"","also":[1]}"#,
        ] {
            assert_eq!(Line::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
