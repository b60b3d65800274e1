//! The idempotency key, out of a header.
//!
//! The IETF draft (draft-ietf-httpapi-idempotency-key-header-06, 2.1) has it as a quoted string (RFC 8941, 3.3.3), but most clients in
//! the field send what Stripe's do, the bare key. So both are read, and a bare one is reported; `strict` refuses it. `"k"` and `k` are
//! the same key: a client that learns to quote doesn't pay twice.
//!
//! Nothing is repaired: a key that somebody else would read otherwise is refused, each cause by its own name.

use core::convert::Infallible;
use core::fmt;
use sfv::visitor::{Ignored, ItemVisitor, ParameterVisitor, parameter_visitor_with};
use sfv::{BareItemFromInput, Parser, Version};

/// Longest key, in bytes without quotes and escapes; Stripe's bound.
pub const MAX_KEY: usize = 255;

/// How the header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// As the draft has it.
    Structured {
        /// Bare keys are refused.
        strict: bool,
    },
    /// The value is the key, as in `x-idempotency-key`; a quote is part of it.
    Plain,
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Without quotes and escapes: 1 to [`MAX_KEY`] characters of ASCII, visible ones or, within quotes, spaces.
    pub text: String,
    /// The draft would have had it quoted.
    pub bare: bool,
}

/// Why a value is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is more than one, on several lines or on one.
    Several,
    /// There is nothing in it.
    Empty,
    /// It has more than [`MAX_KEY`] bytes.
    TooLong,
    /// It holds a byte that a key can't have.
    Character,
    /// It isn't quoted, and `strict` says that it must be.
    Unquoted,
    /// It is neither a quoted string nor a bare key.
    Malformed,
}

impl Refusal {
    /// As labels, logs and problem bodies spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Several => "several",
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::Character => "character",
            Self::Unquoted => "unquoted",
            Self::Malformed => "malformed",
        }
    }
}

// === impl Key ===

/// A key is nobody's business: it isn't shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes{})", self.text.len(), if self.bare { ", bare" } else { "" })
    }
}

/// Reads the key out of every value that the header has; `None` where it has none.
pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>, syntax: Syntax) -> Result<Option<Key>, Refusal> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value, syntax).map(Some),
        (Some(_), Some(_)) => Err(Refusal::Several),
    }
}

/// Reads one value; white space around it doesn't count.
pub fn parse(value: &[u8], syntax: Syntax) -> Result<Key, Refusal> {
    let value = value.trim_ascii();
    let text = core::str::from_utf8(value).map_err(|_| Refusal::Character)?;
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Refusal::Character);
    }
    match syntax {
        Syntax::Structured { .. } if text.starts_with('"') => quoted(text),
        Syntax::Structured { strict } => bare(text, strict),
        Syntax::Plain => visible(text).map(|text| Key { text, bare: false }),
    }
}

fn quoted(text: &str) -> Result<Key, Refusal> {
    let read = |text| Parser::new(text).with_version(Version::Rfc8941).parse_item_with_visitor(Text);
    match read(text) {
        Ok(Some(key)) => bounded(&key).map(|text| Key { text, bare: false }),
        Ok(None) => Err(Refusal::Malformed),
        // A comma after an item that was one begins the next.
        Err(error) => match error.index().and_then(|at| text.split_at_checked(at)) {
            Some((item, rest)) if rest.starts_with(',') && read(item).is_ok() => Err(Refusal::Several),
            _ => Err(Refusal::Malformed),
        },
    }
}

/// Anything that can't be taken for something else: a `"` would be a broken string, a `;` might begin parameters.
fn bare(text: &str, strict: bool) -> Result<Key, Refusal> {
    let text = visible(text)?;
    match text {
        _ if strict => Err(Refusal::Unquoted),
        _ if text.contains(['"', ';']) => Err(Refusal::Malformed),
        text => Ok(Key { text, bare: true }),
    }
}

fn visible(text: &str) -> Result<String, Refusal> {
    match text {
        _ if text.contains(',') => Err(Refusal::Several),
        _ if text.contains(' ') => Err(Refusal::Character),
        text => bounded(text),
    }
}

fn bounded(text: &str) -> Result<String, Refusal> {
    match text.len() {
        0 => Err(Refusal::Empty),
        1..=MAX_KEY => Ok(text.to_owned()),
        _ => Err(Refusal::TooLong),
    }
}

/// Takes an item's string, and none of its parameters: the draft defines none, and RFC 8941 (2) has unknown ones ignored.
struct Text;

impl<'de> ItemVisitor<'de> for Text {
    type Out = Option<String>;
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = Self::Out>, Self::Error> {
        let text = match item {
            BareItemFromInput::String(text) => Some(text.as_str().to_owned()),
            _ => None,
        };
        Ok(parameter_visitor_with(Ignored, move |()| Ok(text)))
    }
}
