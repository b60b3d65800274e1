//! A snapshot of headers, as bytes.
//!
//! Request headers are gone once they were sent on, so whoever needs several of them later takes them all at once. A
//! header's value is bytes: 0xFF is legal there, and data.

/// Headers in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl From<Vec<(Vec<u8>, Vec<u8>)>> for Headers {
    fn from(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self(pairs)
    }
}

impl Headers {
    /// The first value of a header; proxies hand over names in lower case, but HTTP doesn't mind case.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Every value of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |(key, _): &&'a (Vec<u8>, Vec<u8>)| key.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().filter(same).map(|(_, value)| value.as_slice())
    }
}

/// The number in a header such as `:status` or `grpc-status`; `None` for anything that is no decimal number.
pub fn number(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a content-type is gRPC's own (`application/grpc`, `application/grpc+proto`), gRPC-Web excluded.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let Some((kind, rest)) = content_type.split_at_checked(b"application/grpc".len()) else { return false };
    kind.eq_ignore_ascii_case(b"application/grpc")
        && !matches!(rest.first(), Some(b) if !matches!(b, b'+' | b';' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_no_utf8_is_data() {
        let headers = Headers::from(vec![(b"X-A".to_vec(), vec![0xFF]), (b"x-a".to_vec(), b"2".to_vec())]);
        assert_eq!(headers.get("x-a"), Some(&[0xFF][..]));
        assert_eq!(headers.all("x-a").count(), 2);
        assert_eq!(headers.get("x-b"), None);
    }

    #[test]
    fn numbers_are_decimal_or_nothing() {
        assert_eq!(number(b"503"), Some(503));
        assert_eq!(
            (number(b""), number(b"+5"), number(b"5xx"), number(&[0xFF]), number(b"99999999999")),
            (None, None, None, None, None)
        );
    }

    #[test]
    fn grpc_web_is_not_grpc() {
        assert!(
            is_grpc(b"application/grpc") && is_grpc(b"application/grpc+proto") && is_grpc(b"Application/gRPC; a=b")
        );
        assert!(!is_grpc(b"application/grpc-web+proto") && !is_grpc(b"application/json") && !is_grpc(b""));
    }
}
