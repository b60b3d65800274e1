//! Texts that have a form.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Declares texts by their pattern and their longest length, in characters.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $most:expr, $pattern:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                text($pattern, $most)
            }
        }
    )+};
}

/// No bound.
const ANY: usize = 0;

fn text(pattern: &str, most: usize) -> Schema {
    let mut schema = json_schema!({"type": "string", "pattern": pattern});
    if most != ANY {
        schema.insert("maxLength".to_owned(), most.into());
    }
    schema
}

texts! {
    /// A name of an entry that shares state and metrics.
    Instance, 32, "^(?!.*--)[A-Za-z0-9][A-Za-z0-9_.-]*$";
    /// A part of a key.
    KeyPart, 71, "^(?:route|virtual_host|cluster|method|upstream_host|header:[a-z0-9_.-]{1,64}|path:[1-8])$";
    /// A part of a key whose value a client chooses.
    ClientPart, 71, "^(?:method|header:[a-z0-9_.-]{1,64}|path:[1-8])$";
    /// A secret, or the name of a variable.
    SecretText, 4_096, r"^[\s\S]+$";
    /// A header's name in lower case.
    HeaderName, 64, "^[a-z0-9_.-]+$";
    /// A header that an answer of ours may have.
    ReplyHeader, 64, "^(?!(?:content-length|transfer-encoding|connection|host|te|upgrade)$)(?!x-holdfast-)[a-z0-9_.-]{1,64}$";
    /// A header by which a request is re-routed.
    RerouteHeader, 64,
        "^(?!(?:content-length|transfer-encoding|connection|host|te|upgrade)$)(?!x-envoy-)(?!x-holdfast-(?!fallback$))[a-z0-9_.-]+$";
    /// A header's value.
    HeaderValue, 1_024, "^[ -~]*$";
    /// A header's value that isn't empty.
    FilledValue, 1_024, "^[ -~]+$";
    /// A value of a client-chosen part of a key.
    KeyValue, 256, r"^[\s\S]+$";
    /// What idempotency records are kept apart by.
    Namespace, 64, "^[A-Za-z0-9_.-]*$";
    /// A method by which a request changes something.
    Method, 32, "^(?!(?:GET|HEAD|OPTIONS|TRACE|CONNECT)$)[A-Z0-9_-]+$";
    /// A path without a query.
    RequestPath, 1_024, r#"^/[!"$->@-~]*$"#;
    /// A header that says whose a request is.
    TenantHeader, 64, "^(?::authority|[a-z0-9_.-]+)$";
    /// A JSON Pointer (RFC 6901).
    Pointer, ANY, "^(?:/(?:[^~]|~[01])*)?$";
    /// A JSON Pointer that isn't the whole body.
    InnerPointer, ANY, "^/(?:[^~]|~[01])*$";
    /// A JSON Pointer to a value that is looked at.
    ValuePointer, 1_024, r"^/[\s\S]*$";
    /// A query parameter as it is on the wire.
    Parameter, 128, r#"^[!"$%'-<>-~]+$"#;
    /// A header that can be the same when a request comes again.
    LastingHeader, 64, LASTING;
    /// How the host of a mirrored request ends.
    HostSuffix, 64, "^[.-][a-z0-9.-]+$";
    /// What the proxy calls a store or a service.
    Cluster, 128, "^[!-~]+$";
    /// A user of Redis.
    Username, 128, r"^[\s\S]+$";
    /// A value that has a home.
    HomeValue, 128, r"^[\s\S]{1,128}$";
    /// What the proxy calls a service that is asked how it is, or a host's name.
    Target, 256, "^[!-~]+$";
    /// A path and a query to ask a service by.
    ProbePath, 1_024, "^/[!-~]*$";
    /// The name of a gRPC service; empty for the whole server.
    Service, 127, r"^[\x00-\x7f]*$";
    /// One gRPC method, or all of a service.
    GrpcMethods, ANY, r"^/[A-Za-z0-9_.-]+/(?:[*]|[A-Za-z0-9_.-]+)$";
    /// What a GraphQL error is called.
    Code, 96, r"^[\s\S]{1,96}$";
    /// A value that becomes a label.
    LabelValue, 32, "^(?![_-])(?!.*--)(?!.*-$)(?!.*-[0-9a-f]{8}$)[A-Za-z0-9_.-]+$";
    /// A key of a host's metadata.
    MetadataKey, 64, r"^[\s\S]+$";
    /// A path where GraphQL is spoken.
    GraphQlPath, 256, "^/[^?#]*$";
}

/// Without what is of one connection, one moment, one client or one trace, as `idempotency::stored::may_be_replayed` has it.
const LASTING: &str = "^(?!(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-length|date|age|set-cookie|set-cookie2|server-timing|\
    idempotency-replayed|traceparent|tracestate|traceresponse|baggage|b3|x-request-id|x-client-trace-id|x-ot-span-context|uber-trace-id|\
    x-cloud-trace-context|x-amzn-trace-id|grpc-trace-bin|sw8)$)(?!proxy-|x-b3-|x-datadog-|x-holdfast-)[a-z0-9_.-]+$";
