//! What kills a VM (or a worker process) in a real proxy.

use core::fmt;

/// Something a real proxy would have died of; the fake panics with its text, which is the row of docs/hosts.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trap {
    /// More paused streams woken in one callback than the stack bears.
    WokeTooMany,
    /// An attempt let go, with a status that is retried, from inside a callout's callback.
    RetryInsideResume,
    /// A second answer of our own on one stream.
    SecondReply,
    /// An answer of our own while the response body passes.
    ReplyInResponseBody,
    /// A callout from a phase that has none.
    DispatchPhase,
    /// A callout from a stream that then went on.
    DispatchThenContinue,
    /// A callout without a path or a host.
    DispatchTarget,
    /// `increment` on something that is no counter.
    IncrementOnOther,
    /// `record` on a counter.
    RecordOnCounter,
    /// Reading a histogram.
    ReadOfHistogram,
    /// A metric nobody defined.
    UnknownMetric,
    /// A metric's name beyond 256 bytes with the host's prefix.
    MetricName,
    /// A metric of a filter whose file's name is no word.
    MetricsPage,
    /// A metric where there are none.
    NoMetrics,
    /// `plugin_name` read while configuring, or in a tick.
    PluginNameOutsideRequests,
    /// `upstream.address` of an upstream that there wasn't.
    UnresolvedAddress,
    /// Shared data where none was set up.
    NoSharedMemory,
    /// Another period for ticks than the first one.
    SecondPeriod,
    /// A configuration that says that it has finished.
    Retired,
    /// A period said by a tick, whose own timer it replaces.
    PeriodInTick,
    /// A word left when nobody can find it any more, but another request.
    WordAtTheEnd,
}

impl Trap {
    /// The row of docs/hosts.md that describes it.
    pub const fn row(self) -> &'static str {
        match self {
            Self::WokeTooMany => {
                "T13: waking more than 272 paused requests in one callback: Maximum call stack size exceeded"
            }
            Self::RetryInsideResume => {
                "T3: upstream, a response with a body paused without headers_stop_iteration, then a retriable :status and \
                 resume from a callback: the router destroys the attempt inside resume, invalid context_id"
            }
            Self::SecondReply => "send_http_response: a second call on one stream traps",
            Self::ReplyInResponseBody => "WasmX send_http_response: in response body: trap",
            Self::DispatchPhase => "WasmX dispatch in response headers/body/log/on_configure: trap",
            Self::DispatchThenContinue => {
                "WasmX dispatch, then Continue: worker SEGFAULT. Never dispatch without Pause"
            }
            Self::DispatchTarget => "WasmX dispatch: missing :path or empty host: trap",
            Self::IncrementOnOther => "WasmX metrics: increment on a gauge or histogram: trap",
            Self::RecordOnCounter => "WasmX metrics: record on a counter: trap",
            Self::ReadOfHistogram => "WasmX metrics: get on a histogram: trap",
            Self::UnknownMetric => "WasmX metrics: unknown id: trap",
            Self::MetricName => "WasmX metrics: name too long (256 with pw:<filter>: before it): trap",
            Self::MetricsPage => {
                "Kong's Prometheus plugin expects pw:([\\w.]+): before a metric: a hyphen breaks its whole page"
            }
            Self::NoMetrics => "WasmX up to Kong 3.7: define_metric isn't implemented: trap",
            Self::PluginNameOutsideRequests => "WasmX plugin_name in on_configure and in on_tick segfaulted",
            Self::UnresolvedAddress => "WasmX upstream.address: reading it after a failed name resolution segfaulted",
            Self::SecondPeriod => "WasmX set_tick_period: a second time: trap",
            Self::Retired => "WasmX proxy_done: trap",
            Self::PeriodInTick => "set_tick_period in a tick frees the timer that is firing; 0 only disables it",
            Self::WordAtTheEnd => {
                "Kong set_property of kong.ctx.shared in on_done or on_log: the table is in its pool again, for another request"
            }
            Self::NoSharedMemory => "WasmX no shm_kv configured: trap",
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row())
    }
}
