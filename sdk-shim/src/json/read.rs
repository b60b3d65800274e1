//! Text to value (RFC 8259), and nothing that two readers may take for two things.

use super::{Object, Value};

/// Deepest nesting: a hostile text must not exhaust the stack.
pub const MAX_DEPTH: u32 = 127;

/// Most values in one text: each takes tens of bytes of memory, and may be two in the text.
pub const MAX_VALUES: u32 = 100_000;

/// Reads a text; an error says what is wrong and where.
///
/// # Errors
/// For what isn't JSON in UTF-8, for more than [`MAX_DEPTH`] levels or [`MAX_VALUES`] values, half surrogates, and a field that is there twice.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    read_with(bytes, &|number| Some(number.to_owned()))
}

/// Reads a text whose numbers `number` writes otherwise; where it can't, that is an error too.
///
/// # Errors
/// As [`read`].
pub fn read_with(bytes: &[u8], number: &dyn Fn(&str) -> Option<String>) -> Result<Value, String> {
    let text = core::str::from_utf8(bytes).map_err(|_| "no UTF-8".to_owned())?;
    let mut reader = Reader { text, at: 0, left: MAX_VALUES, number };
    let value = reader.value(MAX_DEPTH).and_then(|value| {
        reader.skip_white();
        if reader.peek().is_none() { Ok(value) } else { wrong("trailing characters") }
    });
    value.map_err(|what| {
        let read = text.get(..reader.at).unwrap_or_default();
        let line = read.rsplit('\n').next().unwrap_or_default();
        format!("{what} at line {} column {}", read.matches('\n').count() + 1, line.chars().count() + 1)
    })
}

struct Reader<'a> {
    text: &'a str,
    /// Always at a character's first byte.
    at: usize,
    /// Values that there may still be.
    left: u32,
    number: &'a dyn Fn(&str) -> Option<String>,
}

fn wrong<T>(what: &str) -> Result<T, String> {
    Err(what.to_owned())
}

// === impl Reader ===

impl Reader<'_> {
    fn value(&mut self, depth: u32) -> Result<Value, String> {
        self.skip_white();
        self.left = self.left.checked_sub(1).ok_or_else(|| "too many values".to_owned())?;
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[' | b'{') if depth == 0 => wrong("too many levels"),
            Some(b'[') => self.array(depth - 1),
            Some(b'{') => self.object(depth - 1),
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value, String> {
        let mut items = Vec::new();
        self.list(b']', &mut |reader| reader.value(depth).map(|item| items.push(item)))?;
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: u32) -> Result<Value, String> {
        let mut fields = Vec::new();
        self.list(b'}', &mut |reader| reader.field(depth).map(|field| fields.push(field)))?;
        let object = Object::new(fields).map_err(|name| format!("the field \"{name}\" is there twice"))?;
        Ok(Value::Object(object))
    }

    /// Items between brackets.
    fn list(&mut self, end: u8, item: &mut dyn FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        self.skip_white();
        if self.eat(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            self.skip_white();
            if self.eat(end) {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn field(&mut self, depth: u32) -> Result<(String, Value), String> {
        self.skip_white();
        let name = self.string()?;
        self.skip_white();
        self.expect(b':')?;
        Ok((name, self.value(depth)?))
    }

    fn word(&mut self) -> Result<Value, String> {
        let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.expected("a value")
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect(b'"')?;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            text.push_str(self.text.get(start..self.at).unwrap_or_default());
            if self.eat(b'"') {
                return Ok(text);
            }
            self.expect(b'\\')?;
            match self.escaped() {
                Some(character) => text.push(character),
                None => return wrong("no such escape"),
            }
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Option<char> {
        let kind = self.peek()?;
        self.at += 1;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return None,
        })
    }

    /// One UTF-16 code unit, or a pair.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let second = (self.eat(b'\\') && self.eat(b'u')).then(|| self.hex())??;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10 | low))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        // `from_str_radix` takes a sign.
        let legal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| legal)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match (self.number)(text) {
            Some(text) => Ok(Value::Number(text)),
            None => wrong("a number that is none here"),
        }
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { self.expected("a digit") }
    }

    fn skip_white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.eat(byte) { Ok(()) } else { self.expected(char::from(byte).encode_utf8(&mut [0; 4])) }
    }

    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(match self.peek() {
            Some(_) => format!("expected {what}"),
            None => format!("expected {what} and not the end"),
        })
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
