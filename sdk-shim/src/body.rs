//! Whether a request has a body, on a host that doesn't say.

use crate::headers::number;
use crate::host::{Host, Map};

/// Whether a body follows a request's headers, where [`tells_end`] says that the host doesn't tell. It shows no body that is empty, either. `None` where nobody
/// can know: HTTP/2 and 3 say it in their frames.
///
/// [`tells_end`]: crate::flavor::Capabilities::tells_end
#[inline(never)]
pub fn follows<H: Host>(host: &H) -> Option<bool> {
    let header = |name| host.header(Map::RequestHeaders, name);
    if let Some(length) = header("content-length") {
        // More bytes than can be counted are some, too.
        return Some(number(&length) != Some(0));
    }
    // HTTP/1 says of each body that there is one (RFC 9112, 6.3).
    let is_http1 = host.property(&["request", "protocol"]).is_some_and(|protocol| protocol.starts_with(b"HTTP/1"));
    if is_http1 && header("transfer-encoding").is_none() {
        return Some(false);
    }
    // Kong may have read it, for a plugin of its own.
    host.property(&["request", "size"]).as_deref().and_then(number).map(|size| size > 0)
}
