//! What is configured: validated once, `Eq`, without floats. `config.rs` makes it, `judge.rs` and `deadline.rs` obey it.

use crate::deadline::Deadlines;
use crate::drain::Source;
use crate::graphql::Codes;
use crate::predicate::Predicate;
use crate::probe::{Ask, Probe};
use crate::protocol::Protocol;
use core::time::Duration;
use sdk_shim::common::{Chain, Common};
use sdk_shim::config::Faults;
use sdk_shim::flavor::Capabilities;
use sdk_shim::host::Host;
use sdk_shim::overrides::Mode;

/// How Envoy is told what its own eyes don't see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// By the header [`sdk_shim::outcome::MARK`], on which its matchers act; the client's status stays. A held gRPC call's status is put into its headers.
    Marker,
    /// By a status of 5xx in place of the service's 200.
    Status,
    /// Not at all: outcomes are counted, and shown to access logs.
    Observe,
}

/// How long an answer may be held back to be read first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// From the headers on.
    pub time: Duration,
    /// Of its body.
    pub max_bytes: usize,
    /// gRPC methods (`/package.Service/Method`) with one answer. Headers don't tell them from streams.
    pub grpc_methods: Vec<GrpcMethods>,
}

/// One method, or all of a service (`/package.Service/*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcMethods {
    /// A path.
    One(String),
    /// What paths begin with.
    All(String),
}

/// GraphQL over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphQl {
    /// Where it is spoken: whole paths, without queries.
    pub paths: Vec<String>,
    /// Bytes of an answer that are looked at.
    pub scan_bytes: usize,
    /// What `extensions.code` means.
    pub codes: Codes,
    /// The service is asked for answers that aren't compressed, since those can't be read.
    pub identity: bool,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The settings of every plugin.
    pub common: Common,
    /// What is spoken; `None` to find out per request.
    pub protocol: Option<Protocol>,
    /// How Envoy is told.
    pub signal: Signal,
    /// The status that [`Signal::Status`] sets.
    pub status: u16,
    /// What may be held back.
    pub hold: Hold,
    /// GraphQL.
    pub graphql: GraphQl,
    /// What else a REST service says.
    pub predicate: Option<Predicate>,
    /// How long requests may take. Upstream: the time that is left is told to the service.
    pub deadline: Option<Deadlines>,
    /// Where this node is asked whether it is ready.
    pub healthz: Option<String>,
    /// Where services are asked after.
    pub probes: Vec<Probe>,
    /// Who says that this node drains.
    pub drain: Source,
}

// === impl GrpcMethods ===

impl GrpcMethods {
    fn holds(&self, path: &[u8]) -> bool {
        match self {
            Self::One(method) => method.as_bytes() == path,
            Self::All(service) => path.starts_with(service.as_bytes()),
        }
    }
}

// === impl Hold ===

impl Hold {
    /// Whether this method has one answer.
    pub fn is_unary(&self, path: &[u8]) -> bool {
        self.grpc_methods.iter().any(|methods| methods.holds(path))
    }
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
    /// Whether the proxy is told at all.
    pub fn tells(&self) -> bool {
        self.signal != Signal::Observe && self.common.mode == Mode::Enforce
    }

    /// Whether anything may be held back.
    pub fn may_hold(&self, caps: &Capabilities) -> bool {
        self.tells() && self.common.headers_stop_iteration && caps.holds_responses
    }

    /// What can only be told of an answer that was held back until it was read.
    fn wants_hold(&self) -> Vec<&'static str> {
        let may_be = |protocol| self.protocol.is_none_or(|spoken| spoken == protocol);
        let named = if self.protocol.is_none() { !self.graphql.paths.is_empty() } else { may_be(Protocol::GraphQl) };
        let body = may_be(Protocol::Rest) && self.predicate.as_ref().is_some_and(|it| it.json.is_some());
        let wants = [
            (named, "$.graphql.paths"),
            (body, "$.predicate.json"),
            (!self.hold.grpc_methods.is_empty(), "$.hold.grpc_methods"),
        ];
        wants.into_iter().filter(|(wants, _)| *wants).map(|(_, path)| path).collect()
    }

    /// What this host lacks for this policy.
    pub fn check_on<H: Host>(&self, host: &H) -> Faults {
        self.check_host(host.capabilities())
    }

    /// What this host lacks for this policy.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        let mut faults = self.common.check_host(caps);
        let degraded = self.common.allow_degraded;
        if self.deadline.is_some() && !caps.limits_by_header && !degraded {
            let allowed = "null, or \"allow_degraded\": true: this host lacks the capability limits_by_header, so only what has no time left is \
                           refused";
            faults.push("$.deadline", "a limit", allowed);
        }
        if matches!(self.drain, Source::Cluster(_)) && !caps.named_clusters && !degraded {
            let allowed = "null, or \"allow_degraded\": true: this host lacks the capability named_clusters, so nobody can be asked";
            faults.push("$.drain_cluster", "a cluster", allowed);
        }
        for (n, probe) in self.probes.iter().enumerate() {
            if matches!(probe.ask, Ask::Grpc { .. }) && !caps.grpc_callouts && !degraded {
                let allowed = "\"graphql\" or \"rest\", or \"allow_degraded\": true: this host lacks the capability grpc_callouts";
                faults.push(&format!("$.probes[{n}].protocol"), "\"grpc\"", allowed);
            }
        }
        if self.common.chain == Chain::Upstream
            && caps.upstream_chain
            && self.tells()
            && !self.may_hold(caps)
            && !degraded
        {
            let lacks = if caps.holds_responses {
                "nothing, or \"headers_stop_iteration\": true here and allow_on_headers_stop_iteration: true in Envoy's plugin entry, or \
                 \"allow_degraded\": true"
            } else {
                "nothing, or \"allow_degraded\": true: this host lacks the capability holds_responses (Envoy has it from 1.39.1 on)"
            };
            self.wants_hold()
                .into_iter()
                .for_each(|path| faults.push(path, "what must be held back to be told", lacks));
        }
        faults
    }
}
