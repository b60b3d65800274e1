//! The index of what nobody knows the end of: for an operator to look at, and to settle with the service's own books.
//!
//! | key | what |
//! |---|---|
//! | `{holdfast:<namespace>}:uncertain` | a sorted set: one line per record, by Redis' time in milliseconds when it was last noted |
//! | `{holdfast:<namespace>}:uncertain:ids` | a hash: the line of each id, so that a record has one line |
//!
//! A line is JSON: `{"id":"{1a2b}0f…","fence":1795634800300,"route":"pay","tenant":"5e…"}`, and `"also":[…]` where the record may be under names
//! made from other secrets. `id` is the record's key: `HGETALL` of it shows what is there. So
//! `ZRANGE "{holdfast:}:uncertain" 0 -1 WITHSCORES` is a list to work with.
//!
//! The index is help, not truth: the record is. A line may be missing (Redis was full, the node died, the bound was reached and the oldest
//! went), and one may be left of a record that was completed since. Both keys are on one node of a cluster, mostly another one than
//! the record's, so this can't be part of the scripts that claim.

use super::{Call, Script, number};
use crate::store::Names;
use sdk_shim::json::Value;

const INDEX: Script = Script { text: include_str!("index.lua"), sha1: "67c16fb80e01ada3d98e280bb8f2b2bebd73f05c" };

const UNINDEX: Script = Script { text: include_str!("unindex.lua"), sha1: "82af9fef519cebdaaed452c89bbf070004dec0a8" };

/// Both scripts, for who wants to load or check them.
pub const SCRIPTS: [Script; 2] = [INDEX, UNINDEX];

/// The longest route that a line shows, in characters.
pub const MAX_ROUTE: usize = 200;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The record's names; the first one is the line's id.
    pub names: &'a Names,
    /// The fence of the run that nobody knows the end of.
    pub fence: u64,
    /// Where the request went; what is longer than [`MAX_ROUTE`] is cut.
    pub route: &'a str,
    /// Whose it is, as a hash; empty where there are no tenants.
    pub tenant: &'a str,
}

/// The key of the sorted set.
pub fn key(namespace: &str) -> String {
    format!("{{holdfast:{namespace}}}:uncertain")
}

// === impl Entry ===

impl Entry<'_> {
    /// The line, without white space, always in the same order.
    pub fn line(&self) -> String {
        let route: String = self.route.chars().take(MAX_ROUTE).collect();
        let (id, route, tenant) = (text(self.names.first.as_str()), text(route), text(self.tenant));
        let also: Vec<String> = self.names.others.iter().map(|name| text(name.as_str())).collect();
        let also = if also.is_empty() { String::new() } else { format!(r#","also":[{}]"#, also.join(",")) };
        format!(r#"{{"id":{id},"fence":{},"route":{route},"tenant":{tenant}{also}}}"#, self.fence)
    }
}

fn text(text: impl Into<String>) -> String {
    Value::String(text.into()).to_string()
}

// === impl Call ===

impl Call {
    /// Notes a record: its old line, under any of its names, goes. Of all lines at most `bound` (0 counts as 1) stay, the newest, each for `ttl`
    /// milliseconds. [`super::indexed`] reads the reply.
    pub fn index(namespace: &str, entry: &Entry<'_>, bound: u32, ttl: u64) -> Self {
        let limits = [number(bound.max(1).into()), number(ttl.clamp(1, MAX_TTL)), entry.line().into_bytes()];
        Self::of_index(INDEX, namespace, limits.into_iter().chain(ids(entry.names)).collect())
    }

    /// Takes a record's line away, for when it was completed late, or settled. [`super::indexed`] reads the reply.
    pub fn unindex(namespace: &str, names: &Names) -> Self {
        Self::of_index(UNINDEX, namespace, ids(names).collect())
    }

    fn of_index(script: Script, namespace: &str, arguments: Vec<Vec<u8>>) -> Self {
        let lines = key(namespace);
        let ids = format!("{lines}:ids");
        Self { script, keys: vec![lines, ids], arguments }
    }
}

/// A hundred years, which a double counts in milliseconds without gaps.
const MAX_TTL: u64 = 100 * 366 * 24 * 60 * 60 * 1000;

fn ids(names: &Names) -> impl Iterator<Item = Vec<u8>> {
    names.iter().map(|name| name.as_str().as_bytes().to_vec())
}
