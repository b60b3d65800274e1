//! What one request came to, as its client saw it: a line of JSON.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::TestResult;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GET /orders`.
    Read,
    /// `POST /payments`, under a key.
    Pay,
    /// Orders over gRPC.
    Grpc,
    /// Orders over GraphQL.
    Graphql,
}

/// One request, with all the attempts that its client made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it began, since the load's start.
    pub at: Duration,
    /// Until its last attempt was over.
    pub took: Duration,
    /// What was wanted.
    pub kind: Kind,
    /// The region in which its user must be served, or not at all; `None` where he may be served by either.
    pub stays: Option<String>,
    /// The gateway of the last attempt.
    pub node: String,
    /// Of the last answer; `None` where there was none.
    pub status: Option<u16>,
    /// Whether the user got what he wanted, whatever the status says.
    pub ok: bool,
    /// Of the client, not of a gateway.
    pub attempts: u32,
    /// Of a payment.
    pub key: Option<String>,
    /// The key of the payment that the last answer tells of.
    pub paid: Option<String>,
    /// The service that answered last.
    pub by: Option<String>,
    /// Which plugin refused, or why there was no answer.
    pub said: Option<String>,
}

// === impl Kind ===

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Pay, Self::Grpc, Self::Graphql];

    /// Its name in a line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Pay => "pay",
            Self::Grpc => "grpc",
            Self::Graphql => "graphql",
        }
    }
}

// === impl Record ===

impl Record {
    /// Whether its user may be served by the other region.
    pub fn may_move(&self) -> bool {
        self.stays.is_none()
    }

    /// Whether its last answer came from another region than its user must be served in. A service's region ends its name.
    pub fn strayed(&self) -> bool {
        let (Some(region), Some(by)) = (&self.stays, &self.by) else { return false };
        by.rsplit_once('-').is_none_or(|(_, there)| there != region)
    }

    /// Whether its last answer is this service's.
    pub fn answered_by(&self, service: &str) -> bool {
        self.by.as_deref() == Some(service)
    }

    /// As a line.
    pub fn write(&self) -> String {
        json!({
            "at_ms": millis(self.at), "ms": millis(self.took), "kind": self.kind.name(), "stays": self.stays, "node": self.node,
            "status": self.status, "ok": self.ok, "attempts": self.attempts, "key": self.key, "paid": self.paid, "by": self.by, "said": self.said,
        })
        .to_string()
    }

    /// From a line.
    ///
    /// # Errors
    /// When it is something else; shows it.
    pub fn read(line: &str) -> TestResult<Self> {
        let fields: Value = serde_json::from_str(line).with_context(|| format!("not a record: {line}"))?;
        record(&fields).with_context(|| format!("not a record: {line}"))
    }
}

fn record(fields: &Value) -> TestResult<Record> {
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    let number = |name: &str| fields[name].as_u64().with_context(|| format!("no number {name}"));
    let flag = |name: &str| fields[name].as_bool().with_context(|| format!("no {name}"));
    Ok(Record {
        at: Duration::from_millis(number("at_ms")?),
        took: Duration::from_millis(number("ms")?),
        kind: kind(&text("kind").unwrap_or_default())?,
        stays: text("stays"),
        node: text("node").context("no node")?,
        status: fields["status"].as_u64().map(u16::try_from).transpose()?,
        ok: flag("ok")?,
        attempts: u32::try_from(number("attempts")?)?,
        key: text("key"),
        paid: text("paid"),
        by: text("by"),
        said: text("said"),
    })
}

fn kind(name: &str) -> TestResult<Kind> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let Some(kind) = found else { bail!("no kind {name:?}") };
    Ok(kind)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let record = Record {
            at: Duration::from_millis(1200),
            took: Duration::from_millis(31),
            kind: Kind::Pay,
            stays: Some("us".into()),
            node: "edge-b".into(),
            status: Some(201),
            ok: true,
            attempts: 2,
            key: Some("r-7".into()),
            paid: Some("r-7".into()),
            by: Some("rest-us".into()),
            said: None,
        };
        assert_eq!(Record::read(&record.write()).unwrap(), record);
        let lost = Record { status: None, said: Some("no answer".into()), key: None, by: None, ..record };
        assert_eq!(Record::read(&lost.write()).unwrap(), lost);
    }

    #[test]
    fn what_is_no_record_is_shown() {
        for line in ["", "{}", "hello", r#"{"at_ms":1,"ms":1,"kind":"sulk","ok":true,"attempts":1,"node":"a"}"#] {
            let error = format!("{:#}", Record::read(line).unwrap_err());
            assert!(error.contains("not a record") && error.contains(line), "{error}");
        }
    }
}
