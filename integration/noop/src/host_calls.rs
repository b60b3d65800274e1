//! The floor: the host calls of a plugin without the plugin.
//!
//! Configured as `{"request": ["property xds.route_name", "now"], "response": [...], "log": [...], "done": [...]}`: what is called in which
//! callback. A gauge counts up in request headers, and down later.

use super::Stream;
use sdk_shim::host::{Host, Map, MetricId, MetricKind};
use sdk_shim::json::{self, Value};
use sdk_shim::live::LiveHost;
use sdk_shim::live::proxy_wasm::traits::{Context, HttpContext};
use sdk_shim::live::proxy_wasm::types::Action;
use std::cell::OnceCell;

/// As long as what plugins say of a request.
const LINE: &[u8] = b"outcome=ok attempts=1 breaker=- replay=- cause=-";

thread_local! {
    static LISTS: OnceCell<Lists> = const { OnceCell::new() };
}

/// What is called in which callback.
struct Lists {
    request: Vec<Call>,
    response: Vec<Call>,
    log: Vec<Call>,
    done: Vec<Call>,
}

enum Call {
    Now,
    Property(Vec<String>),
    SetProperty(Vec<String>),
    Header(Map, String),
    RemoveHeader(String),
    Increment(MetricId),
    Adjust(MetricId, i64),
    Record(MetricId),
}

/// False where the lists can't be read.
pub(super) fn configure(bytes: &[u8]) -> bool {
    read(bytes).is_some_and(|lists| LISTS.with(|kept| kept.set(lists)).is_ok())
}

fn read(bytes: &[u8]) -> Option<Lists> {
    let value = json::read(bytes).ok()?;
    let Value::Object(fields) = &value else { return None };
    let list = |name: &str, map: Map| match fields.get(name) {
        None => Some(Vec::new()),
        Some(Value::Array(calls)) => calls.iter().map(|call| Call::of(call.as_str()?, map)).collect(),
        Some(_) => None,
    };
    Some(Lists {
        request: list("request", Map::RequestHeaders)?,
        response: list("response", Map::ResponseHeaders)?,
        log: list("log", Map::ResponseHeaders)?,
        done: list("done", Map::ResponseHeaders)?,
    })
}

fn make(list: impl Fn(&Lists) -> &Vec<Call>) {
    LISTS.with(|lists| lists.get().into_iter().flat_map(list).for_each(Call::make));
}

// === impl Call ===

impl Call {
    fn of(text: &str, map: Map) -> Option<Self> {
        let (word, what) = text.split_once(' ').unwrap_or((text, ""));
        let path = || what.split('.').map(str::to_owned).collect();
        let metric = |kind| LiveHost.define_metric(kind, what).ok();
        match word {
            "now" => Some(Self::Now),
            "property" => Some(Self::Property(path())),
            "set_property" => Some(Self::SetProperty(path())),
            "header" => Some(Self::Header(map, what.to_owned())),
            "remove_header" => Some(Self::RemoveHeader(what.to_owned())),
            "increment" => metric(MetricKind::Counter).map(Self::Increment),
            "adjust" => {
                metric(MetricKind::Gauge).map(|id| Self::Adjust(id, if map == Map::RequestHeaders { 1 } else { -1 }))
            }
            "record" => metric(MetricKind::Histogram).map(Self::Record),
            _ => None,
        }
    }

    fn make(&self) {
        match self {
            Self::Now => drop(LiveHost.now()),
            Self::Property(path) => drop(LiveHost.property(&path.iter().map(String::as_str).collect::<Vec<_>>())),
            Self::SetProperty(path) => {
                LiveHost.set_property(&path.iter().map(String::as_str).collect::<Vec<_>>(), LINE);
            }
            Self::Header(map, name) => drop(LiveHost.header(*map, name)),
            Self::RemoveHeader(name) => LiveHost.remove_header(Map::ResponseHeaders, name),
            Self::Increment(id) => LiveHost.increment(*id, 1),
            Self::Adjust(id, by) => LiveHost.adjust(*id, *by),
            Self::Record(id) => LiveHost.record(*id, 300),
        }
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        make(|lists| &lists.done);
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        make(|lists| &lists.request);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        make(|lists| &lists.response);
        Action::Continue
    }

    fn on_log(&mut self) {
        make(|lists| &lists.log);
    }
}
