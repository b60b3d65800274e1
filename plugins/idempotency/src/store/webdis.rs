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
//! - **An answer may be somebody else's.** Before 0.1.20 it goes to the descriptor that the request came on, also when its client has hung up and
//!   the next one was given that number (`integration/tests/stores_webdis.rs` sees it happen). So each call is marked: Webdis shows `?filename=`
//!   of a request in the answer's `content-disposition`, and an answer without its call's mark is none.

use super::redis::Call;

/// The header of an answer that shows what its request was marked with.
pub const MARKED: &str = "content-disposition";

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

/// The `:path` of a request that is marked with a number that no other one has.
pub fn path(mark: u64) -> String {
    format!("/?filename={mark:016x}")
}

/// Whether an answer whose [`MARKED`] says this is the answer to the request with this mark.
pub fn is_marked(shown: &[u8], mark: u64) -> bool {
    shown == format!("attachment; filename=\"{mark:016x}\"").as_bytes()
}
