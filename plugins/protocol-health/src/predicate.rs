//! What a REST service says of itself besides its status: a header, or a value in its JSON.

use sdk_shim::json::{Value, read};
use sdk_shim::outcome::Outcome;
use sdk_shim::path::is_below;

/// When an answer of status 2xx is well. All that is asked must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Only answers to requests below these paths are asked.
    pub paths: Vec<String>,
    /// A header, and its values when all is well.
    pub header: Option<(String, Vec<String>)>,
    /// A JSON Pointer (RFC 6901) into a JSON body, and its values when all is well.
    pub json: Option<(String, Vec<Value>)>,
    /// What an answer is that hasn't got what is asked for.
    pub absent: Outcome,
    /// What an answer is that isn't well.
    pub outcome: Outcome,
}

// === impl Predicate ===

impl Predicate {
    /// Whether answers to requests for this path (without its query) are asked.
    pub fn covers(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|top| is_below(path, top))
    }

    /// What the header says; `None` where it isn't there.
    pub fn of_header(&self, value: Option<&[u8]>) -> Outcome {
        let Some((_, well)) = &self.header else { return Outcome::Ok };
        value.map_or(self.absent, |value| self.says(well.iter().any(|well| well.as_bytes() == value.trim_ascii())))
    }

    /// What a JSON body says, as it came whole. One that is no JSON hasn't got what is asked for.
    pub fn of_body(&self, body: &[u8]) -> Outcome {
        let Some((pointer, well)) = &self.json else { return Outcome::Ok };
        let mut body = read(body).ok();
        let value = body.as_mut().and_then(|body| body.pointer_mut(pointer));
        value.map_or(self.absent, |value| self.says(well.iter().any(|well| same(well, value))))
    }

    const fn says(&self, well: bool) -> Outcome {
        if well { Outcome::Ok } else { self.outcome }
    }
}

/// Numbers are compared as numbers: a protobuf Struct writes 1 where a service writes 1.0.
fn same(well: &Value, found: &Value) -> bool {
    match (well.as_f64(), found.as_f64()) {
        (Some(well), Some(found)) => well.total_cmp(&found).is_eq(),
        _ => well == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicate() -> Predicate {
        Predicate {
            paths: vec!["/api".into()],
            header: Some(("x-state".into(), vec!["well".into(), "busy".into()])),
            json: Some(("/meta/status".into(), vec![Value::from("ok"), Value::from(1), Value::Bool(true)])),
            absent: Outcome::Unknown,
            outcome: Outcome::ServerFault,
        }
    }

    #[test]
    fn what_is_named_is_well_and_everything_else_is_not() {
        let body = |text: &str| predicate().of_body(text.as_bytes());
        for well in [r#"{"meta": {"status": "ok"}}"#, r#"{"meta": {"status": 1.0}}"#, r#"{"meta": {"status": true}}"#] {
            assert_eq!(body(well), Outcome::Ok, "{well}");
        }
        assert_eq!(body(r#"{"meta": {"status": "degraded"}}"#), Outcome::ServerFault);
        assert_eq!(body(r#"{"meta": {"status": null}}"#), Outcome::ServerFault);
        for absent in ["{}", "", "<html>", "[]", r#"{"meta": 1}"#, r#"{"meta": {"status": "ok"}"#] {
            assert_eq!(body(absent), Outcome::Unknown, "{absent}");
        }
        assert_eq!(predicate().of_header(Some(b" busy ")), Outcome::Ok);
        assert_eq!(predicate().of_header(Some(b"\xff")), Outcome::ServerFault);
        assert_eq!(predicate().of_header(None), Outcome::Unknown);
    }
}
