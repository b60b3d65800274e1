//! memcached.

use super::{Store, text, until_crlf};
use sdk_shim::fake::FakeProxy;
use sdk_shim::host::Callout;
use std::collections::BTreeMap;

/// A memcached, as far as it is asked.
pub(crate) struct FakeMemcached {
    clock: FakeProxy,
    items: BTreeMap<String, Item>,
    changes: u64,
    /// An error in place of each reply.
    pub(crate) error: Option<&'static str>,
}

struct Item {
    data: Vec<u8>,
    unique: u64,
    expires: u64,
}

impl FakeMemcached {
    pub(crate) fn new(clock: &FakeProxy) -> Self {
        Self { clock: clock.clone(), items: BTreeMap::new(), changes: 0, error: None }
    }

    /// It evicts whatever it has.
    pub(crate) fn evict_all(&mut self) {
        self.items.clear();
    }

    fn run(&mut self, body: &mut &[u8]) -> Vec<u8> {
        let line = text(&until_crlf(body));
        let words: Vec<&str> = line.split(' ').collect();
        match (words[0], self.error) {
            ("quit", _) => Vec::new(),
            ("gets", None) => self.gets(words[1]),
            ("gets", Some(error)) => format!("{error}\r\n").into_bytes(),
            (verb, error) => {
                let (data, rest) = body.split_at(words[4].parse().unwrap());
                *body = rest.strip_prefix(b"\r\n").unwrap();
                let unique = words.get(5).map(|unique| unique.parse().unwrap());
                let said = error.unwrap_or_else(|| self.store(verb, words[1], words[3], data, unique));
                format!("{said}\r\n").into_bytes()
            }
        }
    }

    fn live(&self, key: &str) -> Option<&Item> {
        self.items.get(key).filter(|item| self.clock.clock().now().as_millis() < item.expires)
    }

    fn gets(&self, key: &str) -> Vec<u8> {
        let Some(Item { data, unique, .. }) = self.live(key) else { return b"END\r\n".to_vec() };
        let head = format!("VALUE {key} 0 {} {unique}\r\n", data.len());
        [head.as_bytes(), data, b"\r\nEND\r\n"].concat()
    }

    fn store(&mut self, verb: &str, key: &str, seconds: &str, data: &[u8], unique: Option<u64>) -> &'static str {
        match (verb, self.live(key)) {
            ("add", Some(_)) => return "NOT_STORED",
            ("cas", None) => return "NOT_FOUND",
            ("cas", Some(item)) if Some(item.unique) != unique => return "EXISTS",
            _ => {}
        }
        self.changes += 1;
        let expires = self.clock.clock().now().as_millis() + seconds.parse::<u64>().unwrap() * 1_000;
        self.items.insert(key.to_owned(), Item { data: data.to_vec(), unique: self.changes, expires });
        "STORED"
    }
}

impl Store for FakeMemcached {
    fn answer(&mut self, callout: &Callout) -> Vec<u8> {
        let (mut body, mut out) = (callout.body.as_slice(), Vec::new());
        while !body.is_empty() {
            out.extend(self.run(&mut body));
        }
        out
    }

    fn label(&self) -> &'static str {
        "memcached"
    }
}
