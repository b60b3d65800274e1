//! The settings of protocol health.

use crate::common::{Common, Status};
use crate::dialect::only;
use crate::texts::{Code, GrpcMethods, HeaderName, ProbePath, RequestPath, Service, Target, ValuePointer};
use crate::values::{HOUR, MINUTE, SECOND, Time, Whole};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Tells how calls ended, whatever they are spoken in, and asks services how they are.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct ProtocolHealth {
    /// The settings of every plugin.
    #[schemars(flatten)]
    pub common: Common,
    /// What services speak.
    #[schemars(extend("default" = "auto"))]
    pub protocol: Protocol,
    /// How the proxy is told of a bad answer, in the upstream chain.
    #[schemars(extend("default" = "marker"))]
    pub signal: Signal,
    /// The status that a bad answer gets, in the upstream chain.
    #[schemars(extend("default" = 503))]
    pub status: Whole<500, 599>,
    /// How long an answer may be held back to be read, in the upstream chain.
    #[schemars(extend("default" = null))]
    pub hold: Option<Hold>,
    /// How answers of GraphQL are read.
    #[schemars(extend("default" = null))]
    pub graphql: Option<GraphQl>,
    /// What says of REST answers that all is well, in the upstream chain.
    #[schemars(extend("default" = null))]
    pub predicate: Option<Predicate>,
    /// How long requests may take.
    #[schemars(extend("default" = null))]
    pub deadline: Option<Deadlines>,
    /// Where the node says that it is well, in the downstream chain; null for nowhere.
    #[schemars(extend("default" = "/healthz"))]
    pub healthz: Option<RequestPath>,
    /// Where services are asked how they are, in the downstream chain.
    #[schemars(length(max = 32), extend("default" = []))]
    pub probes: Vec<Probe>,
    /// The cluster that says whether Envoy drains, in the downstream chain.
    #[schemars(extend("default" = null))]
    pub drain_cluster: Option<Target>,
    /// Whether this node drains, in the downstream chain.
    #[schemars(extend("default" = null))]
    pub draining: Option<bool>,
}

/// What services speak.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Protocol {
    /// As each request says.
    #[default]
    Auto,
    /// REST.
    Rest,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    #[schemars(rename = "grpc_web")]
    GrpcWeb,
    /// GraphQL.
    GraphQl,
}

/// How the proxy is told of a bad answer.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Signal {
    /// By a response header.
    #[default]
    Marker,
    /// By the answer's status.
    Status,
    /// Not at all.
    Observe,
}

/// How long an answer may be held back.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Hold {
    /// So long.
    #[schemars(extend("default" = "250ms"))]
    pub time: Time<10, MINUTE>,
    /// So much of it.
    #[schemars(extend("default" = 24_576))]
    pub max_bytes: Whole<64, 524_288>,
    /// gRPC methods whose answers are short: they are held until their trailers.
    #[schemars(length(max = 1_000), extend("default" = []))]
    pub grpc_methods: Vec<GrpcMethods>,
}

/// How answers of GraphQL are read.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct GraphQl {
    /// Where it is spoken.
    #[schemars(length(max = 1_000), extend("default" = ["/graphql"]))]
    pub paths: Vec<RequestPath>,
    /// How much of an answer is looked at.
    #[schemars(extend("default" = 65_536))]
    pub scan_bytes: Whole<64, 1_048_576>,
    /// What an error's `extensions.code` means.
    #[schemars(extend("default" = null, "maxProperties" = 1_000))]
    pub codes: Option<BTreeMap<Code, Fault>>,
    /// What an error is that has neither path nor a known code.
    #[schemars(extend("default" = "unknown"))]
    pub request_errors: RequestErrors,
    /// `"data": null` beside errors is no data at all.
    pub null_is_no_data: bool,
    /// Ask services for answers that aren't compressed.
    #[schemars(extend("default" = true))]
    pub identity: bool,
}

/// Whose fault an error is.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Fault {
    /// The caller's own.
    CallerFault,
    /// The service has too much to do.
    Overload,
    /// It took too long.
    Timeout,
    /// The service's.
    ServerFault,
    /// Nobody was reached.
    Unreachable,
}

/// What an error is that says nothing.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum RequestErrors {
    /// Nobody knows.
    #[default]
    Unknown,
    /// The caller's own fault.
    CallerFault,
    /// The service's fault.
    ServerFault,
}

/// What says of answers that all is well: a header, a value of the body, or both.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = one_at_least)]
pub struct Predicate {
    /// Of which paths.
    #[schemars(length(max = 1_000), extend("default" = ["/"]))]
    pub paths: Vec<RequestPath>,
    /// A header.
    pub header: Option<HeaderPredicate>,
    /// A value of the body.
    pub json: Option<JsonPredicate>,
    /// What an answer without it is.
    #[schemars(extend("default" = "unknown"))]
    pub absent: Absent,
    /// What an answer is with which not all is well.
    #[schemars(extend("default" = "server_fault"))]
    pub outcome: BadOutcome,
}

fn one_at_least(schema: &mut Schema) {
    let given = ["header", "json"].map(|name| json!({"required": [name], "properties": {name: {"type": "object"}}}));
    schema.insert("anyOf".to_owned(), json!(given));
}

/// A header, and its values when all is well.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HeaderPredicate {
    /// The header.
    pub name: HeaderName,
    /// Its values.
    #[schemars(length(min = 1))]
    pub r#in: Vec<String>,
}

/// A value of the body, and what it is when all is well.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct JsonPredicate {
    /// Where it is.
    pub pointer: ValuePointer,
    /// What it is.
    #[schemars(length(min = 1))]
    pub r#in: Vec<Plain>,
}

/// A value that has no others in it.
#[derive(Debug)]
pub struct Plain;

impl JsonSchema for Plain {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Plain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean", "null"]})
    }
}

/// What an answer is that doesn't say.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Absent {
    /// All is well.
    Ok,
    /// Nobody knows.
    #[default]
    Unknown,
    /// The service has too much to do.
    Overload,
    /// It took too long.
    Timeout,
    /// The service's fault.
    ServerFault,
    /// Nobody was reached.
    Unreachable,
}

/// What an answer is with which not all is well.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum BadOutcome {
    /// A part of it failed.
    Partial,
    /// The caller's own fault.
    CallerFault,
    /// The service has too much to do.
    Overload,
    /// It took too long.
    Timeout,
    /// The service's fault.
    #[default]
    ServerFault,
    /// Nobody was reached.
    Unreachable,
}

/// How long requests may take. In the upstream chain an empty object: what is left is told to the service.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Deadlines {
    /// Of REST, and of the others where they say nothing.
    #[schemars(flatten)]
    pub rest: Limits,
    /// Of gRPC.
    pub grpc: Option<Limits>,
    /// Of GraphQL.
    pub graphql: Option<Limits>,
    /// A deadline that can't be read is refused.
    #[schemars(extend("default" = false))]
    pub strict: bool,
}

/// How long requests may take.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Limits {
    /// Where a client says nothing; null for no limit.
    pub default: Option<Time<1, HOUR>>,
    /// At most; null for no limit.
    pub max: Option<Time<1, HOUR>>,
    /// At least, or the request is refused at once.
    pub min: Time<0, HOUR>,
}

/// A path where services are asked how they are.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = of_a_protocol, extend("required" = ["clusters"]))]
pub struct Probe {
    /// The path.
    #[schemars(extend("default" = "/healthz/deep"))]
    pub path: RequestPath,
    /// Who is asked.
    #[schemars(length(min = 1, max = 32))]
    pub clusters: BTreeSet<Target>,
    /// How long one may take.
    #[schemars(extend("default" = "1s"))]
    pub timeout: Time<10, { 30 * SECOND }>,
    /// How long an answer is good.
    #[schemars(extend("default" = "1s"))]
    pub fresh: Time<0, HOUR>,
    /// How long it is shown while there is no newer one.
    #[schemars(extend("default" = "10s"))]
    pub stale: Time<0, HOUR>,
    /// The host that is asked for.
    #[schemars(extend("default" = null))]
    pub authority: Option<Target>,
    /// Who must be well.
    #[schemars(extend("default" = "all"))]
    pub combine: Combine,
    /// What the services speak.
    #[schemars(extend("default" = "rest"))]
    pub protocol: ProbeProtocol,
    /// gRPC: the service that is asked for.
    #[schemars(extend("default" = ""))]
    pub service: Service,
    /// REST and GraphQL: where it is asked.
    pub target: ProbePath,
    /// REST: statuses of services that are well.
    #[schemars(length(min = 1), extend("default" = ["2xx"]))]
    pub status: Vec<Status<100>>,
    /// REST: what else says that all is well.
    #[schemars(extend("default" = null))]
    pub predicate: Option<Predicate>,
}

/// Each protocol has questions of its own.
fn of_a_protocol(schema: &mut Schema) {
    let mut rest = only("protocol", "rest", &["service"]);
    // The word that needn't be said.
    rest.as_object_mut().map(|rest| rest.remove("required"));
    rest["properties"]["target"] = json!({"maxLength": 256});
    let grpc = only("protocol", "grpc", &["target", "status", "predicate"]);
    let mut graphql = only("protocol", "graphql", &["service", "status", "predicate"]);
    graphql["properties"]["target"] = json!({"pattern": "^[^?#]*$"});
    schema.insert("anyOf".to_owned(), json!([rest, grpc, graphql]));
}

/// Who must be well.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Combine {
    /// Every one.
    #[default]
    All,
    /// One at least.
    Any,
}

/// What the services that are asked speak.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ProbeProtocol {
    /// REST.
    #[default]
    Rest,
    /// gRPC's health service.
    Grpc,
    /// GraphQL.
    GraphQl,
}
