//! Of what stands behind and below: stores, services, pools, nodes.

use super::look::Look::{Lines, Stacked, Table};
use super::panel::{Panel, Query, legend, on_key, on_node, on_route, per_second, summed};
use crate::observability::labels::{
    CAPABILITY, CAUSE, CHAIN, CLUSTER, CONFIG, GIT, INSTANCE, KEY, LISTENER, NODE, OUTCOME, PLUGIN, PROTOCOL, REGION,
    STORE, VERSION,
};
use crate::observability::rules::VM_RELOAD_NAMES;
use crate::observability::table::{
    BUILD_INFO, CLAIMED, CONFIG_INFO, CX_ACTIVE, CX_OVERFLOW, CX_OVERFLOW_TOTAL, DOWNSTREAM_TLS_ERROR, DROPPED,
    EJECTIONS_ACTIVE, HEALTH_ATTEMPTS, HEALTH_MALFORMED, HEALTH_REFUSED, HOST_CAPABILITY, IDEMPOTENCY_REFUSED,
    PENDING_ACTIVE, PENDING_OVERFLOW, REPLAYED, STORE_CALLS, STORE_ERRANDS, STORE_ERRANDS_ENDED, STORE_FAILURES,
    STORE_MAY_EVICT, STORED, UNCERTAIN, UNPROTECTED, UPSTREAM_ERRORS, UPSTREAM_TLS_ERROR, UPSTREAM_TLS_NAME,
    UPSTREAM_TLS_UNTRUSTED,
};

pub(super) fn idempotency() -> Vec<Panel> {
    [keys(), store()].into_iter().flatten().collect()
}

fn keys() -> Vec<Panel> {
    vec![
        Panel::new(
            Stacked,
            "reqps",
            "Claims and replays",
            "",
            vec![
                per_second(&[KEY], &on_key(CLAIMED)).named("claimed"),
                per_second(&[KEY], &on_key(REPLAYED)).named("replayed"),
            ],
        ),
        Panel::new(Stacked, "reqps", "Refused", "", vec![per_second(&[KEY, CAUSE], &on_key(IDEMPOTENCY_REFUSED))]),
        Panel::new(
            Lines,
            "none",
            "Uncertain and unprotected, in all",
            "Since the node runs: the first one is one too many.",
            vec![
                summed(&[KEY, CAUSE], &on_key(UNCERTAIN)).named("uncertain"),
                summed(&[KEY, CAUSE], &on_key(UNPROTECTED)).named("unprotected"),
            ],
        ),
        Panel::new(Stacked, "reqps", "Answers kept", "", vec![per_second(&[KEY, CAUSE], &on_key(STORED))]),
    ]
}

fn store() -> Vec<Panel> {
    let total = |name: &str| format!("sum by ({STORE}) ({})", on_node(name));
    vec![
        Panel::new(
            Lines,
            "reqps",
            "The store",
            "",
            vec![
                per_second(&[STORE], &on_node(STORE_CALLS)).named("calls"),
                per_second(&[CAUSE], &on_node(STORE_FAILURES)).named("failures"),
            ],
        ),
        Panel::new(
            Lines,
            "none",
            "The store may evict; what it still has to be told",
            "1: a record may be gone before its time, and its request run again.",
            vec![
                Query {
                    expr: format!("max by ({STORE}) ({})", on_node(STORE_MAY_EVICT)),
                    legend: format!("may evict {}", legend(&[STORE])),
                },
                Query {
                    expr: format!("{} - {}", total(STORE_ERRANDS), total(STORE_ERRANDS_ENDED)),
                    legend: format!("errands {}", legend(&[STORE])),
                },
            ],
        ),
    ]
}

pub(super) fn health() -> Vec<Panel> {
    let both = [PROTOCOL, OUTCOME];
    vec![
        Panel::new(
            Stacked,
            "reqps",
            "Attempts by what they came to",
            "",
            vec![per_second(&both, &on_node(HEALTH_ATTEMPTS))],
        ),
        Panel::new(
            Lines,
            "none",
            "Hosts ejected",
            "By Envoy's outlier detection.",
            vec![summed(&[CLUSTER], &on_node(EJECTIONS_ACTIVE))],
        ),
        Panel::new(
            Stacked,
            "reqps",
            "Deadlines: refused, and unreadable",
            "",
            vec![
                per_second(&[CAUSE], &on_node(HEALTH_REFUSED)).named("refused"),
                per_second(&[CAUSE], &on_node(HEALTH_MALFORMED)).named("unreadable"),
            ],
        ),
    ]
}

pub(super) fn pools() -> Vec<Panel> {
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
            vec![
                summed(&[CLUSTER], &on_node(PENDING_ACTIVE)).named("waiting"),
                summed(&[CLUSTER], &on_node(CX_ACTIVE)).named("connections"),
            ],
        ),
        Panel::new(
            Stacked,
            "reqps",
            "Errors on the way to services",
            "",
            vec![per_second(&[CAUSE], &on_route(UPSTREAM_ERRORS))],
        ),
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

pub(super) fn nodes() -> Vec<Panel> {
    let of_node = |by: &str, name: &str| format!("count by ({by}) ({} == 1)", on_node(name));
    let dropped = DROPPED.map(|(plugin, counter)| summed(&[NODE], &on_node(counter)).named(plugin));
    let reloads =
        format!("sum by ({NODE}) ({{__name__=~\"{VM_RELOAD_NAMES}\",{REGION}=~\"$region\",{NODE}=~\"$instance\"}})");
    let table = |title, description, by: &str, name| {
        Panel::new(Table, "none", title, description, vec![Query { expr: of_node(by, name), legend: String::new() }])
    };
    vec![
        table(
            "Configurations in force",
            "More than one line of a plugin and instance is skew.",
            &format!("{REGION}, {PLUGIN}, {CHAIN}, {INSTANCE}, {CONFIG}"),
            CONFIG_INFO,
        ),
        table("Versions", "", &format!("{REGION}, {VERSION}, {GIT}"), BUILD_INFO),
        table("Nodes by what their host can do", "", &format!("{REGION}, {CAPABILITY}"), HOST_CAPABILITY),
        Panel::new(
            Lines,
            "none",
            "Series dropped, in all",
            "Beyond the cap; what is counted is too low then.",
            dropped.into(),
        ),
        Panel::new(
            Lines,
            "none",
            "VMs started again after a crash, in all",
            "",
            vec![Query { expr: reloads, legend: legend(&[NODE]) }],
        ),
    ]
}
