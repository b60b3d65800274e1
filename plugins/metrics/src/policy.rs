//! What is configured: validated once, `Eq`, without floats. `config.rs` makes it.

use sdk_shim::common::Common;
use sdk_shim::config::Faults;
use sdk_shim::flavor::Capabilities;
use sdk_shim::labels::Label;

/// A label whose value is a request header's, if it is one of a few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderLabel {
    /// The label.
    pub label: Label,
    /// The header.
    pub header: String,
    /// Values that are shown; any other is `_other`.
    pub allow: Vec<String>,
}

/// GraphQL over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphQl {
    /// Where it is spoken: whole paths, without queries.
    pub paths: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The settings of every plugin.
    pub common: Common,
    /// Labels by request headers, in order; a canary that a header names is one of them.
    pub labels: Vec<HeaderLabel>,
    /// The cluster that was chosen is the label `canary`.
    pub canary_is_cluster: bool,
    /// The key in the upstream host's metadata (`envoy.lb`) whose value is the label `region`.
    pub region: Option<String>,
    /// GraphQL.
    pub graphql: GraphQl,
    /// Series of this VM, at most.
    pub max_series: u32,
}

// === impl GraphQl ===

impl GraphQl {
    /// Whether GraphQL is spoken on this path (without its query).
    pub fn covers(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|own| own.as_bytes() == path)
    }
}

// === impl Policy ===

impl Policy {
    /// What this host lacks for this policy.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        let mut faults = self.common.check_host(caps);
        if self.canary_is_cluster && !caps.named_clusters {
            let allowed = "a header: this host lacks the capability named_clusters";
            faults.push("$.canary.cluster", "true", allowed);
        }
        faults
    }
}
