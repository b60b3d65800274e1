//! `metrics.yaml`. Envoy 1.36 doesn't know the line that puts a word on spans: there the rest of the file is driven without it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use integration::{Call, Envoy, Fault, TestResult, Upstream, envoy, eventually};
use serde_json::{Value, json};

use crate::shipped::Shipped;
use crate::{SOON, is_valid};

pub(crate) const FILE: &str = "metrics.yaml";
const TAGS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/tracing/custom_tags";

/// Whether this Envoy puts words of filter state on spans.
fn tags() -> TestResult<bool> {
    Ok(envoy::version()? >= (1, 37, 0))
}

/// What Envoy says of the file: that it is valid, or that it doesn't know the one line.
pub(crate) fn assert_verdict(verdict: Result<String, String>) -> TestResult {
    match (verdict, tags()?) {
        (verdict, true) => is_valid(FILE, verdict),
        (Ok(log), false) => anyhow::bail!("it knows the line after all: {log}"),
        (Err(log), false) => {
            ensure!(log.contains("custom_tags") || log.contains("CustomTag"), "{log}");
            Ok(())
        }
    }
}

/// A collector that takes whatever comes.
struct Collector {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> TestResult<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (port, heard) = (listener.local_addr()?.port(), Arc::default());
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ears = Arc::clone(&ears);
                std::thread::spawn(move || listen(stream, &ears));
            }
        });
        Ok(Self { port, heard })
    }

    fn has_heard(&self, text: &str) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

/// Answers each part: a body that came in two is answered twice, which nobody minds here.
fn listen(mut stream: TcpStream, ears: &Mutex<Vec<u8>>) {
    let mut part = vec![0; 65_536];
    while let Ok(size @ 1..) = stream.read(&mut part) {
        ears.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..size]);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

#[test]
fn metrics_shows_amplification_by_route_one_line_per_request_and_the_same_on_its_span() -> TestResult {
    let (eu, us, collector) = (Upstream::start("eu")?, Upstream::start("us")?, Collector::start()?);
    let mut config = Shipped::read(FILE, &[(8081, eu.port()), (8082, us.port()), (4318, collector.port)])?.config;
    if !tags()? {
        *config.pointer_mut(TAGS).unwrap_or(&mut Value::Null) = json!([]);
    }
    config["stats_flush_interval"] = json!("0.2s");
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    let get = |path: &str, tenant: &str| Call::get(edge, path).header("x-tenant", tenant).send();
    for _ in 0..10 {
        assert_eq!(get("/", "acme")?.status, 200);
    }
    for host in [&eu, &us] {
        host.set(Fault::Status(503));
    }
    for _ in 0..4 {
        assert_eq!(get("/orders", "nobody")?.status, 503);
    }
    eventually("each request is counted once, and each attempt", SOON, || {
        let page = envoy.prometheus()?;
        #[allow(clippy::cast_possible_truncation, reason = "counts of a test")]
        let sum = |name: &str, labels: &[(&str, &str)]| page.sum(&format!("holdfast_{name}"), labels) as i64;
        let requests = sum("requests_total", &[("route", "orders"), ("tenant", "_other"), ("outcome", "server_fault")]);
        let attempts = sum("attempts_total", &[("route", "orders"), ("outcome", "server_fault")]);
        ensure!((requests, attempts) == (4, 12), "{requests} requests, {attempts} attempts");
        ensure!(sum("requests_total", &[("route", "service"), ("tenant", "acme"), ("outcome", "ok")]) == 10);
        let regions = ["eu", "us"].map(|region| sum("attempts_total", &[("region", region)]));
        ensure!(regions.iter().all(|count| *count > 0) && regions.iter().sum::<i64>() == 22, "{regions:?}");
        let within_a_second = sum("request_duration_us_bucket", &[("route", "service"), ("le", "1000000")]);
        Ok::<_, anyhow::Error>(within_a_second == 10)
    })?;
    let line = "outcome=server_fault attempts=3 breaker=closed replay=no cause=-";
    envoy.wait_for_log(&format!("'{line}'"), SOON)?;
    if tags()? {
        eventually("a span has it too", SOON, || Ok::<_, anyhow::Error>(collector.has_heard(line)))?;
    } else {
        eventually("a span came", SOON, || Ok::<_, anyhow::Error>(collector.has_heard("upstream_cluster")))?;
    }
    Ok(())
}
