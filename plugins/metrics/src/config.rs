//! JSON to [`Policy`], or every fault at once.

use crate::policy::{GraphQl, HeaderLabel, Policy};
use sdk_shim::common::{Chain, Common};
use sdk_shim::config::{Bounds, Faults, Reader};
use sdk_shim::json::Value;
use sdk_shim::key::{clean, is_header_name};
use sdk_shim::labels::Label;
use sdk_shim::overrides::Mode;

/// Labels that headers may fill. They are of the table, since the proxy must be told of each before it starts.
const OWN: [(&str, Label); 3] = [("tenant", Label::Tenant), ("client", Label::Client), ("tier", Label::Tier)];
/// Values of one label.
const MOST_VALUES: usize = 64;
/// Bytes of a value.
pub const MAX_VALUE: usize = 32;
const HEADER: &str = "a lower-case header name of at most 64 characters";
const VALUE: &str = "1 to 32 of A-Z a-z 0-9 _ . -, not beginning with _";

/// Reads a configuration.
///
/// ```
/// let policy = metrics::config::read(br#"{"labels": {"tenant": {"header": "x-tenant", "allow": ["acme"]}}}"#).unwrap();
/// assert_eq!((policy.labels.len(), policy.max_series), (1, 2_000));
/// let faults = metrics::config::read(br#"{"max_series": 0, "canary": {}}"#).unwrap_err();
/// assert_eq!(faults.len(), 2);
/// ```
pub fn read(bytes: &[u8]) -> Result<Policy, Faults> {
    read_and(bytes, |_| Faults::default())
}

/// Reads a configuration; what `check` finds wrong with it is told together with everything else.
pub fn read_and(bytes: &[u8], check: impl FnOnce(&Policy) -> Faults) -> Result<Policy, Faults> {
    sdk_shim::config::read_and(bytes, full, check)
}

fn full(read: &mut Reader<'_>) -> Policy {
    let common = Common::read(read);
    if matches!(common.mode, Mode::ForceOpen | Mode::ForceClosed) {
        let found = format!("\"{}\"", common.mode.as_str());
        read.fault("mode", found, "\"enforce\", \"dry_run\", \"disabled\": the others are the circuit breaker's");
    }
    check_chain(read, common.chain);
    let mut labels = read.object("labels", own_labels).unwrap_or_default();
    let (canary, canary_is_cluster) = read.object("canary", canary).unwrap_or((None, false));
    labels.extend(canary);
    Policy {
        region: read.object("region", |read| {
            if !read.has("metadata") {
                read.fault("metadata", "nothing", METADATA);
            }
            read.text("metadata", "", METADATA, |key| !key.is_empty() && key.len() <= 64)
        }),
        graphql: read.object("graphql", graphql).unwrap_or_else(|| Reader::defaults(graphql)),
        max_series: u32::try_from(read.integer("max_series", 2_000, Bounds::new(1, 100_000))).unwrap_or(2_000),
        labels,
        canary_is_cluster,
        common,
    }
}

const METADATA: &str = "a key of the upstream host's metadata under envoy.lb, 1 to 64 characters";

/// What only one of the entries can know is no field of the other.
fn check_chain(read: &mut Reader<'_>, chain: Chain) {
    let (fields, other): (&[&'static str], _) = match chain {
        Chain::Upstream => (&["labels", "canary"], "downstream"),
        Chain::Downstream => (&["region"], "upstream"),
    };
    for field in fields.iter().copied() {
        if read.raw(field).is_none_or(Value::is_null) {
            continue;
        }
        read.fault(
            field,
            format!("a field of the {other} entry"),
            format!("nothing here: it belongs to the entry with \"chain\": \"{other}\""),
        );
    }
}

fn own_labels(read: &mut Reader<'_>) -> Vec<HeaderLabel> {
    let mut labels = Vec::new();
    for (name, label) in OWN {
        if read.has(name) {
            labels.extend(read.object(name, |read| header_label(read, label)));
        }
    }
    for name in read.names() {
        if !OWN.iter().any(|(own, _)| *own == name) {
            read.fault(name, "a label that no proxy was told of", "one of tenant, client, tier");
        }
    }
    labels
}

fn header_label(read: &mut Reader<'_>, label: Label) -> HeaderLabel {
    if !read.has("header") {
        read.fault("header", "nothing", HEADER);
    }
    if !read.has("allow") {
        read.fault("allow", "nothing", format!("a list of the values that are shown; each {VALUE}"));
    }
    let is_value =
        |text: &str| text.len() <= MAX_VALUE && clean(text.as_bytes(), MAX_VALUE) == text && !text.starts_with('_');
    let value = |item: &Value| item.as_str().filter(|text| is_value(text)).map(str::to_owned);
    let allow = read.list("allow", Vec::new(), VALUE, value);
    if allow.len() > MOST_VALUES {
        read.fault("allow", format!("{} values", allow.len()), format!("at most {MOST_VALUES}"));
    }
    HeaderLabel { label, header: read.text("header", "", HEADER, is_header_name), allow }
}

fn canary(read: &mut Reader<'_>) -> (Option<HeaderLabel>, bool) {
    let by_header = read.has("header") || read.has("allow");
    if by_header == read.has("cluster") {
        read.fault(
            "",
            "not exactly one of header, cluster",
            "{\"header\": \"...\", \"allow\": [...]} or {\"cluster\": true}",
        );
    }
    let label = by_header.then(|| header_label(read, Label::Canary));
    let by_cluster = read.bool("cluster", false);
    if read.has("cluster") && !by_cluster {
        read.fault("cluster", "false", "true; without a canary: \"canary\": null");
    }
    if !by_header {
        let _ = (read.raw("header"), read.raw("allow"));
    }
    (label, by_cluster)
}

fn graphql(read: &mut Reader<'_>) -> GraphQl {
    let allowed = "a path that begins with / and has no query";
    let is_path = |text: &str| text.starts_with('/') && text.len() <= 256 && !text.contains(['?', '#']);
    let path = |item: &Value| item.as_str().filter(|text| is_path(text)).map(str::to_owned);
    GraphQl { paths: read.list("paths", vec!["/graphql".to_owned()], allowed, path) }
}
