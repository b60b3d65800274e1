//! One stream's time at one gateway, as its client saw it: a line of JSON.

use std::time::Duration;

use serde_json::{Value, json};

/// From an open stream to its end. A client that comes again begins another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Whose it is, the same in all of its legs.
    pub client: String,
    /// Whether it reads events, or writes over a WebSocket.
    pub reads: bool,
    /// The gateway.
    pub node: String,
    /// When it was open, since the load's start.
    pub at: Duration,
    /// When it ended.
    pub until: Duration,
    /// Whether it was told when to come again (`retry:`).
    pub told: bool,
    /// Numbers and texts, in order: of a reader what came, of a writer what was acknowledged.
    pub messages: Vec<(u64, String)>,
    /// How it was cut; `None` where its client had enough.
    pub cut: Option<String>,
}

// === impl Leg ===

impl Leg {
    /// As a line.
    pub fn write(&self) -> String {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        json!({
            "stream": self.client, "reads": self.reads, "node": self.node, "at_ms": millis(self.at), "until_ms": millis(self.until),
            "told": self.told, "messages": self.messages, "cut": self.cut,
        })
        .to_string()
    }

    /// From a line; `None` where it is something else.
    pub fn read(line: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        let time = |name: &str| fields[name].as_u64().map(Duration::from_millis);
        let message = |pair: &Value| Some((pair[0].as_u64()?, pair[1].as_str()?.to_owned()));
        Some(Self {
            client: text("stream")?,
            reads: fields["reads"].as_bool()?,
            node: text("node")?,
            at: time("at_ms")?,
            until: time("until_ms")?,
            told: fields["told"].as_bool()?,
            messages: fields["messages"].as_array()?.iter().map(message).collect::<Option<_>>()?,
            cut: text("cut"),
        })
    }

    /// Whether it was open at this time.
    pub fn is_open_at(&self, time: Duration) -> bool {
        (self.at..self.until).contains(&time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let leg = Leg {
            client: "reader 1".into(),
            reads: true,
            node: "edge-a".into(),
            at: Duration::from_millis(12),
            until: Duration::from_secs(9),
            told: true,
            messages: vec![(7, "writer 0: 3".into())],
            cut: Some("connection reset".into()),
        };
        assert_eq!(Leg::read(&leg.write()), Some(leg));
        assert_eq!(Leg::read(r#"{"at_ms":1,"ms":1,"kind":"read"}"#), None);
    }
}
