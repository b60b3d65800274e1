//! The index in a real Redis: what an operator lists when nobody knows what came of a request.
#![allow(clippy::disallowed_methods, reason = "real stores live in real time")]

mod store;

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use idempotency::store::redis::{Call, Entry, index, indexed};
use idempotency::store::resp::{self, Reply};
use idempotency::store::{Failure, Names};
use integration::TestResult;
use integration::store::{Redis, Webdis};
use serde_json::Value;
use store::redis::{Wire, text};
use store::{LONG, name, redis};

const NAMESPACE: &str = "shop";
const KEY: &str = "{holdfast:shop}:uncertain";
const IDS: &str = "{holdfast:shop}:uncertain:ids";

fn ask(wire: &dyn Wire, call: &Call) -> TestResult<bool> {
    let said = match redis::reply(wire, call, false, indexed)? {
        Err(Failure::UnknownScript) => redis::reply(wire, call, true, indexed)?,
        said => said,
    };
    said.map_err(|failure| anyhow!("{failure:?}"))
}

fn note(wire: &dyn Wire, names: &Names, fence: u64, bound: u32, ttl: u64) -> TestResult<bool> {
    let entry = Entry { names, fence, route: "pay \"now\"", tenant: "5e" };
    ask(wire, &Call::index(NAMESPACE, &entry, bound, ttl))
}

/// As a tool lists them: the oldest first.
fn lines(store: &Redis) -> TestResult<Vec<(Value, u64)>> {
    let body = store.call(&integration::store::command(&["ZRANGE", KEY, "0", "-1", "WITHSCORES"]))?;
    let Ok(Reply::Array(parts)) = resp::replies(&body, 1).remove(0) else { bail!("no list") };
    let pair = |pair: &[Reply<'_>]| match pair {
        [Reply::Bulk(line), Reply::Bulk(at)] => Ok((serde_json::from_slice(line)?, std::str::from_utf8(at)?.parse()?)),
        other => bail!("{other:?}"),
    };
    parts.chunks(2).map(pair).collect()
}

fn ids(store: &Redis) -> TestResult<Vec<String>> {
    let id = |(line, _): &(Value, u64)| line["id"].as_str().map(str::to_owned).context("no id");
    let ids: Vec<_> = lines(store)?.iter().map(id).collect::<TestResult<_>>()?;
    // A line for each id, and none more.
    assert_eq!(text(store, &["HLEN", IDS])?, ids.len().to_string());
    Ok(ids)
}

fn names(id: &str) -> TestResult<Names> {
    Ok(Names::from(name(id)?))
}

#[test]
fn an_operator_lists_what_nobody_knows_the_end_of() -> TestResult {
    let store = Redis::start()?;
    assert_eq!(index::key(NAMESPACE), KEY);
    assert!(note(&store, &names("a")?, 7, 10, LONG)?);
    sleep(Duration::from_millis(2));
    assert!(note(&store, &names("b")?, 8, 10, LONG)?);
    let [(first, noted), (second, later)] = lines(&store)?.try_into().map_err(|lines| anyhow!("{lines:?}"))?;
    assert_eq!(first, serde_json::json!({"id": "a", "fence": 7, "route": "pay \"now\"", "tenant": "5e"}));
    assert_eq!(second["id"], "b");
    assert!(noted > 1_700_000_000_000 && noted < later, "{noted}, {later}");
    for key in [KEY, IDS] {
        let left: u64 = text(&store, &["PTTL", key])?.parse()?;
        assert!((LONG - 5000..=LONG).contains(&left), "{key}: {left} ms");
    }
    Ok(())
}

#[test]
fn a_record_has_one_line_whatever_it_is_called() -> TestResult {
    let store = Redis::start()?;
    let both = |first: &str, other: &str| Names::new([first.to_owned(), other.to_owned()]).context("names");
    assert!(note(&store, &both("old", "new")?, 7, 10, LONG)?);
    sleep(Duration::from_millis(2));
    assert!(note(&store, &names("a")?, 8, 10, LONG)?);
    // The same run, and a later one: the newest line counts, also when the secrets were swapped in between.
    for (first, other, fence) in [("old", "new", 7), ("old", "new", 9), ("new", "old", 9), ("new", "old", 10)] {
        sleep(Duration::from_millis(2));
        assert!(!note(&store, &both(first, other)?, fence, 10, LONG)?);
        assert_eq!(ids(&store)?, ["a", first]);
        assert_eq!(lines(&store)?[1].0["fence"], fence);
    }
    assert_eq!(lines(&store)?[1].0["also"], serde_json::json!(["old"]));
    Ok(())
}

#[test]
fn what_was_settled_is_taken_away() -> TestResult {
    let store = Redis::start()?;
    note(&store, &names("a")?, 7, 10, LONG)?;
    note(&store, &names("b")?, 8, 10, LONG)?;
    assert!(ask(&store, &Call::unindex(NAMESPACE, &names("a")?))?);
    assert!(!ask(&store, &Call::unindex(NAMESPACE, &names("a")?))?);
    assert_eq!(ids(&store)?, ["b"]);
    // Under any of its names, and from this namespace alone.
    let either = Names::new(["c".to_owned(), "b".to_owned()]).context("names")?;
    assert!(!ask(&store, &Call::unindex("other", &either))?);
    assert!(ask(&store, &Call::unindex(NAMESPACE, &either))?);
    assert_eq!(text(&store, &["DBSIZE"])?, "0");
    Ok(())
}

#[test]
fn the_newest_stay_when_there_is_no_room() -> TestResult {
    let store = Redis::start()?;
    for id in ["a", "b", "c", "d"] {
        assert!(note(&store, &names(id)?, 7, 3, LONG)?);
        sleep(Duration::from_millis(2));
    }
    assert_eq!(ids(&store)?, ["b", "c", "d"]);
    // Noted again, it is the newest one.
    note(&store, &names("b")?, 8, 3, LONG)?;
    sleep(Duration::from_millis(2));
    note(&store, &names("e")?, 7, 3, LONG)?;
    assert_eq!(ids(&store)?, ["d", "b", "e"]);
    // A smaller bound, and none at all, which is one.
    note(&store, &names("e")?, 8, 0, LONG)?;
    assert_eq!(ids(&store)?, ["e"]);
    // What somebody else put there doesn't wedge it.
    for rubbish in ["x", "[]", "{\"id\":7}"] {
        text(&store, &["ZADD", KEY, "1", rubbish])?;
    }
    note(&store, &names("f")?, 8, 1, LONG)?;
    assert_eq!(ids(&store)?, ["f"]);
    Ok(())
}

#[test]
fn a_line_lasts_as_long_as_its_record_may() -> TestResult {
    let store = Redis::start()?;
    note(&store, &names("a")?, 7, 10, LONG)?;
    sleep(Duration::from_millis(1050));
    note(&store, &names("b")?, 7, 10, 1000)?;
    assert_eq!(ids(&store)?, ["b"]);
    integration::eventually("all of it is gone", Duration::from_secs(5), || {
        TestResult::Ok(text(&store, &["DBSIZE"])? == "0")
    })?;
    // No time and all of it are times that Redis can keep.
    note(&store, &names("a")?, 7, 10, 0)?;
    note(&store, &names("a")?, 7, 10, u64::MAX)?;
    Ok(())
}

#[test]
fn webdis_notes_the_same() -> TestResult {
    let store = Redis::start()?;
    let webdis = Webdis::start(store.port(), 1)?;
    assert!(note(&webdis, &names("a/b.c")?, 1_795_634_800_300, 10, LONG)?);
    assert_eq!(ids(&store)?, ["a/b.c"]);
    assert_eq!(lines(&store)?[0].0["fence"], 1_795_634_800_300_u64);
    assert!(ask(&webdis, &Call::unindex(NAMESPACE, &names("a/b.c")?))?);
    Ok(())
}
