//! The one table of labels.
//!
//! A host's metric has a name and nothing else, so labels are a suffix of it (`;route=checkout;outcome=ok`), and whoever wants them in Prometheus needs a
//! rule for each: Envoy's `stats_tags`, Kong's `label_patterns`. A label without its rule would end up in the metric's name. Therefore
//! [`Meter`](crate::meter::Meter) takes a [`Label`] and nothing else, and [`rules`] makes both hosts' rules of the same table.

#[cfg(not(target_arch = "wasm32"))]
pub mod rules;

/// A label that a metric of ours may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// Which filter chain: `downstream` or `upstream`.
    Chain,
    /// The common setting `instance`.
    Instance,
    /// What a plugin keeps state per.
    Key,
    /// The route's name, or virtual host and cluster.
    Route,
    /// What a request is spoken in.
    Protocol,
    /// How a call ended.
    Outcome,
    /// Why.
    Cause,
    /// The phase that a breaker went to.
    To,
    /// How a probe ended.
    Result,
    /// Which store idempotency records are in.
    Store,
    /// Who answered in the service's place, or whose configuration it is.
    Plugin,
    /// A module's version.
    Version,
    /// The commit that a module was built from.
    Git,
    /// The hash of a configuration.
    Config,
    /// What a host can do.
    Capability,
    /// Who asks, by a header.
    Tenant,
    /// The program that asks, by a header.
    Client,
    /// What was promised to those who ask, by a header.
    Tier,
    /// Which version of the service answered.
    Canary,
    /// Where the host that answered stands.
    Region,
}

// === impl Label ===

impl Label {
    /// Each of them, in the order in which rules are listed.
    pub const ALL: [Self; 20] = [
        Self::Chain,
        Self::Instance,
        Self::Key,
        Self::Route,
        Self::Protocol,
        Self::Outcome,
        Self::Cause,
        Self::To,
        Self::Result,
        Self::Store,
        Self::Plugin,
        Self::Version,
        Self::Git,
        Self::Config,
        Self::Capability,
        Self::Tenant,
        Self::Client,
        Self::Tier,
        Self::Canary,
        Self::Region,
    ];

    /// As names of metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Instance => "instance",
            Self::Key => "key",
            Self::Route => "route",
            Self::Protocol => "protocol",
            Self::Outcome => "outcome",
            Self::Cause => "cause",
            Self::To => "to",
            Self::Result => "result",
            Self::Store => "store",
            Self::Plugin => "plugin",
            Self::Version => "version",
            Self::Git => "git",
            Self::Config => "config",
            Self::Capability => "capability",
            Self::Tenant => "tenant",
            Self::Client => "client",
            Self::Tier => "tier",
            Self::Canary => "canary",
            Self::Region => "region",
        }
    }
}
