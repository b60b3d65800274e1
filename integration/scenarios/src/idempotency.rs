//! Idempotency keys. The store is the proxy's own memory: what another store changes is told by its own stories.

use super::ask::{Answer, Ask, Value, get, post};
use super::scenario::{Plugin, Scenario};
use core::time::Duration;

const ORDER: &str = r#"{"amount": 10, "to": "x"}"#;
const RECEIPT: &str = r#"{"receipt": 1}"#;
const PLAIN: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true}"#;
/// There, memory may forget, and answers can't be held until they are stored.
const IN_KONG: &str = r#"{"store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true}"#;
const BY_TENANT: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "tenant": ["x-tenant"]}"#;
const REQUIRED: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "required": true}"#;
const STRICT: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "strict": true}"#;
const DRY: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "mode": "dry_run"}"#;
const SHORT: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "lease": "1s"}"#;
const SMALL: &str = r#"{"store": {"kind": "memory"}, "headers_stop_iteration": true, "max_body": 16}"#;

fn keys(name: &'static str, config: &'static str) -> Scenario {
    Scenario::new(Plugin::Idempotency, name, config).in_kong(IN_KONG)
}

fn pay() -> Ask {
    keyless().with("idempotency-key", "\"k\"")
}

fn keyless() -> Ask {
    post("/pay", ORDER).with("content-type", "application/json").answer(receipt())
}

fn receipt() -> Answer {
    Answer::of(201).with("content-type", "application/json").says(RECEIPT)
}

/// The service is asked, and the client gets its receipt.
fn runs(ask: Ask) -> Ask {
    ask.sees(201).body(RECEIPT).asked(1).header("idempotency-replayed", Value::Absent)
}

/// The client gets it again.
fn replayed(ask: Ask) -> Ask {
    ask.sees(201).body(RECEIPT).asked(0).header("idempotency-replayed", Value::Is("true"))
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [repeats(), refusals()].concat()
}

fn repeats() -> Vec<Scenario> {
    vec![
        keys("A payment runs once, and who repeats it gets its receipt.", PLAIN)
            .ask(runs(pay()).service("x-holdfast-fence", Value::Present))
            .times(3, replayed(pay()))
            .total("holdfast_idempotency_claimed_total", &[], 1)
            .total("holdfast_idempotency_replayed_total", &[], 3),
        keys("While the first is under way a repeat is refused, and then it gets the receipt.", PLAIN)
            .begin("the first", runs(pay()).answer(receipt().later(Duration::from_secs(2))))
            .times(2, pay().refused(409, "idempotency; cause=in_flight").header("retry-after", Value::Present))
            .end("the first")
            .ask(replayed(pay())),
        keys("JSON that means the same is the same payment.", PLAIN).ask(runs(pay())).ask(replayed(
            post("/pay", r#" {"to": "x", "amount": 1e1} "#)
                .with("content-type", "application/json")
                .with("idempotency-key", "\"k\""),
        )),
        keys("Requests without a key pass each time.", PLAIN).times(3, runs(keyless())).total(
            "holdfast_idempotency_claimed_total",
            &[],
            0,
        ),
        keys("Reading needs no key, and one that is sent changes nothing.", PLAIN)
            .times(3, get("/pay").with("idempotency-key", "\"k\"").gets(200)),
        keys("A failure of the service is an answer too.", PLAIN)
            .ask(pay().gets(500))
            .ask(pay().sees(500).asked(0).header("idempotency-replayed", Value::Is("true"))),
        keys("What the service says that it hasn't done may be asked again.", PLAIN)
            .ask(pay().gets(429))
            .ask(runs(pay())),
        keys("One tenant's key is not another one's.", BY_TENANT)
            .ask(runs(pay().with("x-tenant", "blue")))
            .ask(runs(pay().with("x-tenant", "green")))
            .ask(replayed(pay().with("x-tenant", "blue"))),
        keys("A dry run lets everything run.", DRY).times(2, runs(pay())),
    ]
}

fn refusals() -> Vec<Scenario> {
    vec![
        keys("Another payload under the same key is refused.", PLAIN)
            .ask(runs(pay()))
            .ask(
                post("/pay", r#"{"amount": 11}"#)
                    .with("content-type", "application/json")
                    .with("idempotency-key", "\"k\"")
                    .refused(422, "idempotency; cause=mismatch"),
            )
            .total("holdfast_idempotency_refused_total", &[("cause", "mismatch")], 1),
        keys("Of a payment whose client left in the middle nobody knows.", SHORT)
            .begin("the first", pay().answer(receipt().later(Duration::from_secs(5))))
            .ask(pay().refused(409, "idempotency; cause=in_flight"))
            .leave("the first")
            .wait(1_200)
            .ask(pay().refused(409, "idempotency; cause=uncertain")),
        keys("Where keys are required a request without one is refused.", REQUIRED)
            .ask(keyless().refused(400, "idempotency; cause=key_missing"))
            .ask(runs(pay())),
        keys("Where keys are strings a bare one is refused.", STRICT)
            .ask(keyless().with("idempotency-key", "k").refused(400, "idempotency; cause=key_unquoted"))
            .ask(runs(pay())),
        keys("A request whose tenant nobody knows is refused.", BY_TENANT)
            .ask(pay().refused(400, "idempotency; cause=tenant")),
        keys("A body that is too long to be compared is refused.", SMALL)
            .ask(pay().refused(413, "idempotency; cause=too_large")),
    ]
}
