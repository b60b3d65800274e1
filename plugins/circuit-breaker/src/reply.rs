//! What a refused request gets: an answer that says why, for how long, and that nobody should retry it at once.

use crate::decide::Cause;
use crate::policy::{Policy, ReplySpec};
use core::time::Duration;
use sdk_shim::host::Reply;
use sdk_shim::random::below;
use serde_json::json;

/// gRPC's `UNAVAILABLE`.
const UNAVAILABLE: u32 = 14;

/// Whole seconds after which a client may ask again: never before `wait` is over, and spread over half of it more (at least
/// a second), so that clients that were refused together don't come back together.
pub fn retry_after(wait: Duration, draw: u64) -> u64 {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    seconds.saturating_add(below(draw, seconds.div_ceil(2).saturating_add(1)))
}

/// Builds the answer.
pub fn build(policy: &Policy, cause: Cause, wait: Duration, is_grpc: bool, draw: u64) -> Reply {
    let after = retry_after(wait, draw);
    let mut headers = vec![
        ("retry-after".to_owned(), after.to_string()),
        ("x-holdfast-reject".to_owned(), format!("circuit-breaker; cause={}", cause.as_str())),
    ];
    if policy.common.mark_rejections {
        // An Envoy in front doesn't retry an answer that carries this.
        headers.push(("x-envoy-ratelimited".to_owned(), "true".to_owned()));
    }
    let spec = &policy.on_open.reply;
    if is_grpc {
        let body = format!("circuit breaker: {}; retry after {after} s", cause.as_str()).into_bytes();
        return Reply { status: spec.status, headers, body, grpc_status: Some(UNAVAILABLE) };
    }
    let (content_type, body) = body(spec, cause, after);
    let own_type = spec.headers.iter().any(|(name, _)| name == "content-type");
    headers.retain(|(name, _)| spec.headers.iter().all(|(own, _)| own != name));
    headers.extend(content_type.filter(|_| !own_type).map(|kind| ("content-type".to_owned(), kind.to_owned())));
    headers.extend(spec.headers.iter().cloned());
    Reply { status: spec.status, headers, body, grpc_status: None }
}

/// The configured body, or problem details (RFC 9457).
fn body(spec: &ReplySpec, cause: Cause, after: u64) -> (Option<&'static str>, Vec<u8>) {
    if let Some(body) = &spec.body {
        return (Some("text/plain; charset=utf-8"), body.clone().into_bytes());
    }
    let problem = json!({
        "type": "urn:holdfast:problem:circuit-breaker",
        "title": "The service behind this route is failing and is being left in peace",
        "status": spec.status,
        "cause": cause.as_str(),
        "retry_after_seconds": after,
    });
    (Some("application/problem+json"), problem.to_string().into_bytes())
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
