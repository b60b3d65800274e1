//! The shape of a plugin, and the macro that makes a module of it.
//!
//! A proxy calls back; a plugin answers with a [`Flow`]. The plugin (one per configuration and VM) is shared by its
//! calls, each of which has a value of its own. Both hosts drive the same trait, so a test on the fake host runs the very
//! code that a proxy will.

use crate::config::Faults;
use crate::host::{CalloutId, Host, Reply};
use core::time::Duration;

/// What happens next to the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Goes on to the next filter.
    Continue,
    /// Waits for a `resume`. Without one it waits for ever: whoever pauses owns a deadline.
    Pause,
    /// Ends here with our own answer.
    Reply(Box<Reply>),
}

/// A callout's answer, as far as the host tells: `headers == 0` means that there was none (timeout, reset).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which callout.
    pub id: CalloutId,
    /// Number of response headers.
    pub headers: usize,
    /// Size of the response body in bytes.
    pub body: usize,
    /// Number of response trailers.
    pub trailers: usize,
}

/// A filter: one value per configuration and VM.
pub trait Plugin<H: Host>: Sized + 'static {
    /// What is remembered per request (downstream) or attempt (upstream).
    type Call: 'static;

    /// As metrics, logs and `x-holdfast-reject` name it.
    const NAME: &'static str;

    /// Whether it says itself which configurations are in force ([`crate::identity::show`]), as one must that runs several plugins.
    const SHOWS_ITSELF: bool = false;

    /// Reads the configuration. Every fault at once, or a plugin; nothing half-applied.
    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults>;

    /// Whether a stream of this filter may pass unseen that begins within a callback of a root, such as an attempt of a root's own call. Where none may,
    /// the VM dies of it, and the proxy lets nothing pass.
    fn may_miss(&self) -> bool {
        true
    }

    /// How often `on_tick` should run in each VM at first; `None` for never. [`Host::tick_every`] changes it. Asked once, when it begins.
    fn tick_period(&self) -> Option<Duration> {
        None
    }

    /// Runs in every VM, each on its own timer.
    fn on_tick(&self, _host: &H) {}

    /// This configuration was replaced, and none of its streams is left. False where it still has something to do: its ticks and its callouts'
    /// answers go on until it calls [`Host::retire`]. Envoy only.
    fn on_retire(&self, _host: &H) -> bool {
        true
    }

    /// A new request or attempt.
    fn call(&self) -> Self::Call;

    /// Request headers arrived; `end` where no body follows (never told on `WasmX`).
    fn on_request_headers(&self, _call: &mut Self::Call, _host: &H, _end: bool) -> Flow {
        Flow::Continue
    }

    /// A part of the request body arrived.
    fn on_request_body(&self, _call: &mut Self::Call, _host: &H, _size: usize, _end: bool) -> Flow {
        Flow::Continue
    }

    /// The request ends in trailers (never told on `WasmX`).
    fn on_request_trailers(&self, _call: &mut Self::Call, _host: &H) -> Flow {
        Flow::Continue
    }

    /// Response headers arrived, the service's or a local reply's; `end` where no body follows.
    fn on_response_headers(&self, _call: &mut Self::Call, _host: &H, _end: bool) -> Flow {
        Flow::Continue
    }

    /// A part of the response body arrived.
    fn on_response_body(&self, _call: &mut Self::Call, _host: &H, _size: usize, _end: bool) -> Flow {
        Flow::Continue
    }

    /// Response trailers arrived (never on `WasmX`).
    fn on_response_trailers(&self, _call: &mut Self::Call, _host: &H) -> Flow {
        Flow::Continue
    }

    /// A callout of this stream was answered, or not.
    fn on_answer(&self, _call: &mut Self::Call, _host: &H, _answer: Answer) {}

    /// A callout of the root was answered, or not.
    fn on_root_answer(&self, _host: &H, _answer: Answer) {}

    /// A stream waited for a callout that was made in a VM which is gone, and the host lets its request go on behind this. Whoever may let none pass
    /// unjudged gives an answer in its place. `WasmX` only.
    fn on_lost(&self, _host: &H) -> Flow {
        Flow::Continue
    }

    /// The stream is over. The last word upstream, where `on_log` never runs.
    fn on_done(&self, _call: &mut Self::Call, _host: &H) {}

    /// The access log is written. The last word downstream; also for streams whose request we never saw.
    fn on_log(&self, _call: &mut Self::Call, _host: &H) {}
}

/// Makes a module of a plugin: `sdk_shim::register!(CircuitBreaker<sdk_shim::live::LiveHost>);`
///
/// Use it behind `#[cfg(feature = "live")]`, so that the crate builds natively without a proxy.
#[macro_export]
macro_rules! register {
    ($plugin:ty) => {
        // The proxy calls this symbol by name; nothing else in the crate may.
        #[allow(unsafe_code, missing_docs, unreachable_pub)]
        mod holdfast_module {
            #[unsafe(no_mangle)]
            pub extern "C" fn _initialize() {
                $crate::live::start::<$plugin>();
            }
        }
    };
}
