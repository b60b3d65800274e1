//! What hosts must be told so that Prometheus sees labels: made of the table, and written into the shipped files by a test
//! (`integration/tests/labels.rs`). Nothing of it is in a module.

use super::Label;
use core::fmt::Write as _;

/// Upper bounds of histograms, in microseconds: from half a millisecond, which a healthy service in the same zone takes, to a minute.
pub const BUCKETS_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// A part of a metric's name that becomes a label: `label` in Prometheus; `pattern` has two groups, what is taken out of the name and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As Prometheus shows it.
    pub label: &'static str,
    /// A regular expression, the same for RE2, ECMAScript and PCRE.
    pub pattern: String,
}

// === impl Label ===

impl Label {
    /// As Prometheus shows it.
    pub const fn tag(self) -> &'static str {
        match self {
            // Every Prometheus adds an `instance` of its own: the address that it scraped.
            Self::Instance => "holdfast_instance",
            _ => self.as_str(),
        }
    }

    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Chain => "which filter chain: `downstream` (once per request) or `upstream` (once per attempt)",
            Self::Instance => "the common setting `instance`",
            Self::Key => "what the plugin keeps state per, `route` unless configured otherwise",
            Self::Route => "the route's name, or `<virtual host>--<cluster>`",
            Self::Protocol => "`rest`, `grpc`, `grpc_web`, `graphql`, `sse`, `websocket`",
            Self::Outcome => "how it ended, in the words of docs/protocol-health.md",
            Self::Cause => "why",
            Self::To => "the phase that the breaker went to",
            Self::Result => "how a probe ended",
            Self::Store => "the kind of store",
            Self::Plugin => "who answered in the service's place, or whose configuration it is",
            Self::Version => "the module's version",
            Self::Git => "the commit that the module was built from",
            Self::Config => "8 hex digits of the configuration's hash",
            Self::Capability => "what the host can do",
            Self::Tenant | Self::Client | Self::Tier => "a header's value, one of those allowed",
            Self::Canary => "a header's value, one of those allowed, or the cluster that was chosen",
            Self::Region => "where the host that answered stands, by its metadata",
        }
    }

    /// Behind a name of ours and up to the next label. Values hold no `;`.
    fn pattern(self) -> String {
        format!("holdfast_.*?(;{}=([^;]+))", self.as_str())
    }
}

/// Envoy's `stats_tags`, in order.
pub fn stats_tags() -> Vec<Rule> {
    let cluster = Rule { label: "holdfast_cluster", pattern: r"^(cluster\.(.+?)\.)wasmcustom\.holdfast_".to_owned() };
    let labels = Label::ALL.map(|label| Rule { label: label.tag(), pattern: label.pattern() });
    [cluster].into_iter().chain(labels).collect()
}

/// Kong's `metrics.label_patterns`, in order. Kong cuts a name at its first label, so labels are a suffix.
pub fn label_patterns() -> Vec<Rule> {
    Label::ALL.map(|label| Rule { label: label.tag(), pattern: format!("(;{}=([^;]+))", label.as_str()) }).to_vec()
}

/// The block `stats_config` of an Envoy bootstrap, as YAML.
pub fn stats_config() -> String {
    let mut out = String::from(
        "stats_config:\n  stats_tags:\n  # Envoy 1.36 puts the cluster's name before the metrics of an upstream chain; later ones don't.\n",
    );
    for Rule { label, pattern } in stats_tags() {
        let _ = writeln!(out, "  - {{tag_name: {label}, regex: '{pattern}'}}");
    }
    let buckets = BUCKETS_US.map(|bound| bound.to_string()).join(", ");
    out.push_str(
        "  # Microseconds. Without it the buckets are Envoy's own, which are made for milliseconds.\n  histogram_bucket_settings:\n",
    );
    let _ = writeln!(out, "  - {{match: {{safe_regex: {{regex: '{HISTOGRAMS}'}}}}, buckets: [{buckets}]}}");
    out
}

/// Histograms of ours, by their whole name as it was before labels were taken out.
pub const HISTOGRAMS: &str = ".*holdfast_[a-z_]+_us;.*";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_label_has_one_rule_and_a_name_of_its_own() {
        let words: BTreeSet<_> = Label::ALL.map(Label::as_str).into_iter().collect();
        let tags: BTreeSet<_> = Label::ALL.map(Label::tag).into_iter().collect();
        assert_eq!((words.len(), tags.len()), (Label::ALL.len(), Label::ALL.len()));
        for label in Label::ALL {
            assert!(!label.meaning().is_empty());
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(label.as_str().bytes().chain(label.tag().bytes()).all(legal), "{label:?}");
        }
    }

    #[test]
    fn buckets_rise() {
        assert!(BUCKETS_US.is_sorted() && BUCKETS_US[0] == 500 && BUCKETS_US[15] == 60_000_000);
    }
}
