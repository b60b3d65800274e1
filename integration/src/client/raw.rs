//! Bytes that HTTP libraries refuse to send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::Response;
use crate::TestResult;

const MAX_HEADERS: usize = 100;

/// Sends these bytes on a connection of their own, reads until the peer closes it or `deadline` has passed, and
/// reads one HTTP/1 answer out of what came. Ask for `connection: close`, or it takes the whole deadline.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn main() -> integration::TestResult {
/// let bytes = b"GET / HTTP/1.1\r\nhost: x\r\nx-tenant: a\xffb\r\nconnection: close\r\n\r\n";
/// let reply = integration::client::raw(8000, bytes, Duration::from_secs(2))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the connection is refused, or what came is not an HTTP/1 answer (shows it).
pub fn raw(port: u16, bytes: &[u8], deadline: Duration) -> TestResult<Response> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("connecting to {port}"))?;
    stream.write_all(bytes).context("sending raw bytes")?;
    let answer = read_all(&mut stream, start, deadline)?;
    parse(&answer, start).with_context(|| format!("answer to raw bytes: {:?}", String::from_utf8_lossy(&answer)))
}

fn read_all(stream: &mut TcpStream, start: Instant, deadline: Duration) -> TestResult<Vec<u8>> {
    let mut answer = Vec::new();
    let mut chunk = [0; 16_384];
    while let Some(left) = deadline.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left)).context("setting a timeout")?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            // A reset after the answer is the peer's way to close; without an answer the parser complains.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error).context("reading"),
        }
    }
    Ok(answer)
}

fn parse(answer: &[u8], start: Instant) -> TestResult<Response> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(answer)? else { bail!("the head is not complete") };
    let mut headers = HeaderMap::new();
    for field in head.headers.iter() {
        headers.append(HeaderName::try_from(field.name)?, HeaderValue::from_bytes(field.value)?);
    }
    let chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
    let body = if chunked { unchunked(&answer[length..])? } else { answer[length..].to_vec() };
    let status = head.code.context("no status")?;
    Ok(Response { status, headers, trailers: HeaderMap::new(), body, elapsed: start.elapsed() })
}

fn unchunked(mut bytes: &[u8]) -> TestResult<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let parsed = httparse::parse_chunk_size(bytes).map_err(|_| anyhow::anyhow!("a bad chunk size"))?;
        let httparse::Status::Complete((start, size)) = parsed else { bail!("the body was cut") };
        if size == 0 {
            return Ok(body);
        }
        let end = start + usize::try_from(size).context("a chunk beyond memory")?;
        body.extend_from_slice(bytes.get(start..end).context("the body was cut")?);
        bytes = bytes.get(end + 2..).context("the body was cut")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_answer_is_read() {
        let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: \xff\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        let reply = parse(bytes, Instant::now()).unwrap();
        assert_eq!((reply.status, reply.text().as_str(), reply.headers["x"].as_bytes()), (200, "abcd", &b"\xff"[..]));
    }
}
