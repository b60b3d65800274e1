//! Who runs here: gauges that say which version and which configuration each proxy has.
//!
//! A node that missed a push, or runs last month's module, works well enough to go unseen until the day on which it matters. So every module shows
//! `holdfast_build_info` and, for each of its configurations, `holdfast_config_info` with a hash; an alert counts the hashes of one plugin.
//!
//! The hash is of what a configuration says, not of how it is written: the order of fields, white space, `20` or `20.0`, JSON or a protobuf Struct (whose
//! fields come in any order) make no difference.

use crate::cell;
use crate::claim::Holder;
use crate::config::parse;
use crate::directory;
use crate::host::{Host, MetricKind};
use crate::json::Value;
use crate::key::digest;

/// The commit that a module was built from; `cargo xtask build` says it.
const GIT: &str = match option_env!("HOLDFAST_GIT") {
    Some(git) => git,
    None => "unknown",
};

/// Shows the module and a configuration that `plugin` has taken. The one before it is shown as 0: whoever is configured first after a push says so.
pub fn show<H: Host>(host: &H, plugin: &str, configuration: &[u8]) {
    gauge(host, &["holdfast_build_info;version=", env!("CARGO_PKG_VERSION"), ";git=", GIT], 1);
    let Ok(value) = parse(configuration) else { return };
    let (chain, instance) = (setting(&value, "chain", "downstream"), setting(&value, "instance", "default"));
    let now = Holder(hash_of(&value));
    let of = ["holdfast_config_info;chain=", chain, ";instance=", instance, ";plugin=", plugin, ";config="].concat();
    let who = [plugin, ";", chain, ";", instance].concat();
    directory::enter(host, &who, "");
    let cell = config_cell(&who);
    // Where it can't be told which one was before, the gauge of that stays: an alert that is wrong is seen, one that is missing isn't. Whoever loses the write
    // lost it to another worker, which has the same configuration or will come back with it.
    let seen = cell::read::<H, Holder>(host, &cell).ok().filter(|seen| seen.record.as_ref() != Some(&now));
    if let Some(seen) = seen
        && cell::write(host, &cell, &now, seen.expect).is_ok_and(|won| won)
        && let Some(before) = seen.record
    {
        gauge(host, &[&of, &before.0], 0);
    }
    gauge(host, &[&of, &now.0], 1);
}

/// The cell with the hash of the configuration that `circuit-breaker;downstream;default` has taken last.
pub(crate) fn config_cell(who: &str) -> String {
    ["holdfast;config;", who].concat()
}

/// 8 hex digits for what a configuration says; `None` where it is none.
pub fn config_hash(configuration: &[u8]) -> Option<String> {
    parse(configuration).ok().map(|value| hash_of(&value))
}

fn hash_of(value: &Value) -> String {
    let mut bytes = Vec::new();
    canonical(value, &mut bytes);
    digest(&bytes)
}

#[inline(never)]
fn gauge<H: Host>(host: &H, name: &[&str], value: u64) {
    if let Ok(id) = host.define_metric(MetricKind::Gauge, &name.concat()) {
        host.record(id, value);
    }
}

/// A setting that was checked when the configuration was taken.
fn setting<'a>(value: &'a Value, name: &str, default: &'a str) -> &'a str {
    match value {
        Value::Object(fields) => fields.get(name).and_then(Value::as_str).unwrap_or(default),
        _ => default,
    }
}

/// Each value as what it means, behind a byte that says what it is. Objects have their fields in order already.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'0'),
        Value::Bool(is) => out.push(if *is { b'+' } else { b'-' }),
        // Envoy's YAML reader makes texts of all decimals inside a protobuf Struct.
        Value::String(text) if is_decimal(text) => number(&Value::Number(text.clone()), out),
        Value::String(text) => string(text, out),
        Value::Number(_) => number(value, out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (name, value) in fields {
                string(name, out);
                canonical(value, out);
            }
            out.push(b'}');
        }
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn is_decimal(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The same digits and the same power of ten make the same double.
fn number(value: &Value, out: &mut Vec<u8>) {
    out.push(b'#');
    out.extend_from_slice(&value.as_f64().unwrap_or_default().to_bits().to_le_bytes());
}
