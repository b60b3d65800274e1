//! `home` and `mirror`: requests of other regions, and copies of requests.

use super::lists::NAME;
use super::store::{CLUSTER, is_cluster};
use crate::policy::{Home, HomeBy};
use sdk_shim::config::Reader;
use sdk_shim::json::Value;
use sdk_shim::key::is_header_name;

const MOST_HOMES: usize = 64;
const BY: &str = "\"tenant\" or {\"header\": \"...\"}";

/// Envoy appends this one to the host of what it mirrors.
const SHADOW: &str = "-shadow";

pub(super) fn mirror(read: &mut Reader<'_>) -> String {
    let allowed = "2 to 64 of a-z 0-9 . -, the first \"-\" or \".\"";
    read.text("host_suffix", SHADOW, allowed, is_suffix)
}

fn is_suffix(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    (2..=64).contains(&text.len()) && text.starts_with(['-', '.']) && text.bytes().all(legal)
}

pub(super) fn home(read: &mut Reader<'_>) -> Home {
    let home = Home { by: by(read), map: read.object("map", map).unwrap_or_default() };
    if home.map.is_empty() {
        read.fault("map", "nothing", "an object: value to store");
    }
    home
}

fn by(read: &mut Reader<'_>) -> HomeBy {
    match read.raw("by") {
        Some(value) if value.as_str() == Some("tenant") => HomeBy::Tenant,
        Some(Value::Object(_)) => HomeBy::Header(read.object("by", |read| header(read)).unwrap_or_default()),
        other => {
            let found = other.map_or_else(|| "nothing".to_owned(), sdk_shim::config::shown);
            read.fault("by", found, BY);
            HomeBy::Header(String::new())
        }
    }
}

fn header(read: &mut Reader<'_>) -> String {
    if !read.has("header") {
        read.fault("header", "nothing", NAME);
    }
    read.text("header", "", NAME, is_header_name)
}

fn map(read: &mut Reader<'_>) -> Vec<(String, String)> {
    let names = read.names();
    if names.len() > MOST_HOMES {
        read.fault("", format!("{} stores", names.len()), format!("at most {MOST_HOMES}"));
    }
    names.into_iter().map(|name| (name.to_owned(), store_of(read, name))).collect()
}

fn store_of(read: &mut Reader<'_>, name: &str) -> String {
    if !(1..=128).contains(&name.len()) {
        read.fault(name, format!("a value of {} bytes", name.len()), "values of 1 to 128 bytes");
    }
    read.text_of(name, CLUSTER, is_cluster)
}
