//! The ONLY place that knows how hosts differ.
//!
//! A plugin asks for a capability, never for a host's name, and refuses at configure what its host can't do, naming the
//! capability. Everything listed was observed (docs/hosts.md).

use crate::host::Host;

/// Which proxy runs us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// Envoy, and what embeds it: Istio, Envoy Gateway.
    Envoy,
    /// Kong's `ngx_wasm_module`.
    WasmX,
}

/// What a host can do.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, asked for by name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whose these are.
    pub flavor: Flavor,
    /// Filters may run once per attempt, behind the router.
    pub upstream_chain: bool,
    /// `on_response_trailers` runs, so a gRPC status after a body is visible.
    pub response_trailers: bool,
    /// An answer passes the filters the other way round than its request did; otherwise in the same order.
    pub responses_come_back: bool,
    /// Pausing in response headers holds the response.
    pub pause_response_headers: bool,
    /// A paused request waits until it is resumed; otherwise only as long as a callout of its own is under way.
    pub pause_without_call: bool,
    /// Setting a request header makes the proxy choose the route anew.
    pub reroute_by_header: bool,
    /// Request headers (`x-envoy-max-retries`) steer the proxy's own retries.
    pub steers_retries: bool,
    /// Request headers say whether a body follows.
    pub tells_end: bool,
    /// Asked for one header, it tells an empty one from an absent one.
    pub tells_empty: bool,
    /// Ticks can be stopped, and begun again, at any time; otherwise their period is said once.
    pub ticks_at_will: bool,
    /// A VM is ticked by its own timer only; otherwise by that of one before it, which has trapped, too.
    pub one_timer: bool,
    /// Words that filters leave for each other can be left, and read, until the stream is over; otherwise until its answer is.
    pub words_to_the_end: bool,
    /// Each stream's end is told; otherwise some are only forgotten: those that the proxy answered with an error page of its own.
    pub tells_every_end: bool,
    /// A configuration that was replaced may finish what it has begun.
    pub retires_late: bool,
    /// A filter may hold back an answer whose headers it has paused: let it go within its body or from a timer, and have it retried.
    pub holds_responses: bool,
    /// A request header limits how long the proxy waits for the answer.
    pub limits_by_header: bool,
    /// Metrics may be defined at any time, whatever the module's file is called; otherwise the first request tells whether they may at all (`late.rs`).
    pub metrics_at_once: bool,
    /// Gauges can be counted up and down by all workers; otherwise they can only be set.
    pub gauges_count: bool,
    /// An answer of ours to a gRPC request becomes a gRPC answer; otherwise it is sent as HTTP.
    pub answers_grpc: bool,
    /// `response.flags` says why there was no response.
    pub response_flags: bool,
    /// Callouts may carry any protocol's bytes, through a tunnel of the proxy's own to a plain TCP connection.
    pub tcp_tunnel: bool,
    /// Callouts may speak HTTP/2 and show trailers, so that gRPC can be spoken.
    pub grpc_callouts: bool,
    /// Callouts go to clusters by name; otherwise to `host:port`.
    pub named_clusters: bool,
    /// Shared data stays until it is deleted; otherwise it may be evicted at any time.
    pub keeps_shared: bool,
    /// Deleting or expecting a never-written shared value: the CAS number that says "only if absent".
    pub absent_cas: u32,
    /// Longest metric name, in bytes.
    pub max_metric_name: usize,
    /// Asked for all headers, it gives so many at most, and doesn't say that there are more. Asked for one by its name, it finds it.
    pub max_headers: usize,
    /// Where the route's name is found.
    pub route: &'static [&'static str],
    /// Where the virtual host's name is found; empty where there is none.
    pub virtual_host: &'static [&'static str],
    /// Where the cluster's or service's name is found.
    pub cluster: &'static [&'static str],
    /// What stands before the names of words that filters leave for each other within a request.
    pub words: &'static [&'static str],
}

/// Envoy from 1.39.1 on, as observed up to 1.40.0.
pub const ENVOY: Capabilities = Capabilities {
    flavor: Flavor::Envoy,
    upstream_chain: true,
    response_trailers: true,
    responses_come_back: true,
    pause_response_headers: true,
    pause_without_call: true,
    reroute_by_header: true,
    steers_retries: true,
    tells_end: true,
    tells_empty: true,
    ticks_at_will: true,
    one_timer: true,
    words_to_the_end: true,
    tells_every_end: true,
    retires_late: true,
    holds_responses: true,
    limits_by_header: true,
    metrics_at_once: true,
    gauges_count: true,
    answers_grpc: true,
    response_flags: true,
    tcp_tunnel: true,
    grpc_callouts: true,
    named_clusters: true,
    keeps_shared: true,
    // CAS is not checked on an absent key, and 0 means unconditional: a number that is never issued inserts only.
    absent_cas: u32::MAX,
    // Envoy has no limit; this one keeps /stats readable and is the narrower host's.
    max_metric_name: 230,
    max_headers: usize::MAX,
    route: &["xds", "route_name"],
    virtual_host: &["xds", "virtual_host_name"],
    cluster: &["xds", "cluster_name"],
    words: &[],
};

/// Envoy 1.36 to 1.39.0, as observed; also any that doesn't tell its version. They lose a part of an answer that a timer lets go, and 1.36 dies of a
/// retry of one that was held back (envoyproxy/envoy#41879).
pub const ENVOY_BEFORE_1_39_1: Capabilities = Capabilities { holds_responses: false, ..ENVOY };

/// `WasmX` of Kong Gateway 3.4 - 3.9, as observed.
pub const WASMX: Capabilities = Capabilities {
    flavor: Flavor::WasmX,
    upstream_chain: false,
    response_trailers: false,
    responses_come_back: false,
    pause_response_headers: false,
    pause_without_call: false,
    reroute_by_header: false,
    steers_retries: false,
    tells_end: false,
    // Not known.
    tells_empty: false,
    // A second period traps.
    ticks_at_will: false,
    one_timer: false,
    // Kong has given their table to its next request by then.
    words_to_the_end: false,
    // Kong's error pages are a location of their own, where the filters' streams are lost.
    tells_every_end: false,
    // Saying that all is done traps.
    retires_late: false,
    holds_responses: false,
    limits_by_header: false,
    metrics_at_once: false,
    // It traps.
    gauges_count: false,
    answers_grpc: false,
    response_flags: false,
    tcp_tunnel: false,
    grpc_callouts: false,
    named_clusters: false,
    keeps_shared: false,
    absent_cas: 0,
    max_metric_name: 230,
    max_headers: 100,
    route: &["kong", "route_id"],
    virtual_host: &[],
    cluster: &["kong", "service_id"],
    // No other name can be set; Kong's own plugins read these, too.
    words: &["kong", "ctx", "shared"],
};

/// Finds out, in `configure`, which host this is.
///
/// `WasmX` gives every filter the root id "0" and has no `xds` properties; reading one there costs a line in its log.
/// (`plugin_name` can't be asked: reading it outside of a request segfaults `WasmX`.)
pub fn detect(property: impl Fn(&[&str]) -> Option<Vec<u8>>) -> &'static Capabilities {
    let wasmx_root = property(&["plugin_root_id"]).is_some_and(|id| id == b"0");
    if wasmx_root && property(&["xds", "node", "id"]).is_none() {
        return &WASMX;
    }
    let number = |which| {
        let bytes = property(&["xds", "node", "user_agent_build_version", "version", which])?;
        bytes.first_chunk::<8>().map(|number| u64::from_le_bytes(*number))
    };
    // A number that is 0 isn't told.
    let version = ["major_number", "minor_number", "patch"].map(|which| number(which).unwrap_or(0));
    if version >= [1, 39, 1] { &ENVOY } else { &ENVOY_BEFORE_1_39_1 }
}

// === impl Capabilities ===

impl Capabilities {
    /// Where a property is on this host: words of ours have a place of their own, which `own` takes.
    #[cfg(any(feature = "live", not(target_arch = "wasm32")))]
    pub(crate) fn place<'a, 'b>(&self, path: &'b [&'a str], own: &'b mut [&'a str; 4]) -> &'b [&'a str] {
        match (path, self.words) {
            ([name], [first, second, third]) if name.starts_with("holdfast") => {
                *own = [first, second, third, name];
                own
            }
            _ => path,
        }
    }

    /// Whether it can do each of these, by name.
    pub const fn named(&self) -> [(&'static str, bool); 23] {
        [
            ("upstream_chain", self.upstream_chain),
            ("response_trailers", self.response_trailers),
            ("pause_response_headers", self.pause_response_headers),
            ("pause_without_call", self.pause_without_call),
            ("reroute_by_header", self.reroute_by_header),
            ("steers_retries", self.steers_retries),
            ("tells_end", self.tells_end),
            ("tells_empty", self.tells_empty),
            ("ticks_at_will", self.ticks_at_will),
            ("one_timer", self.one_timer),
            ("words_to_the_end", self.words_to_the_end),
            ("tells_every_end", self.tells_every_end),
            ("retires_late", self.retires_late),
            ("holds_responses", self.holds_responses),
            ("limits_by_header", self.limits_by_header),
            ("metrics_at_once", self.metrics_at_once),
            ("gauges_count", self.gauges_count),
            ("answers_grpc", self.answers_grpc),
            ("response_flags", self.response_flags),
            ("tcp_tunnel", self.tcp_tunnel),
            ("grpc_callouts", self.grpc_callouts),
            ("named_clusters", self.named_clusters),
            ("keeps_shared", self.keeps_shared),
        ]
    }
}

/// Which proxy runs us.
pub fn of(host: &impl Host) -> Flavor {
    host.capabilities().flavor
}
