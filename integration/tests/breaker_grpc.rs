//! gRPC behind the breaker. HTTP says 200 to every call; what counts is `grpc-status`, wherever it stands.

mod story_b;

use integration::client::{self, GrpcReply, Sse};
use integration::{Call, Envoy, Fault, Grpc, TestResult, Upstream, config, eventually, eventually_eq};
use serde_json::{Value, json};
use story_b::{SOON, breaker, counted, policy, route, turned};

const METHOD: &str = "/shop.Orders/Place";

struct Stage {
    orders: Upstream,
    envoy: Envoy,
    edge: u16,
}

impl Stage {
    fn set(change: Value) -> TestResult<Self> {
        let orders = Upstream::start("orders")?;
        let listener = config::listener("edge", &[breaker(change)?.filter()], &[route()]);
        let cluster = config::http2(config::cluster("up", &[orders.port()]));
        let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
        let edge = envoy.port("edge")?;
        Ok(Self { orders, envoy, edge })
    }

    fn call(&self) -> TestResult<GrpcReply> {
        client::grpc(self.edge, METHOD, b"two apples", &[])
    }

    fn calls(&self, outcome: &str) -> TestResult<u64> {
        counted(&self.envoy, "calls_total", &[("outcome", outcome)])
    }

    /// Calls that end like this open the breaker, and the service gets no more of them than it takes.
    fn assert_opens_by(end: Grpc) -> TestResult {
        let stage = Self::set(json!({}))?;
        stage.orders.set_grpc(end);
        for _ in 0..3 {
            assert_eq!(stage.call()?.status, Some(14));
        }
        eventually_eq("the breaker is open", SOON, &1, || turned(&stage.envoy, "open"))?;
        assert_refused(&stage.call()?);
        assert_eq!((stage.orders.hits(), stage.calls("failure")?), (3, 3));
        Ok(())
    }
}

/// Trailers-only: everything in one header block, as a gRPC client wants it.
fn assert_refused(reply: &GrpcReply) {
    assert_eq!((reply.http_status, reply.status, reply.in_trailers), (200, Some(14), false), "{reply:?}");
    assert!(reply.messages.is_empty());
    let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("content-type"), Some("application/grpc"));
    assert_eq!(header("x-holdfast-reject"), Some("circuit-breaker; cause=open"));
    assert_eq!(header("x-envoy-ratelimited"), Some("true"));
    assert!(header("retry-after").is_some());
    assert!(reply.message.as_deref().is_some_and(|message| message.contains("circuit breaker")), "{:?}", reply.message);
}

#[test]
fn unavailable_behind_a_message_opens_the_breaker() -> TestResult {
    Stage::assert_opens_by(Grpc::MessageThen(14))
}

#[test]
fn unavailable_in_trailers_opens_the_breaker() -> TestResult {
    Stage::assert_opens_by(Grpc::Trailers(14))
}

#[test]
fn unavailable_in_the_only_header_block_opens_the_breaker() -> TestResult {
    Stage::assert_opens_by(Grpc::TrailersOnly(14))
}

#[test]
fn the_service_is_probed_and_trusted_again() -> TestResult {
    let stage = Stage::set(json!({"open": {"base": "300ms"}}))?;
    stage.orders.set_grpc(Grpc::MessageThen(14));
    eventually("the breaker opens", SOON, || {
        Ok::<_, anyhow::Error>(stage.call()?.headers.contains_key("x-holdfast-reject"))
    })?;
    stage.orders.set_grpc(Grpc::Ok);
    eventually("a call that ends well closes it", SOON, || Ok::<_, anyhow::Error>(stage.call()?.status == Some(0)))?;
    eventually_eq("it is closed", SOON, &1, || turned(&stage.envoy, "closed"))
}

#[test]
fn good_calls_and_callers_mistakes_are_no_failures() -> TestResult {
    let stage = Stage::set(json!({}))?;
    // INVALID_ARGUMENT and NOT_FOUND are the caller's; OK needs no word.
    let ends = [Grpc::Ok, Grpc::MessageThen(3), Grpc::TrailersOnly(5), Grpc::Trailers(3), Grpc::TrailersOnly(3)];
    for end in ends {
        stage.orders.set_grpc(end);
        for _ in 0..2 {
            let reply = stage.call()?;
            assert!(reply.status.is_some() && !reply.headers.contains_key("x-holdfast-reject"), "{reply:?}");
        }
    }
    eventually_eq("all of them were successes", SOON, &10, || stage.calls("success"))?;
    assert_eq!((stage.calls("failure")?, turned(&stage.envoy, "open")?, stage.orders.hits()), (0, 0, 10));
    Ok(())
}

#[test]
fn the_statuses_that_count_can_be_chosen() -> TestResult {
    let stage = Stage::set(json!({"failure_on": {"grpc_status": [5]}}))?;
    stage.orders.set_grpc(Grpc::MessageThen(14));
    for _ in 0..5 {
        assert_eq!(stage.call()?.status, Some(14));
    }
    eventually_eq("14 is a success now", SOON, &5, || stage.calls("success"))?;
    stage.orders.set_grpc(Grpc::MessageThen(5));
    eventually("5 opens the breaker", SOON, || Ok::<_, anyhow::Error>(stage.call()?.status == Some(14)))?;
    assert_refused(&stage.call()?);
    Ok(())
}

#[test]
fn an_http_error_of_a_grpc_service_counts_by_its_http_status() -> TestResult {
    let stage = Stage::set(json!({}))?;
    stage.orders.set(Fault::Status(503));
    eventually("the breaker opens", SOON, || {
        Ok::<_, anyhow::Error>(stage.call()?.headers.contains_key("x-holdfast-reject"))
    })?;
    assert_refused(&stage.call()?);
    Ok(())
}

#[test]
fn a_streamed_answer_passes_unbuffered_and_is_not_cut() -> TestResult {
    let orders = Upstream::start("orders")?;
    // The filter behind the breaker makes the events look like gRPC messages.
    let as_grpc = config::header_mutation("content-type", "application/grpc");
    let filters = [breaker(policy(json!({})))?.filter(), as_grpc];
    let listener = config::listener("edge", &filters, &[route()]);
    let cluster = config::http2(config::cluster("up", &[orders.port()]));
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let edge = envoy.port("edge")?;

    let call = Call::post(edge, "/sse?events=50&every_ms=40", b"").http2().header("content-type", "application/grpc");
    let mut stream = Sse::from_call(&call.header("te", "trailers"))?;
    assert_eq!(stream.headers["content-type"], "application/grpc");
    assert!(stream.next(SOON)?.is_some());
    assert_eq!(orders.in_flight(), 1, "the first message arrived while the service was still speaking");

    story_b::open_the_breaker(edge, &orders)?;
    assert_eq!(orders.in_flight(), 1, "the breaker opened while the service was still speaking");
    let rest = stream.finish(SOON)?;
    assert_eq!((rest.events.len(), rest.cut), (49, None));
    Ok(())
}
