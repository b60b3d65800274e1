//! What was asked of the proxy in this callback, and need not be asked again.
//!
//! Names and values lie in one buffer that is emptied with each callback and keeps its room, so that remembering costs no allocation.

use sdk_shim::host::Map;

/// What a name is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header.
    Header(Map),
    /// A property.
    Property,
}

/// Answers, each by place and name.
#[derive(Debug, Default)]
pub struct Facts {
    known: Vec<Fact>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Fact {
    place: Place,
    /// Where the name begins; it ends where the value begins.
    name: usize,
    value: usize,
    end: usize,
    /// There is a value; otherwise the proxy said that there is none.
    found: bool,
}

// === impl Facts ===

impl Facts {
    /// Another callback, or another stream: nothing is known.
    pub fn forget_all(&mut self) {
        self.known.clear();
        self.bytes.clear();
    }

    /// It was changed.
    pub fn forget(&mut self, place: Place, name: &[&str]) {
        let bytes = &self.bytes;
        self.known.retain(|fact| fact.place != place || !is_named(bytes, fact, name));
    }

    /// What the proxy said: `None` where it wasn't asked, `Some(None)` where it has nothing.
    pub fn recall(&self, place: Place, name: &[&str]) -> Option<Option<Vec<u8>>> {
        let fact = self.known.iter().find(|fact| fact.place == place && is_named(&self.bytes, fact, name))?;
        Some(fact.found.then(|| self.bytes.get(fact.value..fact.end).unwrap_or_default().to_vec()))
    }

    /// Remembers it.
    pub fn learn(&mut self, place: Place, name: &[&str], value: Option<&[u8]>) {
        let start = self.bytes.len();
        for part in name {
            self.bytes.extend_from_slice(part.as_bytes());
            // No part of a name holds it.
            self.bytes.push(0);
        }
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.known.push(Fact { place, name: start, value: middle, end: self.bytes.len(), found: value.is_some() });
    }
}

fn is_named(bytes: &[u8], fact: &Fact, name: &[&str]) -> bool {
    let mut rest = bytes.get(fact.name..fact.value).unwrap_or_default();
    for part in name {
        let Some(after) = rest.strip_prefix(part.as_bytes()).and_then(|rest| rest.strip_prefix(&[0])) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_known_until_it_changes_or_the_callback_ends() {
        let mut facts = Facts::default();
        let (header, other) = (Place::Header(Map::RequestHeaders), Place::Header(Map::ResponseHeaders));
        assert_eq!(facts.recall(header, &["a"]), None);
        facts.learn(header, &["a"], Some(b"1"));
        facts.learn(header, &["ab"], None);
        facts.learn(Place::Property, &["a", "b"], Some(b""));
        assert_eq!(facts.recall(header, &["a"]), Some(Some(b"1".to_vec())));
        assert_eq!(facts.recall(header, &["ab"]), Some(None), "known to be absent");
        assert_eq!(facts.recall(Place::Property, &["a", "b"]), Some(Some(Vec::new())));
        assert_eq!((facts.recall(other, &["a"]), facts.recall(Place::Property, &["ab"])), (None, None));
        facts.forget(header, &["a"]);
        assert_eq!((facts.recall(header, &["a"]), facts.recall(header, &["ab"])), (None, Some(None)));
        facts.forget_all();
        assert_eq!(facts.recall(Place::Property, &["a", "b"]), None);
    }
}
