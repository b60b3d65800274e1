//! The metrics plugin's settings.

use crate::common::Common;
use crate::texts::{GraphQlPath, HeaderName, LabelValue, MetadataKey};
use crate::values::Whole;
use schemars::{JsonSchema, Schema};
use serde_json::json;

/// Counts requests and attempts per route, protocol and outcome.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Metrics {
    /// The settings of every plugin.
    #[schemars(flatten)]
    pub common: Common,
    /// Labels that headers fill, in the downstream chain.
    #[schemars(extend("default" = null))]
    pub labels: Option<Labels>,
    /// What says which version of a service answered, in the downstream chain.
    #[schemars(extend("default" = null))]
    pub canary: Option<Canary>,
    /// What says where the host stands that answered, in the upstream chain.
    #[schemars(extend("default" = null))]
    pub region: Option<Region>,
    /// Where GraphQL is spoken.
    #[schemars(extend("default" = null))]
    pub graphql: Option<GraphQl>,
    /// Time series that there may be; who comes later is counted as one.
    #[schemars(extend("default" = 2_000))]
    pub max_series: Whole<1, 100_000>,
}

/// Labels that headers fill.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Labels {
    /// Who asks.
    pub tenant: Option<HeaderLabel>,
    /// The program that asks.
    pub client: Option<HeaderLabel>,
    /// What was promised to those who ask.
    pub tier: Option<HeaderLabel>,
}

/// A header, and which of its values become a label.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HeaderLabel {
    /// The header.
    pub header: HeaderName,
    /// Its values that are shown.
    #[schemars(length(max = 64))]
    pub allow: Vec<LabelValue>,
}

/// What says which version of a service answered: a header of the request, or the cluster that was chosen.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = one_of_both)]
pub struct Canary {
    /// The header.
    pub header: HeaderName,
    /// Its values that are shown.
    #[schemars(length(max = 64))]
    pub allow: Vec<LabelValue>,
    /// By the cluster.
    pub cluster: True,
}

fn one_of_both(schema: &mut Schema) {
    let one = json!([{"required": ["header", "allow"]}, {"required": ["cluster"], "maxProperties": 1}]);
    schema.insert("anyOf".to_owned(), one);
}

/// Only `true`.
#[derive(Debug, Default, JsonSchema)]
#[schemars(extend("enum" = [true]))]
pub struct True(pub bool);

/// What says where a host stands.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Region {
    /// A key of the host's metadata under `envoy.lb`.
    pub metadata: MetadataKey,
}

/// Where GraphQL is spoken.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct GraphQl {
    /// Its paths.
    #[schemars(extend("default" = ["/graphql"]))]
    pub paths: Vec<GraphQlPath>,
}
