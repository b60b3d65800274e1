//! One proxy, with the plugin and whatever else a story wants, before any service.

use integration::{Call, Envoy, TestResult, config};
use serde_json::{Value, json};

use super::store::Store;
use super::{Kind, Plan, SECRETS};

/// A proxy to be.
pub(crate) struct Setup {
    kind: Kind,
    change: Value,
    route: Value,
    http2: bool,
    behind: Vec<Value>,
    upstream: Vec<Value>,
    cluster: Value,
    log_level: &'static str,
}

/// A proxy, and its store.
pub(crate) struct Edge {
    pub(crate) store: Store,
    pub(crate) envoy: Envoy,
    pub(crate) port: u16,
}

// === impl Setup ===

impl Setup {
    /// Redis, and a route without a policy of its own.
    pub(crate) fn new(change: Value) -> Self {
        let (route, cluster) = (config::route("pay", "service"), json!({}));
        let (behind, upstream) = (Vec::new(), Vec::new());
        Self { kind: Kind::Redis, change, route, http2: false, behind, upstream, cluster, log_level: "info" }
    }

    #[must_use]
    pub(crate) fn over(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    #[must_use]
    pub(crate) fn route(self, route: Value) -> Self {
        Self { route, ..self }
    }

    /// The service speaks HTTP/2.
    #[must_use]
    pub(crate) fn http2(self) -> Self {
        Self { http2: true, ..self }
    }

    /// A filter in the listener, behind the plugin.
    #[must_use]
    pub(crate) fn behind(mut self, filter: Value) -> Self {
        self.behind.push(filter);
        self
    }

    /// A filter of the cluster.
    #[must_use]
    pub(crate) fn upstream(mut self, filter: Value) -> Self {
        self.upstream.push(filter);
        self
    }

    /// Changes the service's cluster.
    #[must_use]
    pub(crate) fn cluster(self, change: Value) -> Self {
        Self { cluster: change, ..self }
    }

    /// Everything that the proxy has to say.
    #[must_use]
    pub(crate) fn talkative(self) -> Self {
        Self { log_level: "trace", ..self }
    }

    /// Starts it before the service on this port. The secrets come from the proxy's own environment, as they should.
    pub(crate) fn start(self, service: u16) -> TestResult<Edge> {
        let store = Store::start(self.kind, false)?;
        let names = SECRETS.map(|(name, _)| name);
        let plugin = Plan::new(self.kind).without_secrets().with(self.change.clone()).plugin(&store)?.host_env(&names);
        let filters = [vec![plugin.filter()], self.behind.clone()].concat();
        let listener = config::listener("edge", &filters, std::slice::from_ref(&self.route));
        let bootstrap = store.tunnel(config::bootstrap(&[listener], &[self.service(service)]));
        let options = Envoy::options().log_level(self.log_level);
        let envoy =
            SECRETS.iter().fold(options, |options, (name, value)| options.env(name, value)).start(&bootstrap)?;
        let port = envoy.port("edge")?;
        Ok(Edge { store, envoy, port })
    }

    fn service(&self, port: u16) -> Value {
        let cluster = config::patch(config::without_limits(config::cluster("service", &[port])), self.cluster.clone());
        let cluster = if self.http2 { config::http2(cluster) } else { cluster };
        if self.upstream.is_empty() { cluster } else { config::upstream_filters(cluster, &self.upstream) }
    }
}

// === impl Edge ===

impl Edge {
    /// A POST of some JSON with a key, written as it is sent.
    pub(crate) fn post(&self, path: &str, key: &str) -> Call {
        self.post_json(path, key, &json!({"amount": 10, "currency": "EUR"}))
    }

    /// The same of other JSON.
    pub(crate) fn post_json(&self, path: &str, key: &str, body: &Value) -> Call {
        let call = Call::post(self.port, path, body.to_string().as_bytes());
        call.header("content-type", "application/json").header("idempotency-key", key)
    }

    /// The sum of the plugin's counter `what` over its series that carry these labels.
    pub(crate) fn counted(&self, what: &str, labels: &[(&str, &str)]) -> TestResult<u64> {
        super::gateway::counted(&self.envoy, what, labels)
    }

    /// No request was lost to a broken filter.
    pub(crate) fn assert_no_trap(&self) {
        super::gateway::assert_no_trap(&self.envoy);
    }
}
