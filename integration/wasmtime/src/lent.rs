//! What the module may ask of its host, answered by the host that is calling it back.

use core::ops::ControlFlow;
use proxy_wasm_host::abi::v0_2_1::types::{BufferType, LogLevel, MapType, MetricType, Status, StreamType};
use proxy_wasm_host::abi::v0_2_1::{
    Access, CalloutId, Callouts, Clock, HeaderPairs, HttpCall, HttpCallRefusal, Invocation, LocalResponse, LogContext,
    LogSink, MetricId, SharedServices, SharedValue, StreamState,
};
use proxy_wasm_host::{Buffer, HeaderMap, NotAllowed, PairVisitor};
use sdk_shim::host::{self, Body, Callout, Direction, Expect, Host as _, HostError, Map, Reply};
use std::borrow::Cow;
use std::num::NonZeroU32;

use crate::callback::Callback;
use crate::convert;

/// A name for the host of the callback under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lent {
    headers: LentMap,
    body: LentBody,
}

/// Headers of the effective stream.
#[derive(Clone, Debug)]
struct LentMap(Map);

/// A body of the effective stream.
#[derive(Clone, Debug)]
struct LentBody(Body);

impl Default for LentMap {
    fn default() -> Self {
        Self(Map::RequestHeaders)
    }
}

impl Default for LentBody {
    fn default() -> Self {
        Self(Body::Request)
    }
}

fn pairs(pairs: &HeaderPairs<'_>) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (convert::text(name).to_owned(), convert::text(value).to_owned())).collect()
}

impl StreamState for Lent {
    fn header_map(&mut self, call: Invocation, _: Access, map: MapType) -> Result<&mut dyn HeaderMap, Status> {
        let map = convert::map(map).ok_or(Status::BadArgument)?;
        // A map that is gone: the SDK would panic on this.
        if !Callback::ask(call, |host| host.shows(map)) {
            return Err(Status::BadArgument);
        }
        self.headers = LentMap(map);
        Ok(&mut self.headers)
    }

    fn buffer(&mut self, call: Invocation, _: Access, buffer: BufferType) -> Result<&mut dyn Buffer, Status> {
        let body = convert::body(buffer).ok_or(Status::NotFound)?;
        self.body = LentBody(body);
        // What isn't shown isn't there, and what is empty may be written to.
        Callback::ask(call, |_| ());
        Ok(&mut self.body)
    }

    fn continue_stream(&mut self, call: Invocation, stream: StreamType) -> Result<(), Status> {
        let direction = match stream {
            StreamType::HttpRequest => Direction::Request,
            StreamType::HttpResponse => Direction::Response,
            _ => return Err(Status::BadArgument),
        };
        Callback::ask(call, |host| host.resume(direction));
        Ok(())
    }

    fn send_local_response(&mut self, call: Invocation, response: LocalResponse<'_>) -> Result<(), Status> {
        let status = u16::try_from(response.status_code).map_err(|_| Status::BadArgument)?;
        let (headers, body) = (pairs(&response.headers), response.body.into_owned());
        Callback::reply(call, Reply { status, headers, body, grpc_status: response.grpc_status });
        Ok(())
    }

    fn property(&mut self, call: Invocation, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        let path: Vec<&str> = path.iter().map(|part| convert::text(part)).collect();
        let value = Callback::ask(call, |host| host.property(&path)).ok_or(Status::NotFound)?;
        out.extend(value);
        Ok(())
    }

    fn set_property(&mut self, call: Invocation, path: &[&[u8]], value: &[u8]) -> Result<(), Status> {
        let path: Vec<&str> = path.iter().map(|part| convert::text(part)).collect();
        Callback::ask(call, |host| host.set_property(&path, value));
        Ok(())
    }
}

impl HeaderMap for LentMap {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        Callback::host().header(self.0, convert::text(key)).map(Cow::Owned)
    }

    fn for_each_pair(&self, visit: &mut PairVisitor<'_>) -> ControlFlow<()> {
        Callback::host().headers(self.0).iter().try_for_each(|(name, value)| visit(name, value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), NotAllowed> {
        Callback::host().set_header(self.0, convert::text(key), value);
        Ok(())
    }

    /// The port has no such call.
    fn add(&mut self, _: &[u8], _: &[u8]) -> Result<(), NotAllowed> {
        Err(NotAllowed)
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), NotAllowed> {
        Callback::host().remove_header(self.0, convert::text(key));
        Ok(())
    }

    /// The port has no such call.
    fn replace_all(&mut self, _: &[(&[u8], &[u8])]) -> Result<(), NotAllowed> {
        Err(NotAllowed)
    }
}

impl Buffer for LentBody {
    fn len(&self) -> usize {
        Callback::host().body(self.0, usize::MAX).map_or(0, |bytes| bytes.len())
    }

    fn copy_range_into(&self, start: usize, max_size: usize, out: &mut Vec<u8>) {
        out.extend(Callback::host().body_from(self.0, start, max_size).unwrap_or_default());
    }

    /// The port only appends.
    fn replace(&mut self, start: usize, size: usize, value: &[u8]) -> Result<(), NotAllowed> {
        if size > 0 || start < self.len() {
            return Err(NotAllowed);
        }
        Callback::host().append_body(self.0, value);
        Ok(())
    }
}

impl SharedServices for Lent {
    fn get_shared_data(&self, call: Invocation, _: &[u8], key: &[u8]) -> Result<SharedValue, Status> {
        let shared = Callback::ask(call, |host| host.shared_get(convert::text(key))).map_err(convert::status)?;
        let version = shared.version.and_then(NonZeroU32::new).ok_or(Status::NotFound)?;
        Ok(SharedValue::new(shared.value.unwrap_or_default(), version))
    }

    fn set_shared_data(
        &self,
        call: Invocation,
        _: &[u8],
        key: &[u8],
        value: &[u8],
        cas: Option<u32>,
    ) -> Result<(), Status> {
        let expect = Expect::Version(cas.unwrap_or(0));
        Callback::ask(call, |host| host.shared_set(convert::text(key), value, expect)).map_err(convert::status)
    }

    fn define_metric(&self, call: Invocation, _: &[u8], kind: MetricType, name: &[u8]) -> Result<MetricId, Status> {
        let kind = convert::metric(kind);
        let id = Callback::ask(call, |host| host.define_metric(kind, convert::text(name))).map_err(convert::status)?;
        MetricId::try_from(id.0).map_err(|_| Status::InternalFailure)
    }

    fn record_metric(&self, call: Invocation, metric: MetricId, value: u64) -> Result<(), Status> {
        Callback::ask(call, |host| host.record(host::MetricId(metric.get()), value));
        Ok(())
    }

    fn increment_metric(&self, call: Invocation, metric: MetricId, delta: i64) -> Result<(), Status> {
        let id = host::MetricId(metric.get());
        Callback::ask(call, |host| match u32::try_from(delta) {
            Ok(by) => host.increment(id, by),
            Err(_) => host.adjust(id, delta),
        });
        Ok(())
    }

    fn get_metric(&self, call: Invocation, metric: MetricId) -> Result<u64, Status> {
        Callback::ask(call, |host| host.metric(host::MetricId(metric.get()))).map_err(convert::status)
    }
}

impl Callouts for Lent {
    fn http_call(&self, call: Invocation, callout: CalloutId, request: HttpCall<'_>) -> Result<(), HttpCallRefusal> {
        let wanted = Callout {
            upstream: convert::text(&request.upstream).to_owned(),
            headers: pairs(&request.headers),
            body: request.body.into_owned(),
            timeout: request.timeout,
        };
        let sent = Callback::ask(call, |host| host.dispatch(&wanted)).map_err(|error| match error {
            HostError::BadArgument => HttpCallRefusal::UnknownUpstream,
            _ => HttpCallRefusal::Failed,
        })?;
        Callback::note_callout(sent, callout);
        Ok(())
    }
}

impl Clock for Lent {
    fn realtime_nanos(&self) -> u64 {
        Callback::host().now().as_nanos()
    }

    fn monotonic_nanos(&self) -> u64 {
        self.realtime_nanos()
    }
}

impl LogSink for Lent {
    fn log(&self, _: LogContext<'_>, level: LogLevel, message: &[u8]) {
        Callback::host().log(convert::level(level), &String::from_utf8_lossy(message));
    }
}
