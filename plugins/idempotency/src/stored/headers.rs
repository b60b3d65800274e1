//! Which of an answer's headers a repeat may be given.

use sdk_shim::headers::Headers;

/// Hop-by-hop (RFC 9110, 7.6.1), of one moment or one client, of one trace, or ours.
const NEVER: &str = "connection keep-alive te trailer transfer-encoding upgrade content-length \
    date age set-cookie set-cookie2 server-timing idempotency-replayed \
    traceparent tracestate traceresponse baggage b3 x-request-id x-client-trace-id x-ot-span-context \
    uber-trace-id x-cloud-trace-context x-amzn-trace-id grpc-trace-bin sw8";

/// How names begin that are never replayed either.
const NEVER_FROM: [&str; 4] = ["proxy-", "x-b3-", "x-datadog-", "x-holdfast-"];

/// What describes a body, and lies about one that isn't there.
const OF_BODY: &str = "content-type content-encoding content-language content-disposition content-range content-digest \
    content-md5 digest repr-digest etag last-modified";

/// Whether a header, by its name in any case, can be in `replay_headers`: one that is a header's name (RFC 9110, 5.6.2), and that doesn't
/// belong to one exchange only.
pub fn may_be_replayed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let never = listed(NEVER, &name) || NEVER_FROM.iter().any(|begin| name.starts_with(begin));
    is_name(&name) && !never
}

fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether a header, by its name in lower case, describes the body.
pub(super) fn is_of_body(name: &str) -> bool {
    listed(OF_BODY, name)
}

/// Whether the answer's `connection` says that this header is for the next hop only.
pub(super) fn is_nominated(headers: &Headers, name: &str) -> bool {
    let options = headers.all("connection").flat_map(|value| value.split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

fn listed(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed == name)
}
