//! JSON to [`Policy`], or every fault at once.
//!
//! Defaults and where they come from: 64 KiB are looked at, and held, which nearly all answers to queries fit in (Apollo's own advice for response caching
//! is below that), and a quarter of a second is held for, which a person doesn't notice. There is no `deadline` unless one is configured: a header that the
//! router obeys overrides what the route says, which no filter can read.

use crate::deadline::{Deadlines, Limits};
use crate::drain::Source;
use crate::graphql::Codes;
use crate::policy::{GraphQl, GrpcMethods, Hold, Policy, Signal};
use crate::predicate::Predicate;
use crate::probe::{Ask, Probe};
use crate::protocol::Protocol;
use core::time::Duration;
use sdk_shim::answers::statuses;
use sdk_shim::common::{Chain, Common};
use sdk_shim::config::{Bounds, Faults, Reader};
use sdk_shim::json::Value;
use sdk_shim::key::is_header_name;
use sdk_shim::outcome::Outcome;
use sdk_shim::overrides::Mode;

/// 64 KiB.
const LOOKED_AT: u64 = 65_536;
/// Envoy's own limit on what a stream may buffer is 1 MiB unless it is raised.
const MOST_HELD: u64 = 524_288;
/// Envoy's advice for edges is a buffer of 32 KiB, and what is held must stay below it. Sick answers are short.
const HELD: u64 = 24_576;
const LEAST_TIME: Duration = Duration::from_millis(100);
const MOST_ITEMS: usize = 1_000;
const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// Reads a configuration.
///
/// ```
/// let policy = protocol_health::config::read(br#"{"deadline": {"max": "30s"}}"#).unwrap();
/// assert!(policy.deadline.is_some());
/// let faults = protocol_health::config::read(br#"{"chain": "upstream", "status": 200, "signal": "smoke"}"#).unwrap_err();
/// assert_eq!(faults.len(), 2);
/// ```
pub fn read(bytes: &[u8]) -> Result<Policy, Faults> {
    read_and(bytes, |_| Faults::default())
}

/// Reads a configuration; what `check` finds wrong with it is told together with everything else.
pub fn read_and(bytes: &[u8], check: impl FnOnce(&Policy) -> Faults) -> Result<Policy, Faults> {
    sdk_shim::config::read_and(bytes, full, check)
}

const SIGNALS: [(&str, Signal); 3] =
    [("marker", Signal::Marker), ("status", Signal::Status), ("observe", Signal::Observe)];

/// What only the entry of attempts does.
const OF_ATTEMPTS: [&str; 4] = ["signal", "status", "hold", "predicate"];
/// What only the entry of requests does.
const OF_REQUESTS: [&str; 4] = ["healthz", "probes", "drain_cluster", "draining"];

fn full(read: &mut Reader<'_>) -> Policy {
    let common = Common::read(read);
    if matches!(common.mode, Mode::ForceOpen | Mode::ForceClosed) {
        let found = format!("\"{}\"", common.mode.as_str());
        read.fault("mode", found, "\"enforce\", \"dry_run\", \"disabled\": the others are the circuit breaker's");
    }
    let (others, place) = match common.chain {
        Chain::Downstream => (OF_ATTEMPTS, Chain::Upstream),
        Chain::Upstream => (OF_REQUESTS, Chain::Downstream),
    };
    for field in others.into_iter().filter(|field| read.has(field)).collect::<Vec<_>>() {
        let allowed = format!("nothing here: it belongs to the entry with \"chain\": \"{}\"", place.as_str());
        read.fault(field, format!("a field of the {} entry", place.as_str()), allowed);
    }
    let words = [("auto", None)]
        .into_iter()
        .chain(Protocol::ALL.map(|(word, protocol)| (word, Some(protocol))))
        .collect::<Vec<_>>();
    let (chain, healthz) = (common.chain, healthz(read));
    Policy {
        protocol: read.word("protocol", None, &words),
        signal: read.word("signal", Signal::Marker, &SIGNALS),
        status: u16::try_from(read.integer("status", 503, Bounds::new(500, 599))).unwrap_or(503),
        hold: read.object("hold", hold).unwrap_or_else(|| Reader::defaults(hold)),
        graphql: read.object("graphql", graphql).unwrap_or_else(|| Reader::defaults(graphql)),
        predicate: read.object("predicate", predicate),
        deadline: read.object("deadline", |read| deadlines(read, chain)),
        probes: probes(read, healthz.as_ref()),
        healthz,
        drain: drain(read),
        common,
    }
}

fn hold(read: &mut Reader<'_>) -> Hold {
    Hold {
        time: read.duration("time", Duration::from_millis(250), Bounds::new(10 * MILLI, Duration::from_secs(60))),
        max_bytes: bytes(read, "max_bytes", Bounds::new(64, MOST_HELD), HELD),
        grpc_methods: bounded(
            read,
            "grpc_methods",
            Vec::new(),
            "\"/package.Service/Method\" or \"/package.Service/*\"",
            grpc_methods,
        ),
    }
}

fn grpc_methods(item: &Value) -> Option<GrpcMethods> {
    let path = item.as_str()?;
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    match method {
        "*" if name(service) => Some(GrpcMethods::All(format!("/{service}/"))),
        _ => (name(service) && name(method)).then(|| GrpcMethods::One(path.to_owned())),
    }
}

fn bytes(read: &mut Reader<'_>, name: &'static str, bounds: Bounds<u64>, default: u64) -> usize {
    usize::try_from(read.integer(name, default, bounds)).unwrap_or(24_576)
}

fn all_codes(read: &mut Reader<'_>) -> Codes {
    let mut all = read.object("codes", codes).unwrap_or_default();
    all.request_errors = read.word("request_errors", all.request_errors, &REQUEST_ERRORS);
    all.null_is_no_data = read.bool("null_is_no_data", all.null_is_no_data);
    all
}

/// What an error without a path and without a code that is known may be.
const REQUEST_ERRORS: [(&str, Outcome); 3] =
    [("unknown", Outcome::Unknown), ("caller_fault", Outcome::CallerFault), ("server_fault", Outcome::ServerFault)];

fn graphql(read: &mut Reader<'_>) -> GraphQl {
    GraphQl {
        paths: bounded(
            read,
            "paths",
            vec!["/graphql".to_owned()],
            "a path that begins with \"/\", without a query",
            path,
        ),
        scan_bytes: bytes(read, "scan_bytes", Bounds::new(64, 1_048_576), LOOKED_AT),
        codes: all_codes(read),
        identity: read.bool("identity", true),
    }
}

fn path(item: &Value) -> Option<String> {
    let text = item.as_str()?;
    let legal = text.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
    (text.starts_with('/') && legal && text.len() <= 1_024).then(|| text.to_owned())
}

/// What a call can come to by a service's own words.
const OUTCOMES: [(&str, Outcome); 7] = [
    ("ok", Outcome::Ok),
    ("partial", Outcome::Partial),
    ("caller_fault", Outcome::CallerFault),
    ("overload", Outcome::Overload),
    ("timeout", Outcome::Timeout),
    ("server_fault", Outcome::ServerFault),
    ("unreachable", Outcome::Unreachable),
];

/// An error is never `ok`, and what is partial is said by `data`.
fn codes(read: &mut Reader<'_>) -> Codes {
    let allowed = "\"caller_fault\", \"overload\", \"timeout\", \"server_fault\" or \"unreachable\"";
    let names = read.names();
    if names.len() > MOST_ITEMS {
        read.fault("", format!("{} codes", names.len()), format!("at most {MOST_ITEMS}"));
    }
    let own: Vec<(String, Outcome)> = names
        .into_iter()
        .map(|name| {
            if name.is_empty() || name.len() > crate::graphql::scan::MOST_KEPT {
                let most = crate::graphql::scan::MOST_KEPT;
                read.fault(name, "a code that is empty or too long", format!("1 to {most} bytes"));
            }
            let is_fault = |word: &str| {
                Outcome::parse(word)
                    .is_some_and(|outcome| outcome == Outcome::CallerFault || outcome.is_upstreams_fault())
            };
            let word = read.text_of(name, allowed, is_fault);
            (name.to_owned(), Outcome::parse(&word).unwrap_or(Outcome::ServerFault))
        })
        .collect();
    Codes::with(own)
}

fn predicate(read: &mut Reader<'_>) -> Predicate {
    let header = read.object("header", |read| {
        let name = read.text("name", "x-status", "a lower-case header name of at most 64 characters", is_header_name);
        let values = read.list("in", Vec::new(), "a text", |item| item.as_str().map(str::to_owned));
        complete(read, &["name", "in"], values.is_empty());
        (name, values)
    });
    let json = read.object("json", |read| {
        let allowed = "a JSON Pointer (RFC 6901) such as \"/status\"";
        let pointer = read.text("pointer", "/status", allowed, |text| text.starts_with('/') && text.len() <= 1_024);
        let values = read.list("in", Vec::new(), "a text, a number, true, false or null", |item| {
            (!matches!(item, Value::Array(_) | Value::Object(_))).then(|| item.clone())
        });
        complete(read, &["pointer", "in"], values.is_empty());
        (pointer, values)
    });
    if header.is_none() && json.is_none() {
        read.fault("", "neither header nor json", "at least one of {\"header\": {…}, \"json\": {…}}");
    }
    let unknown = [OUTCOMES[0], ("unknown", Outcome::Unknown), OUTCOMES[3], OUTCOMES[4], OUTCOMES[5], OUTCOMES[6]];
    Predicate {
        paths: bounded(read, "paths", vec!["/".to_owned()], "a path that begins with \"/\", without a query", path),
        header,
        json,
        absent: read.word("absent", Outcome::Unknown, &unknown),
        outcome: read.word("outcome", Outcome::ServerFault, &OUTCOMES[1..]),
    }
}

fn complete(read: &mut Reader<'_>, fields: &[&str], empty: bool) {
    let missing: Vec<&str> = fields.iter().copied().filter(|field| !read.has(field)).collect();
    if !missing.is_empty() {
        read.fault("", format!("no {}", missing.join(", no ")), "what is looked at, and its values when all is well");
    } else if empty {
        read.fault("in", "no value", "at least one value");
    }
}

fn deadlines(read: &mut Reader<'_>, chain: Chain) -> Deadlines {
    if chain == Chain::Upstream {
        // The request's time is the edge's affair; here what is left of it is told to the service.
        let none = Limits::default();
        return Deadlines { rest: none, grpc: none, graphql: none, strict: false };
    }
    let general = limits(read, Limits { default: None, max: Some(Duration::from_secs(60)), min: LEAST_TIME });
    // A call without a deadline may be a stream, and headers don't tell.
    let grpc = Limits { default: None, ..general };
    Deadlines {
        rest: general,
        grpc: read.object("grpc", |read| limits(read, grpc)).unwrap_or(grpc),
        graphql: read.object("graphql", |read| limits(read, general)).unwrap_or(general),
        strict: read.bool("strict", false),
    }
}

fn limits(read: &mut Reader<'_>, inherited: Limits) -> Limits {
    let max = time_or_null(read, "max", inherited.max);
    let min = max.map_or(inherited.min, |max| max.min(inherited.min));
    let min = read.duration("min", min, Bounds::new(Duration::ZERO, HOUR));
    let limits = Limits { default: time_or_null(read, "default", inherited.default), max, min };
    if let Some(max) = max.filter(|max| *max < min) {
        read.fault("min", format!("{}ms above a max of {}ms", min.as_millis(), max.as_millis()), "at most max");
    }
    if let (Some(default), Some(max)) = (limits.default, limits.max)
        && default > max
    {
        let found = format!("a default of {}ms above a max of {}ms", default.as_millis(), max.as_millis());
        read.fault("default", found, "at most max");
    }
    limits
}

fn time_or_null(read: &mut Reader<'_>, name: &'static str, inherited: Option<Duration>) -> Option<Duration> {
    match read.raw(name) {
        None => inherited,
        Some(Value::Null) => None,
        Some(_) => Some(read.duration(name, HOUR, Bounds::new(MILLI, HOUR))),
    }
}

const A_PATH: &str = "a path that begins with \"/\", without a query";

fn is_path(text: &str) -> bool {
    path(&Value::from(text)).is_some()
}

fn healthz(read: &mut Reader<'_>) -> Option<String> {
    match read.raw("healthz") {
        Some(Value::Null) => None,
        _ => Some(read.text("healthz", "/healthz", "a path that begins with \"/\", without a query, or null", is_path)),
    }
}

fn probes(read: &mut Reader<'_>, node: Option<&String>) -> Vec<Probe> {
    let probes =
        read.objects("probes", "an object such as {\"path\": \"/healthz/deep\", \"clusters\": [\"orders\"]}", probe);
    if probes.len() > MOST_PROBES {
        read.fault("probes", format!("{} probes", probes.len()), format!("at most {MOST_PROBES}"));
    }
    if let Some(probe) = probes.iter().find(|probe| Some(&probe.path) == node) {
        read.fault("probes", format!("\"{}\", which is healthz", probe.path), "a path of its own");
    }
    let twice =
        probes.iter().enumerate().find(|(n, probe)| probes.iter().take(*n).any(|before| before.path == probe.path));
    if let Some((_, probe)) = twice {
        read.fault("probes", format!("\"{}\" twice", probe.path), "each path once");
    }
    probes
}

/// Of this kind of service a probe may name that many.
const MOST_CLUSTERS: usize = 32;
const MOST_PROBES: usize = 32;

fn probe(read: &mut Reader<'_>) -> Probe {
    let path = read.text("path", "/healthz/deep", A_PATH, is_path);
    let name = "a cluster's name (on hosts without them host:port) of at most 256 printable characters, each once";
    let clusters =
        read.list("clusters", Vec::new(), name, |item| item.as_str().filter(|text| is_name(text)).map(str::to_owned));
    let twice = clusters.iter().enumerate().any(|(n, cluster)| clusters.iter().take(n).any(|before| before == cluster));
    if clusters.is_empty() || clusters.len() > MOST_CLUSTERS || twice {
        read.fault("clusters", "none, too many, or one twice", format!("1 to {MOST_CLUSTERS} clusters, each once"));
    }
    let timeout = read.duration("timeout", Duration::from_secs(1), Bounds::new(10 * MILLI, Duration::from_secs(30)));
    let fresh = read.duration("fresh", Duration::from_secs(1), Bounds::new(Duration::ZERO, HOUR));
    let stale = read.duration("stale", Duration::from_secs(10), Bounds::new(Duration::ZERO, HOUR));
    if stale < fresh {
        read.fault("stale", format!("{}ms", stale.as_millis()), "at least fresh");
    }
    let ask = ask(read);
    let authority = read.raw("authority").is_some_and(|value| !value.is_null());
    let authority = authority.then(|| read.text("authority", "", "a host name, or null", is_name));
    let any = read.word("combine", false, &[("all", false), ("any", true)]);
    Probe { path, clusters, ask, authority, any, timeout, fresh, stale }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| b.is_ascii_graphic())
}

fn ask(read: &mut Reader<'_>) -> Ask {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Grpc,
        GraphQl,
        Rest,
    }
    let kinds = [("rest", Kind::Rest), ("grpc", Kind::Grpc), ("graphql", Kind::GraphQl)];
    match read.word("protocol", Kind::Rest, &kinds) {
        Kind::Grpc => {
            let allowed = "a service's name of at most 127 characters; empty for the whole server";
            Ask::Grpc { service: read.text("service", "", allowed, |text| text.len() <= 127 && text.is_ascii()) }
        }
        Kind::GraphQl => Ask::GraphQl { path: read.text("target", "/graphql", A_PATH, is_path) },
        Kind::Rest => {
            let status = read.list("status", vec![200..=299], "a status such as 204, \"2xx\" or \"200-204\"", statuses);
            if status.is_empty() && read.has("status") {
                read.fault("status", "no status", "at least one");
            }
            let allowed = "a path that begins with \"/\"";
            let path = read.text("target", "/", allowed, |text| text.starts_with('/') && is_name(text));
            Ask::Rest { path, status, predicate: read.object("predicate", predicate) }
        }
    }
}

/// An operator's word counts more than what Envoy says.
fn drain(read: &mut Reader<'_>) -> Source {
    let cluster = read.raw("drain_cluster").is_some_and(|value| !value.is_null());
    let cluster = cluster.then(|| read.text("drain_cluster", "", "a cluster's name, or null", is_name));
    match (read.raw("draining").filter(|value| !value.is_null()), cluster) {
        (Some(_), _) => Source::Said(read.bool("draining", false)),
        (None, Some(cluster)) => Source::Cluster(cluster),
        (None, None) => Source::Nobody,
    }
}

fn bounded<'a, T>(
    read: &mut Reader<'a>,
    name: &'static str,
    default: Vec<T>,
    allowed: &str,
    take: impl Fn(&'a Value) -> Option<T>,
) -> Vec<T> {
    let items = read.list(name, default, allowed, take);
    if items.len() > MOST_ITEMS {
        read.fault(name, format!("{} items", items.len()), format!("at most {MOST_ITEMS}"));
    }
    items
}
