//! Services as people write them: async-graphql and axum, tonic and tonic-health. Each has a switch that makes it sick, and streams that send the next
//! event only when the one before was acknowledged, so that whoever buffers them waits for ever.

#![allow(dead_code, reason = "each story uses its part")]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _, stream};
use integration::TestResult;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// What a service is told from outside.
#[derive(Debug)]
pub(crate) struct Switches {
    sick: AtomicBool,
    hits: AtomicU64,
    acked: watch::Sender<u64>,
}

/// A running service; dropping it ends it.
pub(crate) struct Service {
    pub(crate) port: u16,
    switches: Arc<Switches>,
    _runtime: Runtime,
}

// === impl Switches ===

impl Switches {
    fn new() -> Arc<Self> {
        Arc::new(Self { sick: AtomicBool::new(false), hits: AtomicU64::new(0), acked: watch::Sender::new(0) })
    }

    fn visit(&self) -> bool {
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.sick.load(Ordering::Relaxed)
    }

    /// Numbers from 0, each one when the one before was acknowledged.
    fn numbers(&self, count: u64) -> impl Stream<Item = u64> + Send + use<> {
        let acked = self.acked.subscribe();
        stream::iter(0..count).then(move |n| {
            let mut acked = acked.clone();
            async move {
                // The sender lives as long as the service.
                let _ = acked.wait_for(|acked| *acked >= n).await;
                n
            }
        })
    }
}

// === impl Service ===

impl Service {
    /// GraphQL and REST.
    pub(crate) fn http() -> TestResult<Self> {
        Self::start(|switches, listener| async move {
            let schema = Schema::build(Query(Arc::clone(&switches)), EmptyMutation, EmptySubscription).finish();
            let router = Router::new()
                .route("/graphql", post(graphql))
                .with_state(schema)
                .merge(
                    Router::new()
                        .route("/orders", get(orders))
                        .route("/events", get(events))
                        .with_state(Arc::clone(&switches)),
                )
                .merge(Router::new().route("/ack/{n}", post(ack)).with_state(switches));
            let _ = axum::serve(listener, router).await;
        })
    }

    /// gRPC: the health service of tonic-health's own protocol file.
    pub(crate) fn grpc() -> TestResult<Self> {
        Self::start(|switches, listener| async move {
            let incoming = stream::unfold(listener, |listener| async {
                let accepted = listener.accept().await.map(|(tcp, _)| tcp);
                Some((accepted, listener))
            });
            let health = HealthServer::new(Checked(switches));
            let _ = tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming).await;
        })
    }

    fn start<F>(serve: impl FnOnce(Arc<Switches>, TcpListener) -> F) -> TestResult<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        let switches = Switches::new();
        runtime.spawn(serve(Arc::clone(&switches), listener));
        Ok(Self { port, switches, _runtime: runtime })
    }

    pub(crate) fn sicken(&self) {
        self.switches.sick.store(true, Ordering::Relaxed);
    }

    pub(crate) fn hits(&self) -> u64 {
        self.switches.hits.load(Ordering::Relaxed)
    }

    /// The event before this one has arrived.
    pub(crate) fn acknowledge(&self, next: u64) {
        self.switches.acked.send_replace(next);
    }
}

struct Query(Arc<Switches>);

#[Object]
#[allow(clippy::unused_async, reason = "the macro wants it so")]
impl Query {
    async fn orders(&self) -> async_graphql::Result<Vec<String>> {
        if self.0.visit() { Err("the stock service is down".into()) } else { Ok(vec!["two apples".into()]) }
    }
}

type Shop = Schema<Query, EmptyMutation, EmptySubscription>;

async fn graphql(State(schema): State<Shop>, Json(request): Json<Value>) -> Json<Value> {
    let query = request["query"].as_str().unwrap_or_default();
    let answer = schema.execute(query).await;
    Json(serde_json::to_value(answer).unwrap_or_default())
}

async fn orders(State(switches): State<Arc<Switches>>) -> Json<Value> {
    Json(json!({"status": if switches.visit() { "degraded" } else { "ok" }, "orders": ["two apples"]}))
}

async fn events(State(switches): State<Arc<Switches>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(switches.numbers(5).map(|n| Ok(Event::default().data(n.to_string()))))
}

async fn ack(State(switches): State<Arc<Switches>>, Path(n): Path<u64>) {
    switches.acked.send_replace(n);
}

struct Checked(Arc<Switches>);

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

#[tonic::async_trait]
impl Health for Checked {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if self.0.visit() { Err(Status::unavailable("out of order")) } else { Ok(Response::new(serving())) }
    }

    /// One message per acknowledgement; a sick one breaks off after the first.
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let sick = self.0.visit();
        let numbers = self.0.numbers(5);
        let messages =
            numbers.map(move |n| if sick && n > 0 { Err(Status::unavailable("out of order")) } else { Ok(serving()) });
        Ok(Response::new(Box::pin(messages)))
    }
}
