//! Of requests: what clients see, and what is done about it.

use super::look::Look::{Lines, Phases, Stacked};
use super::panel::{Panel, Query, legend, on_key, on_node, on_route, per_second, quantile, summed};
use crate::observability::labels::{
    CAUSE, CHAIN, INSTANCE, KEY, NODE, OUTCOME, PLUGIN, PROTOCOL, REGION, RESULT, ROUTE, TO,
};
use crate::observability::rules::AMPLIFICATION;
use crate::observability::slo::error_ratio;
use crate::observability::table::{
    ATTEMPT_DURATION, ATTEMPT_TTFB, ATTEMPTS, BREAKER_CALLS, BREAKER_PROBES, BREAKER_REJECTED, BREAKER_STATE,
    BREAKER_TRANSITIONS, BUDGET_LEFT, BUDGET_REFUSED, BUDGET_REQUESTS, BUDGET_RETRIES, BUDGET_STEERED, REJECTIONS,
    REQUEST_BYTES, REQUEST_DURATION, REQUEST_TTFB, REQUESTS, REQUESTS_IN_FLIGHT, RESPONSE_BYTES, STREAMS, STREAMS_OPEN,
    WOULD_REJECT,
};

pub(super) fn clients() -> Vec<Panel> {
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
        Panel::new(
            Lines,
            "µs",
            "Duration",
            "To the end of the answer.",
            ["0.5", "0.99"].map(|q| quantile(q, REQUEST_DURATION, &both)).into(),
        ),
        Panel::new(
            Lines,
            "µs",
            "First byte: client's side and service's side",
            "What lies between the two is Holdfast's, the queue's and the retries'.",
            vec![
                quantile("0.99", REQUEST_TTFB, &[ROUTE]).named("client"),
                quantile("0.99", ATTEMPT_TTFB, &[ROUTE]).named("service"),
            ],
        ),
        Panel::new(Lines, "µs", "Duration of an attempt", "", vec![quantile("0.99", ATTEMPT_DURATION, &both)]),
    ]
}

pub(super) fn retries() -> Vec<Panel> {
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
            vec![Query {
                expr: format!("{} / ({} > 0)", of_budget(BUDGET_RETRIES), of_budget(BUDGET_REQUESTS)),
                legend: legend(&[INSTANCE, KEY]),
            }],
        ),
        Panel::new(
            Lines,
            "none",
            "Retries left",
            "0: nothing more is granted now.",
            vec![Query {
                expr: format!("min by ({INSTANCE}, {KEY}) ({})", on_key(BUDGET_LEFT)),
                legend: legend(&[INSTANCE, KEY]),
            }],
        ),
        Panel::new(
            Stacked,
            "reqps",
            "Retries kept back",
            "Refused to an attempt that failed; steered: the router was told beforehand.",
            vec![
                per_second(&[KEY, CAUSE], &on_key(BUDGET_REFUSED)).named("refused"),
                per_second(&[KEY, CAUSE], &on_key(BUDGET_STEERED)).named("steered"),
            ],
        ),
    ]
}

pub(super) fn breakers() -> Vec<Panel> {
    let by = format!("{NODE}, {CHAIN}, {INSTANCE}, {KEY}");
    let state = format!("max by ({by}) ({})\nor 0 * sum by ({by}) ({})", on_key(BREAKER_STATE), on_key(BREAKER_CALLS));
    vec![
        Panel::new(
            Phases,
            "none",
            "State",
            "The gauge exists after a breaker's first change; before that it is closed.",
            vec![Query { expr: state, legend: legend(&[NODE, CHAIN, INSTANCE, KEY]) }],
        ),
        Panel::new(Stacked, "reqps", "Calls by outcome", "", vec![per_second(&[KEY, OUTCOME], &on_key(BREAKER_CALLS))]),
        Panel::new(
            Lines,
            "none",
            "Changes",
            "",
            vec![Query {
                expr: format!("sum by ({KEY}, {TO}) (increase({}[5m]))", on_key(BREAKER_TRANSITIONS)),
                legend: legend(&[KEY, TO]),
            }],
        ),
        Panel::new(Stacked, "reqps", "Refused", "", vec![per_second(&[KEY, CAUSE], &on_key(BREAKER_REJECTED))]),
        Panel::new(Stacked, "reqps", "Probes", "", vec![per_second(&[KEY, RESULT], &on_key(BREAKER_PROBES))]),
    ]
}

pub(super) fn refusals() -> Vec<Panel> {
    let would = WOULD_REJECT.map(|(plugin, counter)| per_second(&[INSTANCE, CAUSE], &on_node(counter)).named(plugin));
    vec![
        Panel::new(
            Stacked,
            "reqps",
            "Refused, by plugin and cause",
            "",
            vec![per_second(&[PLUGIN, CAUSE], &on_route(REJECTIONS))],
        ),
        Panel::new(
            Stacked,
            "reqps",
            "Would have been refused (dry runs)",
            "What changes for clients on the day that the dry run ends.",
            would.into(),
        ),
    ]
}

pub(super) fn traffic() -> Vec<Panel> {
    let both = [ROUTE, PROTOCOL];
    vec![
        Panel::new(
            Lines,
            "Bps",
            "Bytes",
            "",
            vec![
                per_second(&[ROUTE], &on_route(REQUEST_BYTES)).named("requests"),
                per_second(&[ROUTE], &on_route(RESPONSE_BYTES)).named("answers"),
            ],
        ),
        Panel::new(Lines, "none", "In flight", "", vec![summed(&both, &on_route(REQUESTS_IN_FLIGHT))]),
        Panel::new(
            Lines,
            "none",
            "Streams open; ended per second",
            "",
            vec![
                summed(&both, &on_route(STREAMS_OPEN)).named("open"),
                per_second(&[PROTOCOL, OUTCOME], &on_route(STREAMS)).named("ended"),
            ],
        ),
    ]
}
