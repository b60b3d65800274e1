//! The same words in both languages.

use proxy_wasm_host::abi::v0_2_1::types::{BufferType, LogLevel, MapType, MetricType, Status};
use sdk_shim::host::{Body, HostError, Map, MetricKind};

pub(crate) fn status(error: HostError) -> Status {
    match error {
        HostError::NotFound => Status::NotFound,
        HostError::BadArgument => Status::BadArgument,
        HostError::CasMismatch => Status::CasMismatch,
        HostError::Status(code) => {
            i32::try_from(code).ok().and_then(|code| Status::try_from(code).ok()).unwrap_or(Status::InternalFailure)
        }
    }
}

pub(crate) fn map(map: MapType) -> Option<Map> {
    match map {
        MapType::HttpRequestHeaders => Some(Map::RequestHeaders),
        MapType::HttpResponseHeaders => Some(Map::ResponseHeaders),
        MapType::HttpResponseTrailers => Some(Map::ResponseTrailers),
        _ => None,
    }
}

pub(crate) fn body(buffer: BufferType) -> Option<Body> {
    match buffer {
        BufferType::HttpRequestBody => Some(Body::Request),
        BufferType::HttpResponseBody => Some(Body::Response),
        _ => None,
    }
}

pub(crate) fn metric(kind: MetricType) -> MetricKind {
    match kind {
        MetricType::Counter => MetricKind::Counter,
        MetricType::Gauge => MetricKind::Gauge,
        MetricType::Histogram => MetricKind::Histogram,
    }
}

pub(crate) fn level(level: LogLevel) -> log::Level {
    match level {
        LogLevel::Trace => log::Level::Trace,
        LogLevel::Debug => log::Level::Debug,
        LogLevel::Info => log::Level::Info,
        LogLevel::Warn => log::Level::Warn,
        LogLevel::Error | LogLevel::Critical => log::Level::Error,
    }
}

/// What a module says is text, or the test fails.
pub(crate) fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).expect("a module of ours says UTF-8")
}
