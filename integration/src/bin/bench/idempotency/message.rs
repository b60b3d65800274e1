//! As much of HTTP/1 as this bench's own clients and service need: messages with a `content-length` and no other framing.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};

/// Bytes of a request's body that stands for what payments usually have.
pub(crate) const SMALL: usize = 128;

/// A body and what it says it is.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    kind: &'static str,
    body: String,
}

// === impl Payload ===

impl Payload {
    /// Orders as JSON of exactly `bytes` bytes: objects in a list, with texts, numbers, flags, and keys in no order. At least 64.
    pub(crate) fn json(bytes: usize) -> Self {
        let mut body = String::from(r#"{"currency":"EUR","amount":1995,"account":"DE-4711","lines":["#);
        let mut line = 0_u32;
        while body.len() + item(line).len() + 16 < bytes {
            body += &item(line);
            body.push(',');
            line += 1;
        }
        body += r#"{"t":""#;
        // The last text fills up.
        while body.len() + 4 < bytes {
            body.push('x');
        }
        body += r#""}]}"#;
        Self { kind: "application/json", body }
    }

    /// `{}`.
    pub(crate) fn empty_json() -> Self {
        Self { kind: "application/json", body: "{}".into() }
    }

    /// The same bytes, which nobody knows to be JSON.
    pub(crate) fn as_bytes(&self) -> Self {
        Self { kind: "application/octet-stream", body: self.body.clone() }
    }

    /// A payment under a key that no other request of this process has, in place of what `request` held.
    pub(crate) fn write(&self, request: &mut Vec<u8>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (key, Self { kind, body }) = (NEXT.fetch_add(1, Ordering::Relaxed), self);
        let length = body.len();
        request.clear();
        let head = format!(
            "POST /pay HTTP/1.1\r\nhost: bench\r\nidempotency-key: \"{key:032x}\"\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body.as_bytes());
    }
}

fn item(line: u32) -> String {
    let price = f64::from(line * 37 % 1000) / 4.0 + 0.05;
    format!(r#"{{"sku":"AB-{line:05}","quantity":{},"price":{price},"gift":false,"note":"Größe M"}}"#, line % 7 + 1)
}

/// Bytes of the message at the buffer's start, head and body; `None` while a part of it is missing.
pub(crate) fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = std::str::from_utf8(buffer.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let end = head + 4 + length.unwrap_or(0);
    (buffer.len() >= end).then_some(end)
}

/// An answer that isn't 2xx is an error that shows it.
pub(crate) fn check(answer: &[u8]) -> Result<()> {
    let class = answer.get(9).context("no status")?;
    ensure!(*class == b'2', "a claimed request was answered with {}", String::from_utf8_lossy(answer));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_it_says() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcHTTP";
        assert_eq!((whole(text), whole(&text[..40])), (Some(text.len() - 4), None));
        assert!(check(text).is_ok() && check(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }

    #[test]
    fn a_payload_is_json_of_its_length() {
        for bytes in [SMALL, 4_096] {
            let Payload { body, .. } = Payload::json(bytes);
            assert_eq!(body.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        }
    }
}
