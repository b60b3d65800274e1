//! Lists: of methods, paths, headers, statuses and JSON Pointers.

use crate::canonical::Pointers;
use crate::fingerprint::Selection;
use crate::policy::StatusSet;
use crate::stored::may_be_replayed;
use sdk_shim::answers::statuses;
use sdk_shim::config::{Reader, shown};
use sdk_shim::json::Value;
use sdk_shim::key::is_header_name;

/// What a header's name must be.
pub(super) const NAME: &str = "a lower-case header name of at most 64 characters";

/// Items that a list may have: each costs a look into every request.
const MOST: usize = 64;

/// RFC 9110, 9.2.1, and CONNECT, which has no path.
const WITHOUT_EFFECT: [&str; 5] = ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"];

/// Statuses of an answer by which a service says that it did nothing: before it knows the client (401, 403), has the request (408), or will have it now
/// (409 of another kind, 425, 429).
const RELEASED: [u16; 6] = [401, 403, 408, 409, 425, 429];

const REPLAYED: [&str; 5] = ["content-type", "content-language", "content-encoding", "location", "etag"];

/// A list of `least` to [`MOST`] texts for which `check` holds, each once.
fn texts(
    read: &mut Reader<'_>,
    name: &'static str,
    (default, least): (&[&str], usize),
    allowed: &str,
    check: impl Fn(&str) -> bool,
) -> Vec<String> {
    let default: Vec<String> = default.iter().map(|&text| text.to_owned()).collect();
    let given = read.raw(name).and_then(Value::as_array).map_or(default.len(), Vec::len);
    if given < least || given > MOST {
        read.fault(name, format!("{given} items"), format!("{least} to {MOST} of them"));
    }
    let list = read.list(name, default, allowed, |item| item.as_str().filter(|text| check(text)).map(str::to_owned));
    let twice = list.iter().enumerate().find(|(n, text)| list.iter().take(*n).any(|earlier| earlier == *text));
    if let Some((_, text)) = twice {
        read.fault(name, format!("{} twice", shown(&Value::from(text.as_str()))), "each once");
    }
    list
}

/// None at all is no way to switch the plugin off: `mode` says so better.
pub(super) fn methods(read: &mut Reader<'_>) -> Vec<String> {
    let allowed = "a method in upper case, not one that changes nothing (GET, HEAD, OPTIONS, TRACE) nor CONNECT";
    texts(read, "methods", (&["POST", "PATCH"], 1), allowed, |method| {
        let legal = method.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_".contains(&b));
        legal && (1..=32).contains(&method.len()) && !WITHOUT_EFFECT.contains(&method)
    })
}

pub(super) fn paths(read: &mut Reader<'_>) -> Vec<String> {
    let allowed = "a path of at most 1024 visible ASCII characters that begins with \"/\", without \"?\" and \"#\"";
    texts(read, "paths", (&["/"], 1), allowed, |path| {
        let legal = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
        legal && path.starts_with('/') && path.len() <= 1_024
    })
}

/// Headers that say whose a request is; `:authority` keeps virtual hosts apart.
pub(super) fn tenant(read: &mut Reader<'_>) -> Vec<String> {
    let allowed = "a lower-case header name of at most 64 characters, or \":authority\"";
    texts(read, "tenant", (&[], 0), allowed, |name| is_header_name(name) || name == ":authority")
}

/// Headers that must be the same when a key comes again: what is made anew for each try can't be.
fn compared(read: &mut Reader<'_>) -> Vec<String> {
    let allowed = "a lower-case header name, not one that is another one for each try (x-request-id, a trace, a date)";
    texts(read, "headers", (&[], 0), allowed, |name| is_header_name(name) && may_be_replayed(name))
}

pub(super) fn replay_headers(read: &mut Reader<'_>) -> Vec<String> {
    let allowed =
        "a lower-case header name, not one of the connection, of cookies, of the answer's time or of its trace";
    texts(read, "replay_headers", (&REPLAYED, 0), allowed, |name| is_header_name(name) && may_be_replayed(name))
}

pub(super) fn release_on(read: &mut Reader<'_>) -> StatusSet {
    let allowed = "a status from 400 to 599 such as 409, \"4xx\" or \"500-504\": who answers a lower one did something";
    let default = RELEASED.map(|status| status..=status).to_vec();
    let list = read.list("release_on", default, allowed, |item| statuses(item).filter(|range| *range.start() >= 400));
    if list.len() > MOST {
        read.fault("release_on", format!("{} items", list.len()), format!("at most {MOST}"));
    }
    list.into_iter().collect()
}

/// `fingerprint`.
pub(super) fn selection(read: &mut Reader<'_>) -> Selection {
    let pointer = "a JSON Pointer (RFC 6901): \"\" for the whole body, \"/amount\", \"/items/0\"";
    let chosen = texts(read, "json", (&[""], 0), pointer, |text| Pointers::new(vec![text.to_owned()], vec![]).is_ok());
    let inner = "a JSON Pointer (RFC 6901), not the whole body";
    let excluded = texts(read, "exclude", (&[], 0), inner, |text| Pointers::new(vec![], vec![text.to_owned()]).is_ok());
    let parameter =
        "a query parameter as it is on the wire, 1 to 128 visible ASCII characters without \"&\", \"=\", \"#\"";
    let query = texts(read, "query", (&[], 0), parameter, |name| {
        (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && !b"&=#".contains(&b))
    });
    // Each was good for itself, and so are all.
    Selection::new(Pointers::new(chosen, excluded).unwrap_or_default(), compared(read), query)
}
