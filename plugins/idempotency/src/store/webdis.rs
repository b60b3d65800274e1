//! Webdis (<https://github.com/nicolasff/webdis>): one Redis command per HTTP request. For WasmX, which has no tunnel, and for who wants Webdis' pool
//! of connections to Redis.
//!
//! A call is `POST /` with the command in the body: words separated by `/`, `.raw` at the end, which asks for Redis' own protocol in the answer. What
//! Webdis would take for something else is percent-encoded: `%`, `/`, `?` (it looks for a query), `+` (a space) and `.` (the format). All
//! other bytes go as they are, also 0 and those above 127; encoding them too would make a sealed answer 2.3 times as long.
//!
//! Found with Webdis 0.1.9 (Debian), and in the source of it and of 0.1.23:
//! - The body is binary safe, in both directions, `EVALSHA` with binary arguments too. Keep-alive is the default.
//! - **WasmX needs 0.1.16 or newer.** It sends `connection: close` with every call, and Webdis before that forgets a request with this header
//!   that doesn't come in one read of 4 KiB: no answer, no end. The scripts fit in, longer answers can't be stored.
//! - `.raw` is not quite Redis' protocol. An integer inside an array comes as a bulk string, with a length that is wrong from 2^31 on (it is
//!   counted in an `int`), written over the end of its buffer; nil and arrays inside an array are left out, but counted. The scripts answer with
//!   flat arrays of strings, and with 0 or 1, which come whole.
//! - What Redis refuses is status 200 with `-…`, `NOSCRIPT` too. 403: `acl` of `webdis.json` disables the command (`EVALSHA` there disables `EVAL`
//!   as well); 413: beyond `http_max_request_size` (128 MiB); 503: no connection to Redis, or it broke, and the command may have been run.
//! - It has no timeout of its own: a Redis that hangs holds the request until the proxy gives up. The command may still run then.

use super::Failure;
use super::redis::Call;
use super::resp::{self, Reply};

/// The path of every request.
pub const PATH: &str = "/";

/// Asks for Redis' own protocol.
const FORMAT: &[u8] = b".raw";

/// The body of a request: by the script's digest, or with the script in full.
pub fn body(call: &Call, in_full: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(call.size() + 256);
    for (index, part) in call.parts(in_full).iter().enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        encode(part, &mut out);
    }
    out.extend(FORMAT);
    out
}

fn encode(part: &[u8], out: &mut Vec<u8>) {
    for byte in part {
        match byte {
            b'%' => out.extend(b"%25"),
            b'/' => out.extend(b"%2f"),
            b'?' => out.extend(b"%3f"),
            b'+' => out.extend(b"%2b"),
            b'.' => out.extend(b"%2e"),
            _ => out.push(*byte),
        }
    }
}

/// The reply in an answer with this status.
///
/// # Errors
/// [`Failure::Refused`] by Webdis for any status but 200; else what [`resp::replies`] finds.
pub fn reply(status: u16, body: &[u8]) -> Result<Reply<'_>, Failure> {
    if status != 200 {
        return Err(Failure::refused(format!("webdis: status {status}").as_bytes()));
    }
    resp::replies(body, 1).pop().unwrap_or(Err(Failure::Missing))
}
