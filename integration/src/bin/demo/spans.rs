//! A collector of spans, as small as one can be: it takes what Envoy's OpenTelemetry tracer posts, and keeps what Holdfast says on them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use integration::TestResult;
use integration::config::cluster;
use integration::envoy;
use serde_json::{Value, json};

const HCM: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const CLUSTERS: &str = "/static_resources/clusters";
/// The tag of each span; its value begins with the second.
const TAG: &[u8] = b"holdfast.request";
const VALUE: &[u8] = b"outcome=";

/// The end of a chunk, and the last one.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// The collector.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    port: u16,
    heard: Arc<Mutex<Heard>>,
}

/// What came so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Spans with our tag.
    pub(crate) spans: usize,
    /// The last one on which something else than `outcome=ok` stood.
    pub(crate) example: Option<String>,
}

// === impl Collector ===

impl Collector {
    pub(crate) fn start() -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for spans")?;
        let collector = Self { port: listener.local_addr()?.port(), heard: Arc::default() };
        let heard = Arc::clone(&collector.heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = Arc::clone(&heard);
                // It ends with its connection.
                std::thread::spawn(move || drop(serve(stream, &heard)));
            }
        });
        Ok(collector)
    }

    /// Has Envoy trace every request, as `envoy-configs/metrics.yaml` does.
    pub(crate) fn trace(&self, config: &mut Value) -> TestResult {
        let uri =
            json!({"uri": format!("http://127.0.0.1:{}/v1/traces", self.port), "cluster": "otel", "timeout": "1s"});
        let tracer = json!({
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "service_name": "edge", "http_service": {"http_uri": uri},
        });
        let mut tracing = json!({"provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer}});
        // 1.36 has no tags with such values.
        if envoy::version()? >= (1, 37, 0) {
            tracing["custom_tags"] =
                json!([{"tag": "holdfast.request", "value": "%FILTER_STATE(wasm.holdfast.request:PLAIN)%"}]);
        }
        config.pointer_mut(HCM).context("a listener")?["tracing"] = tracing;
        let clusters = config.pointer_mut(CLUSTERS).and_then(Value::as_array_mut).context("clusters")?;
        clusters.push(cluster("otel", &[self.port]));
        Ok(())
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Heard>) -> TestResult {
    let (mut bytes, mut part) = (Vec::new(), [0; 16_384]);
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&part[..read]);
        while let Some(end) = whole_request(&bytes) {
            note(&bytes[..end], &mut heard.lock().unwrap_or_else(PoisonError::into_inner));
            bytes.drain(..end);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}

/// Where the first request ends, if it is here whole.
fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    if text.lines().any(|line| line == "transfer-encoding: chunked") {
        // Envoy sends these in one chunk; its size is in the line before it.
        let size = find(&bytes[head..], b"\r\n")?;
        let chunk = usize::from_str_radix(std::str::from_utf8(&bytes[head..head + size]).ok()?, 16).ok()?;
        let end = head + size + 2 + chunk + LAST_CHUNK.len();
        return (bytes.get(end.checked_sub(LAST_CHUNK.len())?..end)? == LAST_CHUNK).then_some(end);
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

/// Protobuf, but texts stand in it as they are.
fn note(request: &[u8], heard: &mut Heard) {
    let mut rest = request;
    while let Some(at) = find(rest, TAG) {
        rest = &rest[at + TAG.len()..];
        heard.spans += 1;
        // Its length stands before it.
        let value = find(rest, VALUE).and_then(|at| rest.get(at..at + usize::from(*rest.get(at.checked_sub(1)?)?)));
        let value = value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        if !value.is_empty() && !value.starts_with("outcome=ok") {
            heard.example = Some(value.to_owned());
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_out_of_whole_requests() {
        let body = b"\n\x10holdfast.request\x12\x29outcome=timeout attempts=1 breaker=closedz\n\x10holdfast.request\x12\x0aoutcome=ok\n";
        let request = [b"POST / HTTP/1.1\r\nContent-Length: 93\r\n\r\n".as_slice(), body].concat();
        assert_eq!(body.len(), 93);
        assert_eq!((whole_request(&request), whole_request(&request[..90])), (Some(request.len()), None));
        let chunked =
            [b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5d\r\n".as_slice(), body, LAST_CHUNK].concat();
        assert_eq!((whole_request(&chunked), whole_request(&chunked[..140])), (Some(chunked.len()), None));
        let mut heard = Heard::default();
        note(&request, &mut heard);
        assert_eq!((heard.spans, heard.example.as_deref()), (2, Some("outcome=timeout attempts=1 breaker=closed")));
    }
}
