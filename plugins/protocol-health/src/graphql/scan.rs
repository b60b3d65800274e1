//! Finds `data` and `errors` at the top of a JSON text that comes in pieces, without reading the rest.
//!
//! It follows one path, `errors[].extensions.code`, and steps over everything else: of a nested value only strings and brackets are looked at, so what
//! is inside of it needn't be JSON. What is on the path must be. Nothing is kept but one key or code of at most [`MOST_KEPT`] bytes, and no more than
//! so many bytes are looked at as the caller allows.
//!
//! ```text
//! level  0      1          2   3              4
//!        {  "errors":      [   { "extensions":{ "code": "…" } } ] }
//!           "data": …            "path": … "locations": …
//! ```
//!
//! A name that comes twice counts twice: an answer can't hide its errors behind a second, empty `errors`.

use super::codes::{Codes, worse};
use sdk_shim::outcome::Outcome;

/// Bytes of a key or a code that are kept, as they are written: the longest name on the path with every character escaped, and codes that are readable.
/// Longer ones are none of those.
pub const MOST_KEPT: usize = 96;

/// What is known of `data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// It isn't there.
    #[default]
    Absent,
    /// It is `null`: the service could do nothing of what it was asked.
    Null,
    /// It is an object, and each of its fields is `null`: with errors beside it, the service could do nothing either, where its schema lets every field be
    /// `null`.
    Hollow,
    /// It has a value.
    Present,
}

/// One error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    code: String,
    /// It names a field: that one failed.
    pub path: bool,
    /// It names a place in the query.
    pub locations: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of `data`.
    pub data: Data,
    /// How many `errors` there are.
    pub errors: u32,
    /// The worst of them.
    pub worst: Option<Outcome>,
    /// The worst of those whose code is known, where that is asked for.
    pub named: Option<Outcome>,
    /// It was one JSON object, and read to its end.
    pub whole: bool,
}

/// Reads an answer as it comes.
#[derive(Clone, Debug)]
pub struct Scan {
    found: Found,
    /// Bytes that may still be looked at.
    left: usize,
    lex: Lex,
    expect: Expect,
    level: u8,
    key: Key,
    kept: Vec<u8>,
    fault: Fault,
    fields: Fields,
}

/// What is known of the fields of `data`, as long as none has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fields {
    /// Nobody asks: it isn't `data`, or one has a value.
    Any,
    /// All so far are `null`; `value` where one's value comes next.
    Null { value: bool, seen: bool },
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lex {
    Between,
    /// A key, or a value on the path.
    Text {
        escaped: bool,
    },
    /// A number or a word.
    Word,
    /// Inside of a value that isn't on the path.
    Skip {
        depth: u32,
    },
    /// In a string there.
    SkipText {
        depth: u32,
        escaped: bool,
    },
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// Names on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Data,
    Errors,
    Extensions,
    Code,
    Path,
    Locations,
    Other,
}

// === impl Fault ===

impl Fault {
    /// Its `extensions.code`, as it is written, if it has one that is short enough.
    pub fn code(&self) -> Option<&str> {
        (!self.code.is_empty()).then_some(&*self.code)
    }
}

// === impl Scan ===

impl Scan {
    /// Looks at no more than `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            found: Found::default(),
            left: most,
            lex: Lex::Between,
            expect: Expect::Value,
            level: 0,
            key: Key::Other,
            kept: Vec::new(),
            fault: Fault::default(),
            fields: Fields::Any,
        }
    }

    /// The next bytes. Errors are judged as they end.
    pub fn feed(&mut self, bytes: &[u8], codes: &Codes) {
        let (mut bytes, beyond) = bytes.split_at(bytes.len().min(self.left));
        self.left -= bytes.len();
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.lex {
                Lex::Broken => return,
                Lex::Skip { depth } => self.skip(depth, bytes),
                Lex::SkipText { depth, escaped } => self.skip_text(depth, escaped, bytes),
                Lex::Text { escaped } => self.text(escaped, bytes),
                Lex::Word if is_word(*byte) => {
                    self.keep(&bytes[..1]);
                    rest
                }
                Lex::Word => {
                    self.end_word();
                    bytes
                }
                Lex::Between => {
                    self.between(*byte, codes);
                    rest
                }
            };
        }
        if !beyond.is_empty() {
            self.broken();
        }
    }

    /// Whether nothing that may follow changes what was found.
    pub fn is_over(&self) -> bool {
        self.lex == Lex::Broken
    }

    /// The answer is over.
    pub fn end(self) -> Found {
        let whole = self.lex == Lex::Between && self.expect == Expect::Nothing;
        Found { whole, ..self.found }
    }

    fn broken(&mut self) {
        self.lex = Lex::Broken;
    }

    fn keep(&mut self, bytes: &[u8]) {
        // One more than there may be tells that it is too long.
        let room = (MOST_KEPT + 1).saturating_sub(self.kept.len());
        self.kept.extend(&bytes[..bytes.len().min(room)]);
    }

    fn skip<'a>(&mut self, depth: u32, bytes: &'a [u8]) -> &'a [u8] {
        let mut depth = depth;
        for (at, byte) in bytes.iter().enumerate() {
            if self.fields != Fields::Any {
                self.see_field(*byte);
            }
            match byte {
                b'"' => {
                    self.lex = Lex::SkipText { depth, escaped: false };
                    return &bytes[at + 1..];
                }
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.fields_ended();
                        self.value_ended();
                        return &bytes[at + 1..];
                    }
                }
                _ => {}
            }
        }
        self.lex = Lex::Skip { depth };
        &[]
    }

    /// A byte between the fields of `data`, none of which has a value so far: whatever begins anything but `null` ends that.
    fn see_field(&mut self, byte: u8) {
        let Fields::Null { value, seen } = self.fields else { return };
        self.fields = match byte {
            b':' => Fields::Null { value: true, seen },
            b',' => Fields::Null { value: false, seen },
            b'n' if value => Fields::Null { value, seen: true },
            b'"' if !value => self.fields,
            b'u' | b'l' | b'}' | b' ' | b'\t' | b'\r' | b'\n' => self.fields,
            _ => Fields::Any,
        };
    }

    fn fields_ended(&mut self) {
        if core::mem::replace(&mut self.fields, Fields::Any) == (Fields::Null { value: true, seen: true }) {
            self.found.data = Data::Hollow;
        }
    }

    fn skip_text<'a>(&mut self, depth: u32, escaped: bool, bytes: &'a [u8]) -> &'a [u8] {
        let (rest, state) = until_quote(escaped, bytes);
        self.lex = match state {
            Quote::Seen if depth == 0 => {
                self.value_ended();
                self.lex
            }
            Quote::Seen => Lex::Skip { depth },
            Quote::Ahead { escaped } => Lex::SkipText { depth, escaped },
        };
        rest
    }

    fn text<'a>(&mut self, escaped: bool, bytes: &'a [u8]) -> &'a [u8] {
        let (rest, state) = until_quote(escaped, bytes);
        let read = &bytes[..bytes.len() - rest.len()];
        match state {
            Quote::Seen => {
                self.keep(&read[..read.len() - 1]);
                self.end_text();
            }
            Quote::Ahead { escaped } => {
                self.keep(read);
                self.lex = Lex::Text { escaped };
            }
        }
        rest
    }

    fn end_text(&mut self) {
        match self.expect {
            Expect::Key | Expect::KeyOrEnd => {
                self.key = name(self.level, &self.kept);
                self.expect = Expect::Colon;
                self.lex = Lex::Between;
            }
            _ => {
                self.end_code();
                self.value_ended();
            }
        }
    }

    /// The code: a string, or a number, as some have it.
    fn end_code(&mut self) {
        if self.level == 4 && self.key == Key::Code && self.kept.len() <= MOST_KEPT {
            self.fault.code = unescaped(&self.kept).unwrap_or_default();
        }
    }

    fn end_word(&mut self) {
        let null = self.kept == b"null";
        let first = self.kept.first().copied().unwrap_or_default();
        if !null && self.kept != b"true" && self.kept != b"false" && first != b'-' && !first.is_ascii_digit() {
            return self.broken();
        }
        match (self.level, self.key) {
            (1, Key::Data) if null => self.found.data = Data::Null,
            (1, Key::Data) => self.see_data(),
            (1, Key::Errors) if !null => return self.broken(),
            (2, _) => self.fault_ended_with(Outcome::ServerFault),
            (3, Key::Path) => self.fault.path |= !null,
            (3, Key::Locations) => self.fault.locations |= !null,
            (4, Key::Code) if !null => self.end_code(),
            _ => {}
        }
        self.value_ended();
    }

    fn see_data(&mut self) {
        if matches!(self.found.data, Data::Absent | Data::Hollow) {
            self.found.data = Data::Present;
        }
    }

    fn fault_ended_with(&mut self, outcome: Outcome) {
        self.found.errors = self.found.errors.saturating_add(1);
        self.found.worst = Some(self.found.worst.map_or(outcome, |worst| worse(worst, outcome)));
    }

    fn value_ended(&mut self) {
        self.lex = Lex::Between;
        self.expect = if self.level == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    fn between(&mut self, byte: u8, codes: &Codes) {
        match (byte, self.expect) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            (b'"', Expect::Key | Expect::KeyOrEnd) => self.begin_text(),
            (b':', Expect::Colon) => self.expect = Expect::Value,
            (b',', Expect::CommaOrEnd) if self.level == 2 => self.expect = Expect::Value,
            (b',', Expect::CommaOrEnd) => self.expect = Expect::Key,
            (b'}', Expect::KeyOrEnd | Expect::CommaOrEnd) if self.level != 2 => self.close(codes),
            (b']', Expect::ValueOrEnd | Expect::CommaOrEnd) if self.level == 2 => self.close(codes),
            (_, Expect::Value | Expect::ValueOrEnd) => self.begin_value(byte),
            _ => self.broken(),
        }
    }

    fn begin_text(&mut self) {
        self.kept.clear();
        self.lex = Lex::Text { escaped: false };
    }

    fn begin_value(&mut self, byte: u8) {
        match (byte, self.level, self.key) {
            (b'{', 0 | 2, _) | (b'{', 3, Key::Extensions) => self.open(Expect::KeyOrEnd),
            (b'[', 1, Key::Errors) => self.open(Expect::ValueOrEnd),
            // An answer is an object, and its errors are a list.
            (_, 0, _) | (b'{' | b'"', 1, Key::Errors) => self.broken(),
            (b'{' | b'[' | b'"', level, key) => {
                match (level, key) {
                    (1, Key::Data) => {
                        // Of two `data` neither is looked into.
                        if self.found.data == Data::Absent && byte == b'{' {
                            self.fields = Fields::Null { value: false, seen: false };
                        }
                        self.see_data();
                    }
                    (2, _) => self.fault_ended_with(Outcome::ServerFault),
                    (3, Key::Path) => self.fault.path = true,
                    (3, Key::Locations) => self.fault.locations = true,
                    _ => {}
                }
                match byte {
                    b'"' if (level, key) == (4, Key::Code) => self.begin_text(),
                    b'"' => self.lex = Lex::SkipText { depth: 0, escaped: false },
                    _ => self.lex = Lex::Skip { depth: 1 },
                }
            }
            _ if is_word(byte) => {
                self.kept.clear();
                self.kept.push(byte);
                self.lex = Lex::Word;
            }
            _ => self.broken(),
        }
    }

    fn open(&mut self, expect: Expect) {
        self.level += 1;
        self.expect = expect;
        if self.level == 3 {
            self.fault = Fault::default();
        }
    }

    fn close(&mut self, codes: &Codes) {
        if self.level == 3 {
            let named = if codes.null_is_no_data { codes.named(&self.fault) } else { None };
            self.found.named =
                named.map(|named| self.found.named.map_or(named, |worst| worse(worst, named))).or(self.found.named);
            self.fault_ended_with(codes.judge(&self.fault));
        }
        self.level -= 1;
        self.value_ended();
    }
}

/// Where a string's end is.
enum Quote {
    Seen,
    Ahead { escaped: bool },
}

/// What is behind a string's closing quote.
fn until_quote(escaped: bool, mut bytes: &[u8]) -> (&[u8], Quote) {
    if escaped {
        match bytes.split_first() {
            Some((_, rest)) => bytes = rest,
            None => return (bytes, Quote::Ahead { escaped }),
        }
    }
    while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
        if bytes[at] == b'"' {
            return (&bytes[at + 1..], Quote::Seen);
        }
        match bytes.get(at + 2..) {
            Some(rest) => bytes = rest,
            None => return (&[], Quote::Ahead { escaped: true }),
        }
    }
    (&[], Quote::Ahead { escaped: false })
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn name(level: u8, written: &[u8]) -> Key {
    if written.len() > MOST_KEPT {
        return Key::Other;
    }
    match (level, unescaped(written).as_deref()) {
        (1, Some("data")) => Key::Data,
        (1, Some("errors")) => Key::Errors,
        (3, Some("extensions")) => Key::Extensions,
        (3, Some("path")) => Key::Path,
        (3, Some("locations")) => Key::Locations,
        (4, Some("code")) => Key::Code,
        _ => Key::Other,
    }
}

/// A string's text. `None` where it isn't one, or has characters beyond the first plane escaped, which no name on the path has.
fn unescaped(written: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (escape, after) = rest.split_first()?;
        rest = after;
        match escape {
            b'"' | b'\\' | b'/' => out.push(*escape),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (digits, after) = rest.split_at_checked(4)?;
                rest = after;
                let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
                let digits = core::str::from_utf8(digits).ok().filter(|_| all_hex)?;
                let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}
