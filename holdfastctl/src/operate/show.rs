//! Answers for people.

use serde_json::Value;
use std::fmt::Write as _;

/// Characters of a bar.
const BAR: u64 = 20;

/// A node, with its plugins and their keys. `before` is what it said the last time: bars then show what happened since.
pub(crate) fn node(url: &str, answer: &Result<Value, String>, before: Option<&Value>) -> String {
    let mut page = String::new();
    match answer {
        Err(why) => _ = writeln!(page, "{url}  {why}\n"),
        Ok(state) => {
            _ = writeln!(page, "{url}  holdfast {}", text(&state["version"]));
            let now = state["now_ms"].as_u64().unwrap_or_default();
            for plugin in list(&state["plugins"]) {
                self::plugin(&mut page, plugin, now, before);
            }
            page.push('\n');
        }
    }
    page
}

fn plugin(page: &mut String, plugin: &Value, now: u64, before: Option<&Value>) {
    let name = ["plugin", "chain", "instance"].map(|part| text(&plugin[part]));
    _ = writeln!(
        page,
        "  {} {}/{}  config {}",
        name[0],
        name[1],
        name[2],
        plugin["config"].as_str().unwrap_or("unknown")
    );
    if let Some(error) = plugin["error"].as_str() {
        _ = writeln!(page, "    {error}");
    }
    let keys = list(&plugin["keys"]);
    let width = keys.iter().map(|key| text(&key["key"]).len()).max().unwrap_or_default();
    for key in keys {
        let same = |other: &&Value| ["plugin", "chain", "instance"].iter().all(|part| other[*part] == plugin[*part]);
        let former = before.and_then(|state| list(&state["plugins"]).iter().find(same));
        let former = former.and_then(|plugin| list(&plugin["keys"]).iter().find(|other| other["key"] == key["key"]));
        _ = writeln!(page, "    {:width$}  {}", text(&key["key"]), self::key(key, now, former));
    }
    let hidden =
        plugin["keys_total"].as_u64().unwrap_or_default().saturating_sub(u64::try_from(keys.len()).unwrap_or(u64::MAX));
    if hidden > 0 {
        _ = writeln!(page, "    and {hidden} more: --limit shows them");
    }
}

fn key(key: &Value, now: u64, before: Option<&Value>) -> String {
    if let Some(error) = key["error"].as_str() {
        return error.to_owned();
    }
    let mut line = if key["state"].is_string() { breaker(key, now, before) } else { budget(key) };
    if let Some(mode) = key["override"]["mode"].as_str() {
        _ = write!(line, "  {mode} by order for another {}", left(&key["override"]["until_ms"], now));
    }
    line
}

fn breaker(key: &Value, now: u64, before: Option<&Value>) -> String {
    let count = |what: &str| {
        let total = |key: &Value| key["calls_total"][what].as_u64().unwrap_or_default();
        // Counters start anew when a proxy does.
        before.map_or(total(key), |before| total(key).checked_sub(total(before)).unwrap_or(total(key)))
    };
    let (good, bad) = (count("success"), count("failure"));
    let mut line = format!("{:10} {} {good} ok, {bad} failed", text(&key["state"]), bar(bad, good + bad));
    if key["until_ms"].is_u64() {
        _ = write!(line, "  probes in {}", left(&key["until_ms"], now));
    }
    let opens = key["opens"].as_u64().unwrap_or_default();
    if opens > 0 {
        _ = write!(line, "  opened {opens} times in a row");
    }
    line
}

fn budget(key: &Value) -> String {
    let (requests, retries) =
        (key["requests"].as_u64().unwrap_or_default(), key["retries"].as_u64().unwrap_or_default());
    let frozen = if key["frozen"] == true { "  frozen: counters were reset" } else { "" };
    format!("{:10} {} {retries} retries of {requests} requests{frozen}", "", bar(retries, requests))
}

/// How much of the whole.
fn bar(part: u64, whole: u64) -> String {
    let full = (part.saturating_mul(BAR) + whole / 2).checked_div(whole).unwrap_or_default().min(BAR);
    (0..BAR).map(|at| if at < full { '#' } else { '.' }).collect()
}

fn left(until: &Value, now: u64) -> String {
    let left = until.as_u64().unwrap_or_default().saturating_sub(now);
    if left < 60_000 {
        format!("{}.{} s", left / 1_000, left % 1_000 / 100)
    } else {
        format!("{} min", left.div_ceil(60_000))
    }
}

/// The stores of a node, as its admin tells.
pub(crate) fn stores(url: &str, stores: &Result<Value, String>) -> String {
    let stores = match stores {
        Err(why) => return format!("{url}  {why}\n"),
        Ok(stores) => list(stores),
    };
    let none = stores.is_empty().then(|| format!("{url}  no store was asked yet\n"));
    let lines = stores.iter().map(|store| {
        let count = |what: &str| store[what].as_u64().unwrap_or_default();
        let failures: Vec<String> = store["failures"]
            .as_object()
            .map_or_else(Vec::new, |causes| causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect());
        let failed =
            if failures.is_empty() { "none failed".to_owned() } else { format!("failed: {}", failures.join(", ")) };
        let waiting = count("errands").saturating_sub(count("errands_ended"));
        let of = format!(
            "{url}  idempotency {}/{}  store {}",
            text(&store["chain"]),
            text(&store["instance"]),
            text(&store["store"])
        );
        let lost = count("errands_dropped");
        let evicts = if count("may_evict") > 0 { "  IT MAY EVICT RECORDS" } else { "" };
        format!("{of}  {} calls, {failed}  {waiting} errands wait, {lost} were dropped{evicts}\n", count("calls"))
    });
    lines.chain(none).collect()
}

/// What came of an order.
pub(crate) fn order(answer: &Value) -> String {
    let keys: Vec<&str> = list(&answer["keys"]).iter().map(text).collect();
    let total = answer["keys_total"].as_u64().unwrap_or_default();
    let others = if total > u64::try_from(keys.len()).unwrap_or_default() { ", and more" } else { "" };
    let of = format!(
        "{} {}/{}: {}{others}",
        text(&answer["plugin"]),
        text(&answer["chain"]),
        text(&answer["instance"]),
        keys.join(", ")
    );
    match answer["mode"].as_str() {
        Some(mode) => format!("{mode} for {of}"),
        None => format!("as configured: {of}"),
    }
}

/// Why there is nothing to show.
pub(crate) fn problem(status: u16, body: &Value) -> String {
    let mut line = body["title"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
    for (name, says) in [("faults", ""), ("keys", "there are: "), ("instances", "there are: ")] {
        let said: Vec<&str> = list(&body[name]).iter().map(text).collect();
        if !said.is_empty() {
            _ = write!(line, " {says}{}", said.join("; "));
        }
    }
    if let Some(error) = body["error"].as_str() {
        _ = write!(line, " {error}");
    }
    line
}

/// What answered may be anything that listens there: it doesn't move the cursor.
pub(crate) fn printable(page: &str) -> String {
    page.chars().map(|one| if one.is_control() && one != '\n' { '\u{fffd}' } else { one }).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(state: &str, bad: u64) -> Value {
        json!({"version": "0.1.0", "now_ms": 1_000, "plugins": [
            {"plugin": "circuit-breaker", "chain": "downstream", "instance": "default", "config": "12345678", "keys_total": 2, "keys": [
                {"key": "orders", "state": state, "opens": 1, "until_ms": 4_200, "override": {"mode": "force_open", "until_ms": 601_000},
                    "calls_total": {"success": 60, "failure": bad}}]},
            {"plugin": "metrics", "chain": "downstream", "instance": "default", "config": null}]})
    }

    #[test]
    fn an_open_breaker_is_a_line_that_says_all() {
        let page = node("http://gw-1:9902", &Ok(state("open", 20)), None);
        assert_eq!(
            page,
            "http://gw-1:9902  holdfast 0.1.0\n  circuit-breaker downstream/default  config 12345678\n    orders  open       #####............... 60 ok, 20 failed  \
             probes in 3.2 s  opened 1 times in a row  force_open by order for another 10 min\n    and 1 more: --limit shows them\n  \
             metrics downstream/default  config unknown\n\n"
        );
    }

    #[test]
    fn a_second_look_shows_what_happened_since() {
        let page = node("n", &Ok(state("open", 30)), Some(&state("closed", 20)));
        assert!(page.contains("#################### 0 ok, 10 failed"), "{page}");
        // Restarted in between.
        assert!(node("n", &Ok(state("open", 5)), Some(&state("closed", 20))).contains("5 failed"));
    }

    #[test]
    fn a_bar_is_full_at_the_whole_and_empty_of_nothing() {
        assert_eq!((bar(0, 0), bar(5, 5)), (".".repeat(20), "#".repeat(20)));
        assert_eq!(bar(u64::MAX, 1), "#".repeat(20));
    }

    #[test]
    fn a_store_is_a_line() {
        let store = json!({"chain": "downstream", "instance": "default", "store": "redis", "calls": 7, "failures": {"timeout": 2},
            "errands": 5, "errands_ended": 4, "may_evict": 1});
        assert_eq!(
            stores("http://gw-1:9901", &Ok(json!([store]))),
            "http://gw-1:9901  idempotency downstream/default  store redis  7 calls, failed: timeout 2  1 errands wait, 0 were dropped  IT MAY EVICT RECORDS\n"
        );
        assert_eq!(stores("n", &Ok(json!([]))), "n  no store was asked yet\n");
    }

    #[test]
    fn a_problem_says_what_there_is() {
        let body = json!({"title": "It has no such key.", "keys": ["orders", "pay"]});
        assert_eq!(problem(404, &body), "It has no such key. there are: orders; pay");
        assert_eq!(problem(502, &Value::Null), "status 502");
    }

    #[test]
    fn what_a_node_says_does_not_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\n");
    }
}
