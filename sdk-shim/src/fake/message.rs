//! Headers, and one direction of a stream.

/// Headers as bytes, in order; names compare without case.
///
/// ```
/// use sdk_shim::fake::Headers;
/// let headers = Headers::from(&[(":status", "200")]).with("x-odd", b"\xFF");
/// assert_eq!(headers.get("X-Odd"), Some(&b"\xFF"[..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// These and one more, which may hold any byte.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.0.push((name.as_bytes().to_vec(), value.to_vec()));
        self
    }

    /// The first value under a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| same(key, name)).map(|(_, value)| value.as_slice())
    }

    /// The first value under a name as text; what is not UTF-8 is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// All of them, as the host hands them over.
    pub fn pairs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.0
    }

    /// So many of them at most; pseudo-headers come first where not all fit, as `WasmX` has it.
    pub(super) fn first(&self, most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = self.0.clone();
        if pairs.len() > most {
            pairs.sort_by_key(|(name, _)| !name.starts_with(b":"));
            pairs.truncate(most);
        }
        pairs
    }

    /// Replaces every value under a name, or adds it.
    pub(super) fn set(&mut self, name: &str, value: &[u8]) {
        let first = self.0.iter().position(|(key, _)| same(key, name));
        let Some(first) = first else {
            return self.0.push((name.as_bytes().to_vec(), value.to_vec()));
        };
        value.clone_into(&mut self.0[first].1);
        let mut seen = 0;
        self.0.retain(|(key, _)| {
            seen += usize::from(same(key, name));
            !same(key, name) || seen == 1
        });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| !same(key, name));
    }
}

impl<const N: usize> From<&[(&str, &str); N]> for Headers {
    fn from(pairs: &[(&str, &str); N]) -> Self {
        Self::from(&pairs[..])
    }
}

impl From<&[(&str, &str)]> for Headers {
    fn from(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(Self::default(), |all, (name, value)| all.with(name, value.as_bytes()))
    }
}

impl From<&[(String, String)]> for Headers {
    fn from(pairs: &[(String, String)]) -> Self {
        pairs.iter().fold(Self::default(), |all, (name, value)| all.with(name, value.as_bytes()))
    }
}

fn same(key: &[u8], name: &str) -> bool {
    key.eq_ignore_ascii_case(name.as_bytes())
}

/// Where a direction was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Headers,
    Body,
    Trailers,
}

/// How far the headers of a direction came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Absent,
    /// Here: the host shows them.
    Here,
    /// Sent on: the host no longer shows them.
    Left,
}

/// One direction of a stream: its headers, whether they left, and what of its body is held.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    pub(super) headers: Headers,
    pub(super) stage: Stage,
    pub(super) ended: bool,
    /// How long its body is, where it said so as it came and there is one.
    pub(super) length: Option<usize>,
    pub(super) paused: Option<At>,
    /// More of a body is still to come before it is shown.
    pub(super) gathering: bool,
    pub(super) buffer: Vec<u8>,
    /// Parts that came while the headers were held.
    pub(super) waiting: Vec<(Vec<u8>, bool)>,
}

impl Half {
    pub(super) fn new(headers: Headers, ended: bool) -> Self {
        let length = headers.text("content-length").and_then(|length| length.parse().ok()).filter(|length| *length > 0);
        Self { headers, stage: Stage::Here, ended, length, ..Self::default() }
    }

    /// Bytes of the body that are held.
    pub(super) fn held(&self) -> usize {
        if self.paused.is_some() { self.buffer.len() } else { 0 }
    }

    pub(super) fn release(&mut self) {
        self.paused = None;
        self.stage = Stage::Left;
        self.buffer.clear();
    }

    /// Takes a part of the body: what was held plus this, or only this where the last went on.
    pub(super) fn take(&mut self, part: &[u8]) {
        if self.paused.is_none() && !self.gathering {
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_leaves_one_value() {
        let mut headers = Headers::from(&[("a", "1"), ("b", "2"), ("A", "3")]);
        headers.set("a", b"4");
        assert_eq!(headers, Headers::from(&[("a", "4"), ("b", "2")]));
        headers.remove("B");
        assert_eq!(headers.pairs().len(), 1);
    }

    #[test]
    fn what_is_held_grows_and_what_went_on_does_not() {
        let mut half = Half::new(Headers::from(&[]), false);
        half.take(b"ab");
        half.paused = Some(At::Body);
        half.take(b"cd");
        assert_eq!(half.buffer, b"abcd");
        half.release();
        half.take(b"ef");
        assert_eq!(half.buffer, b"ef");
    }
}
