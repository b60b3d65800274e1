//! Words for stories about the whole plugin on the fake host.

use core::time::Duration;
use idempotency::Idempotency;
use sdk_shim::fake::{Ended, FakeProxy, Headers, InFlight, Worker};
use sdk_shim::host::Reply;

pub(crate) type Plugin = Worker<Idempotency>;
pub(crate) type Call = InFlight<Idempotency>;

pub(crate) const MEMORY: &str = r#""store": {"kind": "memory"}, "headers_stop_iteration": true"#;
pub(crate) const SHOWN: &str = r#""debug_token": {"literal": "t"}, "insecure_literal": true"#;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const ORDER: &[u8] = br#"{"amount": 10, "to": "x"}"#;
pub(crate) const RECEIPT: &[u8] = b"{\"receipt\": 1}\n\0\xFF";

/// An Envoy with one route, and the flag that the plugin asks for.
pub(crate) fn envoy() -> FakeProxy {
    let proxy = FakeProxy::envoy();
    proxy.set("xds.route_name", "checkout");
    proxy.set_env("KEY", "a secret of more than sixteen bytes");
    proxy.stop_iteration(true);
    proxy
}

/// One more worker of the proxy, with the plugin in it.
pub(crate) fn worker(proxy: &FakeProxy, base: &str, more: &str) -> Plugin {
    let comma = if more.is_empty() { "" } else { ", " };
    Worker::start(&proxy.worker(), &format!("{{{base}{comma}{more}}}")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The only worker of an Envoy with its store in memory.
pub(crate) fn memory(more: &str) -> Plugin {
    worker(&envoy(), MEMORY, more)
}

// === requests ===

/// A request that a client may send, and send again.
#[derive(Clone)]
pub(crate) struct Ask {
    headers: Headers,
    body: Option<Vec<u8>>,
    properties: Vec<(&'static str, &'static str)>,
}

/// `POST /pay` with this key, quoted, and an order in JSON.
pub(crate) fn post(key: &str) -> Ask {
    keyless().with("idempotency-key", &format!("\"{key}\""))
}

/// The same without a key.
pub(crate) fn keyless() -> Ask {
    ask("POST", "/pay").with("content-type", "application/json").body(ORDER)
}

/// A request without anything.
pub(crate) fn ask(method: &str, path: &str) -> Ask {
    let headers = Headers::from(&[(":method", method), (":path", path), (":authority", "shop")]);
    Ask { headers, body: None, properties: Vec::new() }
}

impl Ask {
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        self.with_bytes(name, value.as_bytes())
    }

    pub(crate) fn with_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.headers = self.headers.with(name, value);
        self
    }

    /// The proxy knows this of it.
    pub(crate) fn property(mut self, path: &'static str, value: &'static str) -> Self {
        self.properties.push((path, value));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    pub(crate) fn without_body(mut self) -> Self {
        self.body = None;
        self
    }

    /// Its headers arrive.
    pub(crate) fn begin(&self, plugin: &Plugin) -> Call {
        let stream = self.properties.iter().fold(plugin.stream(), |stream, (path, value)| stream.property(path, value));
        let stream = if self.body.is_some() { stream.with_body() } else { stream };
        stream.request(self.headers.clone())
    }

    /// All of it arrives.
    pub(crate) fn send(&self, plugin: &Plugin) -> Call {
        let mut call = self.begin(plugin);
        if let Some(body) = &self.body {
            call.request_body(body, true);
        }
        call
    }
}

// === what comes of them ===

/// The service answers with a receipt.
pub(crate) fn receipt(call: &mut Call) {
    assert!(call.passed(), "it was refused: {:?}", call.reply());
    call.respond(&[(":status", "201"), ("content-type", "application/json"), ("set-cookie", "a=b")], false);
    call.body(&RECEIPT[..5], false).body(&RECEIPT[5..], true);
}

/// It goes to the service, which answers with a receipt: with a store in memory.
pub(crate) fn pay(plugin: &Plugin, ask: &Ask) -> Ended {
    let mut call = ask.send(plugin);
    receipt(&mut call);
    call.finish()
}

/// The service answers with this status and no body.
pub(crate) fn answered(mut call: Call, status: &str) -> Ended {
    call.respond(&[(":status", status)], true);
    call.finish()
}

/// Their clients leave, whatever they were waiting for.
pub(crate) fn leave(calls: impl IntoIterator<Item = Call>) {
    for call in calls {
        call.abort();
    }
}

/// Whether it goes to the service, which answers if so.
pub(crate) fn runs(plugin: &Plugin, ask: &Ask) -> bool {
    let call = ask.send(plugin);
    let runs = call.passed();
    if runs {
        answered(call, "200")
    } else {
        call.finish()
    };
    runs
}

/// The client gets the receipt of the first run, byte for byte.
pub(crate) fn replayed(call: Call) -> Reply {
    let reply = call.finish().reply.expect("a replay");
    assert_eq!((reply.status, reply.body.as_slice()), (201, RECEIPT), "{reply:?}");
    assert_eq!(header(&reply, "idempotency-replayed").as_deref(), Some("true"));
    reply
}

/// Status and cause of a refusal.
pub(crate) fn refused(call: Call) -> (u16, String) {
    let reply = call.finish().reply.expect("a refusal");
    (reply.status, cause_of(&reply))
}

pub(crate) fn cause_of(reply: &Reply) -> String {
    let text = header(reply, "x-holdfast-reject").unwrap_or_else(|| panic!("no refusal: {reply:?}"));
    text.trim_start_matches("idempotency; cause=").to_owned()
}

pub(crate) fn is(call: Call, status: u16, cause: &str) {
    assert_eq!(refused(call), (status, cause.to_owned()));
}

pub(crate) fn header(reply: &Reply, name: &str) -> Option<String> {
    reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// A metric of the key `checkout`, by what stands before and behind the common labels: `refused_total;cause=mismatch`.
pub(crate) fn metric(proxy: &FakeProxy, what: &str) -> u64 {
    let (name, label) = what.split_once(';').map_or((what, String::new()), |(name, label)| (name, format!(";{label}")));
    proxy.metric(&format!("holdfast_idempotency_{name};chain=downstream;instance=default;key=checkout{label}"))
}

/// What another filter left for the access log.
pub(crate) fn state(call: &Call) -> String {
    let value = call.filter_state().get("holdfast.idempotency").unwrap_or_default();
    String::from_utf8(value).unwrap()
}

/// How often the host was asked for each kind of thing since the last `clear_calls`.
pub(crate) fn count(plugin: &Plugin, name: &str) -> usize {
    plugin.host().calls().iter().filter(|call| call.name == name).count()
}

pub(crate) fn number(value: i64) -> [u8; 8] {
    value.to_le_bytes()
}
