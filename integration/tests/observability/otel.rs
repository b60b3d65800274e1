//! Envoy's OTLP sink, as the file in `observability/otel/` sets it up, before a receiver that keeps what it gets.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use integration::config::{self, from_yaml, patch};
use integration::observability::repository;
use integration::observability::table::{Source, family};
use integration::{Envoy, TestResult, Upstream, Wasm, client, eventually};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(15);
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A collector that only keeps bytes: names and attributes stand in them as they are. Dropping it ends it.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<u8>>>,
    _runtime: Runtime,
}

// === impl Receiver ===

impl Receiver {
    fn start() -> TestResult<Self> {
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let (port, got) = (listener.local_addr()?.port(), Arc::default());
        runtime.spawn(serve(listener, Arc::clone(&got)));
        Ok(Self { port, got, _runtime: runtime })
    }

    /// Whether a text stands in what came.
    fn has(&self, text: &str) -> bool {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        got.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

async fn serve(listener: TcpListener, got: Arc<Mutex<Vec<u8>>>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let got = Arc::clone(&got);
        let answer = service_fn(move |request| keep(request, Arc::clone(&got)));
        tokio::spawn(async move {
            // A connection that breaks is Envoy's to open again.
            drop(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(tcp), answer)
                    .await,
            );
        });
    }
}

/// Keeps an export, and answers with an empty message and status 0.
async fn keep(
    request: Request<Incoming>,
    got: Arc<Mutex<Vec<u8>>>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let exports = request.uri().path() == EXPORT;
    if let (true, Ok(body)) = (exports, request.into_body().collect().await) {
        got.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&body.to_bytes());
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

fn text(path: &str) -> TestResult<String> {
    let file = repository().join(path);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// A bootstrap with the two shipped parts, as `--config-yaml` merges them: lists become longer.
fn merged(bootstrap: Value, collector: u16) -> TestResult<Value> {
    let parts = [text("envoy-configs/stats-tags.yaml")?, text("observability/otel/envoy-stats-sink.yaml")?].concat();
    let mut parts = from_yaml(&parts)?;
    parts["stats_flush_interval"] = json!("0.2s");
    let cluster = &mut parts["static_resources"]["clusters"][0];
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
        json!({"address": "127.0.0.1", "port_value": collector});
    let clusters = [bootstrap["static_resources"]["clusters"].clone(), parts["static_resources"]["clusters"].clone()];
    let clusters = clusters.iter().filter_map(Value::as_array).flatten().cloned().collect::<Vec<_>>();
    Ok(patch(patch(bootstrap, parts), json!({"static_resources": {"clusters": clusters}})))
}

#[test]
fn a_collector_gets_names_and_labels_as_attributes() -> TestResult {
    let (service, receiver) = (Upstream::start("orders")?, Receiver::start()?);
    let breaker = Wasm::module("circuit_breaker")?.filter();
    let listener = config::listener("edge", &[breaker], &[config::route("orders-eu", "orders")]);
    let bootstrap = config::bootstrap(&[listener], &[config::cluster("orders", &[service.port()])]);
    let envoy = Envoy::start(&merged(bootstrap, receiver.port)?)?;
    client::get(envoy.port("edge")?, "/", &[])?;
    for wanted in
        ["holdfast_circuit_breaker_calls_total", "holdfast_instance", "key", "orders-eu", "outcome", "success"]
    {
        eventually(wanted, SOON, || receiver.has(wanted))?;
    }
    ensure!(
        receiver.has("wasmcustom.holdfast_circuit_breaker_calls_total"),
        "the collector's file takes the prefix away"
    );
    ensure!(!receiver.has("calls_total;chain="), "a label is still part of the name");
    ensure!(!envoy.log().contains("deprecated"), "{}", envoy.log());
    Ok(())
}

#[test]
fn the_shipped_part_is_valid_as_it_stands() -> TestResult {
    let bootstrap = config::bootstrap(&[], &[]);
    let parts = from_yaml(&text("observability/otel/envoy-stats-sink.yaml")?)?;
    integration::envoy::validate(&patch(bootstrap, parts)).map(drop).map_err(|log| anyhow::anyhow!(log))
}

#[test]
fn the_collector_renames_only_what_there_is() -> TestResult {
    let collector = text("observability/otel/collector.yaml")?;
    let parsed = from_yaml(&collector)?;
    let groups = parsed["processors"]["transform/holdfast"]["metric_statements"]
        .as_array()
        .context("metric_statements")?
        .clone();
    ensure!(groups.len() >= 2 && parsed["service"]["pipelines"]["metrics"]["processors"].is_array(), "{parsed}");
    let mut renamed = 0;
    for name in collector.split('"').skip(1).step_by(2).filter(|name| name.starts_with("holdfast_")) {
        let source = family(name).with_context(|| format!("{name} isn't in the table"))?.source;
        ensure!(source == Source::Metrics, "{name} has no name in the semantic conventions");
        renamed += 1;
    }
    ensure!(renamed >= 4, "only {renamed} are renamed");
    Ok(())
}
