//! What a refused request gets: an answer that says why, for how long, and that nobody should retry it at once.

use crate::decide::Cause;
use crate::policy::Policy;
use core::time::Duration;
use sdk_shim::host::Reply;
use sdk_shim::random::below;
use sdk_shim::refusal::{Refusal, UNAVAILABLE};

/// Whole seconds after which a client may ask again: never before `wait` is over, and spread over half of it more (at least
/// a second), so that clients that were refused together don't come back together.
pub fn retry_after(wait: Duration, draw: u64) -> u64 {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    seconds.saturating_add(below(draw, seconds.div_ceil(2).saturating_add(1)))
}

/// Builds the answer: the usual one, with what is configured in its place.
pub fn build(policy: &Policy, cause: Cause, wait: Duration, is_grpc: bool, draw: u64) -> Reply {
    let spec = &policy.on_open.reply;
    let refusal = Refusal {
        plugin: "circuit-breaker",
        cause: cause.as_str(),
        title: "The service behind this route is failing and is being left in peace",
        status: spec.status,
        grpc_status: UNAVAILABLE,
        retry_after: retry_after(wait, draw),
        // An Envoy in front doesn't retry an answer that carries this.
        mark: policy.common.mark_rejections,
    };
    let mut reply = refusal.reply(is_grpc);
    if is_grpc {
        return reply;
    }
    if let Some(body) = &spec.body {
        reply.headers.retain(|(name, _)| name != "content-type");
        reply.headers.push(("content-type".to_owned(), "text/plain; charset=utf-8".to_owned()));
        reply.body = body.clone().into_bytes();
    }
    reply.headers.retain(|(name, _)| spec.headers.iter().all(|(own, _)| own != name));
    reply.headers.extend(spec.headers.iter().cloned());
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_never_comes_back_too_early_and_not_all_at_once() {
        let wait = Duration::from_millis(4_001);
        let (first, last) = (retry_after(wait, 0), retry_after(wait, u64::MAX));
        assert_eq!((first, last), (5, 8));
        assert_eq!(retry_after(Duration::ZERO, 0), 1);
    }
}
