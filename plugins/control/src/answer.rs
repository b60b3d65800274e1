//! What is answered: JSON, or a problem (RFC 9457) that says what to do.

use crate::gate::No;
use crate::order::{Done, Failure, Order};
use crate::state::{TOO_MANY, object};
use sdk_shim::config::Faults;
use sdk_shim::host::Reply;
use sdk_shim::json::Value;
use sdk_shim::time::Instant;

/// Keys that an answer names.
const NAMED: usize = 100;

/// A JSON document.
pub fn json(value: &Value) -> Reply {
    reply(200, "application/json", value)
}

fn reply(status: u16, kind: &str, value: &Value) -> Reply {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // It changes from one moment to the next.
    let headers = vec![header("content-type", kind), header("cache-control", "no-store")];
    Reply { status, headers, body: (value.to_string() + "\n").into_bytes(), grpc_status: None }
}

fn problem(status: u16, title: &str, more: Vec<(&str, Value)>) -> Reply {
    let mut fields = vec![
        ("type", Value::from("urn:holdfast:problem:control")),
        ("title", Value::from(title)),
        ("status", Value::from(u64::from(status))),
    ];
    fields.extend(more);
    reply(status, "application/problem+json", &object(fields))
}

fn texts(texts: impl IntoIterator<Item = String>) -> Value {
    Value::Array(texts.into_iter().take(NAMED).map(Value::from).collect())
}

/// To a request that is none of ours.
pub fn no(why: No) -> Reply {
    let with = |mut reply: Reply, name: &str, value: &str| {
        reply.headers.push((name.to_owned(), value.to_owned()));
        reply
    };
    match why {
        No::Unauthorized => with(problem(401, "The token is missing, or wrong.", vec![]), "www-authenticate", "Bearer"),
        No::NotFound => problem(404, "There are GET /state and POST /override.", vec![]),
        No::Method(allowed) => with(problem(405, "Another method is wanted.", vec![]), "allow", allowed),
        No::Query => problem(400, "The only query is ?limit=<1 to 10000>.", vec![]),
    }
}

/// An order of more bytes than there is to say.
pub fn too_long() -> Reply {
    problem(413, "An order has at most 4096 bytes.", vec![])
}

/// An order with faults.
pub fn faults(faults: &Faults) -> Reply {
    problem(400, "The order has faults.", vec![("faults", texts(faults.iter().map(ToString::to_string)))])
}

/// Shared data can't be read.
pub fn unreadable(error: &str) -> Reply {
    problem(503, "The state can't be read.", vec![("error", Value::from(error))])
}

/// What came of an order.
pub fn done(order: &Order, done: Done, now: Instant) -> Reply {
    match done {
        Done::Set(keys) => {
            let mode = order.set.map_or(Value::Null, |(mode, _)| Value::from(mode.as_str()));
            let until = order.until(now).map_or(Value::Null, |until| Value::from(until.as_millis()));
            json(&object(vec![
                ("plugin", Value::from(order.plugin.as_str())),
                ("chain", Value::from(order.chain)),
                ("instance", Value::from(order.instance.as_str())),
                ("mode", mode),
                ("until_ms", until),
                ("keys_total", Value::from(u64::try_from(keys.len()).unwrap_or(u64::MAX))),
                ("keys", texts(keys)),
            ]))
        }
        Done::NoInstance(known) => problem(404, "No such instance has keys here.", vec![("instances", texts(known))]),
        Done::NoKey(known) => problem(404, "It has no such key.", vec![("keys", texts(known))]),
        Done::Failed(set, failure) => {
            let why = match failure {
                Failure::Cell(error) => error.to_string(),
                Failure::TooMany => TOO_MANY.to_owned(),
                Failure::Version => "this module and the plugin are of different versions".to_owned(),
            };
            let set = Value::from(u64::try_from(set).unwrap_or(u64::MAX));
            problem(
                503,
                "It could not be set for all; the same order may be given again.",
                vec![("set", set), ("error", Value::from(why))],
            )
        }
    }
}
