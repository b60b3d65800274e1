//! A file that is looked at.

use crate::document::{Node, Span, Unreadable, read};

/// One file: its text, and what is in it.
pub(crate) struct File {
    /// As it was named.
    pub(crate) name: String,
    pub(crate) text: String,
    /// The text again: places are counted in characters.
    pub(crate) chars: Vec<char>,
    /// None in a file that isn't YAML.
    pub(crate) documents: Vec<Node>,
    /// Whether it is `name = value`, line by line.
    pub(crate) has_settings: bool,
}

// === impl File ===

impl File {
    /// Reads YAML or JSON. A file that can be read by nobody is there all the same, with nothing in it.
    pub(crate) fn new(name: String, text: String) -> (Self, Option<Unreadable>) {
        let (documents, unreadable) = match read(&text) {
            Ok(documents) => (documents, None),
            Err(unreadable) => (Vec::new(), Some(unreadable)),
        };
        (Self { name, chars: text.chars().collect(), text, documents, has_settings: false }, unreadable)
    }

    /// A file of settings, `name = value`, as `kong.conf` is.
    pub(crate) fn settings(name: String, text: String) -> Self {
        Self { name, chars: text.chars().collect(), text, documents: Vec::new(), has_settings: true }
    }

    /// A setting's value, and its place.
    pub(crate) fn setting(&self, name: &str) -> Option<(String, Span)> {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let start = at;
            at += line.chars().count();
            let said = line.split('#').next()?.trim_start().strip_prefix(name);
            if let Some(value) = said.and_then(|said| said.trim_start().strip_prefix('=')) {
                return Some((value.trim().to_owned(), start..start + line.trim_end().chars().count()));
            }
        }
        None
    }

    /// Line and column of a character, both from 1.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let before = self.chars.get(..at.min(self.chars.len())).unwrap_or_default();
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
        (line, column)
    }

    /// The same place in bytes.
    pub(crate) fn bytes(&self, span: &Span) -> std::ops::Range<usize> {
        let byte = |at: usize| self.chars.iter().take(at).map(|c| c.len_utf8()).sum::<usize>();
        let start = byte(span.start);
        start..byte(span.end).max(start)
    }

    /// The first line of a place.
    pub(crate) fn first_line(&self, span: &Span) -> Span {
        let end = (span.start..span.end).find(|at| self.chars.get(*at) == Some(&'\n')).unwrap_or(span.end);
        span.start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_in_lines_and_columns_of_characters() {
        let (file, _) = File::new("f".to_owned(), "é: 1\nb: [ü, 2]\n".to_owned());
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(9), (2, 5));
        assert_eq!(file.text.get(file.bytes(&(9..10))), Some("ü"));
        assert_eq!(file.first_line(&(0..9)), 0..4);
    }
}
