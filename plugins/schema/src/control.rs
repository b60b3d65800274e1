//! The control entry's settings.

use crate::common::Secret;
use schemars::JsonSchema;

/// Answers an operator's questions, and obeys his orders.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Control {
    /// Who may ask: `authorization: Bearer <token>`, of 32 characters or more.
    pub token: Secret,
    /// Envoy's entry has `allow_on_headers_stop_iteration: true`, as it must.
    #[schemars(extend("enum" = [true]))]
    pub headers_stop_iteration: bool,
    /// Allows secrets in the configuration itself.
    #[schemars(default, extend("default" = false))]
    pub insecure_literal: bool,
}
