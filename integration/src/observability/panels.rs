//! What the dashboard shows.

use super::labels::{
    CAPABILITY, CAUSE, CHAIN, CLUSTER, CONFIG, GIT, INSTANCE, KEY, LE, LISTENER, NODE, OUTCOME, PLUGIN, PROTOCOL,
    REGION, RESULT, ROUTE, STORE, TO, VERSION,
};
use super::look::Look::{self, Lines, Phases, Stacked, Table};
use super::rules::{AMPLIFICATION, VM_RELOAD_NAMES};
use super::slo::error_ratio;
use super::table::{
    ATTEMPT_DURATION, ATTEMPT_TTFB, ATTEMPTS, BREAKER_CALLS, BREAKER_PROBES, BREAKER_REJECTED, BREAKER_STATE,
    BREAKER_TRANSITIONS, BUDGET_LEFT, BUDGET_REFUSED, BUDGET_REQUESTS, BUDGET_RETRIES, BUDGET_STEERED, BUILD_INFO,
    CLAIMED, CONFIG_INFO, CX_ACTIVE, CX_OVERFLOW, CX_OVERFLOW_TOTAL, DOWNSTREAM_TLS_ERROR, DROPPED, EJECTIONS_ACTIVE,
    HEALTH_ATTEMPTS, HEALTH_MALFORMED, HEALTH_REFUSED, HOST_CAPABILITY, IDEMPOTENCY_REFUSED, PENDING_ACTIVE,
    PENDING_OVERFLOW, REJECTIONS, REPLAYED, REQUEST_BYTES, REQUEST_DURATION, REQUEST_TTFB, REQUESTS,
    REQUESTS_IN_FLIGHT, RESPONSE_BYTES, STORE_CALLS, STORE_ERRANDS, STORE_ERRANDS_ENDED, STORE_FAILURES,
    STORE_MAY_EVICT, STORED, STREAMS, STREAMS_OPEN, UNCERTAIN, UNPROTECTED, UPSTREAM_ERRORS, UPSTREAM_TLS_ERROR,
    UPSTREAM_TLS_NAME, UPSTREAM_TLS_UNTRUSTED, WOULD_REJECT,
};

/// Panels below one title.
pub struct Row {
    /// The question that they answer.
    pub title: &'static str,
    /// They.
    pub panels: Vec<Panel>,
}

/// One picture.
pub struct Panel {
    /// What it shows.
    pub title: &'static str,
    /// What to make of it.
    pub description: &'static str,
    /// Grafana's unit.
    pub unit: &'static str,
    /// How it is drawn.
    pub look: Look,
    /// What is asked.
    pub queries: Vec<Query>,
}

/// One question to Prometheus.
pub struct Query {
    /// In its language, with Grafana's variables.
    pub expr: String,
    /// What a line is called.
    pub legend: String,
}

/// All of it, from the client's side down to the node's.
pub fn rows() -> Vec<Row> {
    vec![
        Row { title: "What clients see, by route and protocol", panels: clients() },
        Row { title: "Retries: attempts per request, and the budget", panels: retries() },
        Row { title: "Circuit breakers", panels: breakers() },
        Row { title: "What Holdfast refuses, and would refuse", panels: refusals() },
        Row { title: "Idempotency", panels: idempotency() },
        Row { title: "Health of services, as protocol-health judges them", panels: health() },
        Row { title: "Pools, queues and TLS", panels: pools() },
        Row { title: "Streams and bytes", panels: traffic() },
        Row { title: "The nodes themselves", panels: nodes() },
    ]
}

/// The series of a family that the variables choose: whatever a route is part of by the label `route`.
fn on_route(name: &str) -> String {
    format!("{name}{{{REGION}=~\"$region\",{NODE}=~\"$instance\",{ROUTE}=~\"$route\"}}")
}

/// The same where the label is the plugin's key, which is the route unless configured otherwise.
fn on_key(name: &str) -> String {
    format!("{name}{{{REGION}=~\"$region\",{NODE}=~\"$instance\",{KEY}=~\"$route\"}}")
}

/// The same of a node as a whole.
fn on_node(name: &str) -> String {
    format!("{name}{{{REGION}=~\"$region\",{NODE}=~\"$instance\"}}")
}

/// Per second, summed by these labels, which are its name too.
fn per_second(by: &[&str], series: &str) -> Query {
    summed(by, &format!("rate({series}[$__rate_interval])"))
}

fn summed(by: &[&str], series: &str) -> Query {
    Query { expr: format!("sum by ({}) ({series})", by.join(", ")), legend: legend(by) }
}

fn legend(by: &[&str]) -> String {
    by.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ")
}

fn quantile(q: &str, histogram: &str, by: &[&str]) -> Query {
    let labels = [by, &[LE]].concat().join(", ");
    let rates = format!("sum by ({labels}) (rate({}[$__rate_interval]))", on_route(&format!("{histogram}_bucket")));
    Query { expr: format!("histogram_quantile({q}, {rates})"), legend: format!("p{} {}", &q[2..], legend(by)) }
}

// === impl Query ===

impl Query {
    fn named(mut self, name: &str) -> Self {
        self.legend = format!("{name} {}", self.legend).trim().to_owned();
        self
    }
}

// === impl Panel ===

impl Panel {
    fn new(look: Look, unit: &'static str, title: &'static str, description: &'static str, queries: Vec<Query>) -> Self {
        Self { title, description, unit, look, queries }
    }
}

fn clients() -> Vec<Panel> {
    let errors = error_ratio("5m");
    let errors = format!("{errors}{{{REGION}=~\"$region\",{ROUTE}=~\"$route\"}}");
    let both = [ROUTE, PROTOCOL];
    vec![
        Panel::new(Stacked, "reqps", "Requests", "", vec![per_second(&both, &on_route(REQUESTS))]),
        Panel::new(Stacked, "reqps", "Requests by outcome", "", vec![per_second(&[OUTCOME], &on_route(REQUESTS))]),
        Panel::new(
            Lines,
            "percentunit",
            "Failed requests",
            "What the objective counts: the service's faults, and what Holdfast or a full pool refused in its place.",
            vec![Query { expr: errors, legend: legend(&[REGION, ROUTE]) }],
        ),
        Panel::new(Lines, "µs", "Duration", "To the end of the answer.", ["0.5", "0.99"].map(|q| quantile(q, REQUEST_DURATION, &both)).into()),
        Panel::new(
            Lines,
            "µs",
            "First byte: client's side and service's side",
            "What lies between the two is Holdfast's, the queue's and the retries'.",
            vec![quantile("0.99", REQUEST_TTFB, &[ROUTE]).named("client"), quantile("0.99", ATTEMPT_TTFB, &[ROUTE]).named("service")],
        ),
        Panel::new(Lines, "µs", "Duration of an attempt", "", vec![quantile("0.99", ATTEMPT_DURATION, &both)]),
    ]
}

fn retries() -> Vec<Panel> {
    let amplification = format!("{AMPLIFICATION}{{{REGION}=~\"$region\",{ROUTE}=~\"$route\"}}");
    let of_budget = |name: &str| format!("sum by ({INSTANCE}, {KEY}) (rate({}[$__rate_interval]))", on_key(name));
    vec![
        Panel::new(
            Lines,
            "none",
            "Attempts per request",
            "1 is healthy; above 1.3 retries are a load of their own, above 2 they are the outage.",
            vec![Query { expr: amplification, legend: legend(&[REGION, ROUTE]) }],
        ),
        Panel::new(Stacked, "reqps", "Attempts by outcome", "", vec![per_second(&[OUTCOME], &on_route(ATTEMPTS))]),
        Panel::new(
            Lines,
            "none",
            "Retries per request, as the budget counts them",
            "",
            vec![Query { expr: format!("{} / ({} > 0)", of_budget(BUDGET_RETRIES), of_budget(BUDGET_REQUESTS)), legend: legend(&[INSTANCE, KEY]) }],
        ),
        Panel::new(Lines, "none", "Retries left", "0: nothing more is granted now.", vec![Query { expr: format!("min by ({INSTANCE}, {KEY}) ({})", on_key(BUDGET_LEFT)), legend: legend(&[INSTANCE, KEY]) }]),
        Panel::new(
            Stacked,
            "reqps",
            "Retries kept back",
            "Refused to an attempt that failed; steered: the router was told beforehand.",
            vec![per_second(&[KEY, CAUSE], &on_key(BUDGET_REFUSED)).named("refused"), per_second(&[KEY, CAUSE], &on_key(BUDGET_STEERED)).named("steered")],
        ),
    ]
}

fn breakers() -> Vec<Panel> {
    let by = format!("{NODE}, {CHAIN}, {INSTANCE}, {KEY}");
    let state = format!(
        "max by ({by}) ({})\nor 0 * sum by ({by}) ({})",
        on_key(BREAKER_STATE),
        on_key(BREAKER_CALLS)
    );
    vec![
        Panel::new(
            Phases,
            "none",
            "State",
            "The gauge exists after a breaker's first change; before that it is closed.",
            vec![Query { expr: state, legend: legend(&[NODE, CHAIN, INSTANCE, KEY]) }],
        ),
        Panel::new(Stacked, "reqps", "Calls by outcome", "", vec![per_second(&[KEY, OUTCOME], &on_key(BREAKER_CALLS))]),
        Panel::new(Lines, "none", "Changes", "", vec![Query { expr: format!("sum by ({KEY}, {TO}) (increase({}[5m]))", on_key(BREAKER_TRANSITIONS)), legend: legend(&[KEY, TO]) }]),
        Panel::new(Stacked, "reqps", "Refused", "", vec![per_second(&[KEY, CAUSE], &on_key(BREAKER_REJECTED))]),
        Panel::new(Stacked, "reqps", "Probes", "", vec![per_second(&[KEY, RESULT], &on_key(BREAKER_PROBES))]),
    ]
}

fn refusals() -> Vec<Panel> {
    let would = WOULD_REJECT.map(|(plugin, counter)| per_second(&[INSTANCE, CAUSE], &on_node(counter)).named(plugin));
    vec![
        Panel::new(Stacked, "reqps", "Refused, by plugin and cause", "", vec![per_second(&[PLUGIN, CAUSE], &on_route(REJECTIONS))]),
        Panel::new(Stacked, "reqps", "Would have been refused (dry runs)", "What changes for clients on the day that the dry run ends.", would.into()),
    ]
}

fn idempotency() -> Vec<Panel> {
    let total = |name: &str| format!("sum by ({STORE}) ({})", on_node(name));
    vec![
        Panel::new(Stacked, "reqps", "Claims and replays", "", vec![per_second(&[KEY], &on_key(CLAIMED)).named("claimed"), per_second(&[KEY], &on_key(REPLAYED)).named("replayed")]),
        Panel::new(Stacked, "reqps", "Refused", "", vec![per_second(&[KEY, CAUSE], &on_key(IDEMPOTENCY_REFUSED))]),
        Panel::new(
            Lines,
            "none",
            "Uncertain and unprotected, in all",
            "Since the node runs: the first one is one too many.",
            vec![summed(&[KEY, CAUSE], &on_key(UNCERTAIN)).named("uncertain"), summed(&[KEY, CAUSE], &on_key(UNPROTECTED)).named("unprotected")],
        ),
        Panel::new(Stacked, "reqps", "Answers kept", "", vec![per_second(&[KEY, CAUSE], &on_key(STORED))]),
        Panel::new(
            Lines,
            "reqps",
            "The store",
            "",
            vec![per_second(&[STORE], &on_node(STORE_CALLS)).named("calls"), per_second(&[CAUSE], &on_node(STORE_FAILURES)).named("failures")],
        ),
        Panel::new(
            Lines,
            "none",
            "The store may evict; what it still has to be told",
            "1: a record may be gone before its time, and its request run again.",
            vec![
                Query { expr: format!("max by ({STORE}) ({})", on_node(STORE_MAY_EVICT)), legend: format!("may evict {}", legend(&[STORE])) },
                Query { expr: format!("{} - {}", total(STORE_ERRANDS), total(STORE_ERRANDS_ENDED)), legend: format!("errands {}", legend(&[STORE])) },
            ],
        ),
    ]
}

fn health() -> Vec<Panel> {
    let both = [PROTOCOL, OUTCOME];
    vec![
        Panel::new(Stacked, "reqps", "Attempts by what they came to", "", vec![per_second(&both, &on_node(HEALTH_ATTEMPTS))]),
        Panel::new(Lines, "none", "Hosts ejected", "By Envoy's outlier detection.", vec![summed(&[CLUSTER], &on_node(EJECTIONS_ACTIVE))]),
        Panel::new(
            Stacked,
            "reqps",
            "Deadlines: refused, and unreadable",
            "",
            vec![per_second(&[CAUSE], &on_node(HEALTH_REFUSED)).named("refused"), per_second(&[CAUSE], &on_node(HEALTH_MALFORMED)).named("unreadable")],
        ),
    ]
}

fn pools() -> Vec<Panel> {
    let overflow = format!(
        "sum by ({CLUSTER}) (rate({}[$__rate_interval]) or rate({}[$__rate_interval]))",
        on_node(CX_OVERFLOW),
        on_node(CX_OVERFLOW_TOTAL)
    );
    vec![
        Panel::new(
            Lines,
            "reqps",
            "Pool overflow",
            "",
            vec![
                Query { expr: overflow, legend: format!("connections {}", legend(&[CLUSTER])) },
                per_second(&[CLUSTER], &on_node(PENDING_OVERFLOW)).named("requests"),
            ],
        ),
        Panel::new(
            Lines,
            "none",
            "Queue depth, connections",
            "",
            vec![summed(&[CLUSTER], &on_node(PENDING_ACTIVE)).named("waiting"), summed(&[CLUSTER], &on_node(CX_ACTIVE)).named("connections")],
        ),
        Panel::new(Stacked, "reqps", "Errors on the way to services", "", vec![per_second(&[CAUSE], &on_route(UPSTREAM_ERRORS))]),
        Panel::new(
            Lines,
            "reqps",
            "TLS handshakes that failed",
            "",
            vec![
                per_second(&[CLUSTER], &on_node(UPSTREAM_TLS_ERROR)).named("service"),
                per_second(&[CLUSTER], &on_node(UPSTREAM_TLS_UNTRUSTED)).named("service untrusted"),
                per_second(&[CLUSTER], &on_node(UPSTREAM_TLS_NAME)).named("service of another name"),
                per_second(&[LISTENER], &on_node(DOWNSTREAM_TLS_ERROR)).named("client"),
            ],
        ),
    ]
}

fn traffic() -> Vec<Panel> {
    let both = [ROUTE, PROTOCOL];
    vec![
        Panel::new(
            Lines,
            "Bps",
            "Bytes",
            "",
            vec![per_second(&[ROUTE], &on_route(REQUEST_BYTES)).named("requests"), per_second(&[ROUTE], &on_route(RESPONSE_BYTES)).named("answers")],
        ),
        Panel::new(Lines, "none", "In flight", "", vec![summed(&both, &on_route(REQUESTS_IN_FLIGHT))]),
        Panel::new(
            Lines,
            "none",
            "Streams open; ended per second",
            "",
            vec![summed(&both, &on_route(STREAMS_OPEN)).named("open"), per_second(&[PROTOCOL, OUTCOME], &on_route(STREAMS)).named("ended")],
        ),
    ]
}

fn nodes() -> Vec<Panel> {
    let of_node = |by: &str, name: &str| format!("count by ({by}) ({} == 1)", on_node(name));
    let dropped = DROPPED.map(|(plugin, counter)| summed(&[NODE], &on_node(counter)).named(plugin));
    let reloads = format!("sum by ({NODE}) ({{__name__=~\"{VM_RELOAD_NAMES}\",{REGION}=~\"$region\",{NODE}=~\"$instance\"}})");
    let table = |title, description, by: &str, name| {
        Panel::new(Table, "none", title, description, vec![Query { expr: of_node(by, name), legend: String::new() }])
    };
    vec![
        table("Configurations in force", "More than one line of a plugin and instance is skew.", &format!("{REGION}, {PLUGIN}, {CHAIN}, {INSTANCE}, {CONFIG}"), CONFIG_INFO),
        table("Versions", "", &format!("{REGION}, {VERSION}, {GIT}"), BUILD_INFO),
        table("Nodes by what their host can do", "", &format!("{REGION}, {CAPABILITY}"), HOST_CAPABILITY),
        Panel::new(Lines, "none", "Series dropped, in all", "Beyond the cap; what is counted is too low then.", dropped.into()),
        Panel::new(Lines, "none", "VMs started again after a crash, in all", "", vec![Query { expr: reloads, legend: legend(&[NODE]) }]),
    ]
}
