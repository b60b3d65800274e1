//! Webdis, before a Redis.

use super::{Command, FakeRedis, Store, text};
use sdk_shim::fake::Headers;
use sdk_shim::host::Callout;

/// A Webdis before a Redis: one command per request, its words between slashes.
pub(crate) struct FakeWebdis(pub(crate) FakeRedis);

impl Store for FakeWebdis {
    fn answer(&mut self, callout: &Callout) -> Vec<u8> {
        let words = callout.body.strip_suffix(b".raw").expect("Redis' own protocol is asked for");
        let command: Command = words.split(|byte| *byte == b'/').map(decoded).collect();
        self.0.run(&command, None)
    }

    fn headers(&self, callout: &Callout) -> Headers {
        let path = callout.headers.iter().find(|(name, _)| name == ":path").unwrap();
        let mark = path.1.strip_prefix("/?filename=").expect("each call is marked");
        let shown = format!("attachment; filename=\"{mark}\"");
        Headers::from(&[(":status", "200"), ("content-disposition", &shown)])
    }

    fn label(&self) -> &'static str {
        "webdis"
    }
}

fn decoded(word: &[u8]) -> Vec<u8> {
    let mut parts = word.split(|byte| *byte == b'%');
    let mut out = parts.next().unwrap().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        out.push(u8::from_str_radix(&text(digits), 16).unwrap());
        out.extend(rest);
    }
    out
}
