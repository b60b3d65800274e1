//! What the prober gets: a line of text, or `application/health+json` (draft-inadarei-api-health-check) where he asks for JSON.

use super::Probe;
use super::ask::Health;
use sdk_shim::host::Reply;
use sdk_shim::json::{Object, Value};

/// How a prober wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `ok`, or why not.
    Text,
    /// An object with `status`, and what each service said.
    Json,
}

// === impl Dialect ===

impl Dialect {
    /// As the request's `accept` says; text where it doesn't.
    pub fn of(accept: Option<&[u8]>) -> Self {
        let accept = accept.unwrap_or_default().to_ascii_lowercase();
        let wants = |kind: &[u8]| accept.windows(kind.len()).any(|part| part == kind);
        if wants(b"application/health+json") || wants(b"application/json") { Self::Json } else { Self::Text }
    }
}

/// Whether a probe's services are well, taken together.
pub fn is_well(probe: &Probe, healths: &[Health]) -> bool {
    let mut each = healths.iter().map(|health| *health == Health::Well);
    if probe.any { each.any(|well| well) } else { each.all(|well| well) }
}

/// The answer to a probe of services.
pub fn of_services(probe: &Probe, healths: &[Health], dialect: Dialect) -> Reply {
    let well = is_well(probe, healths);
    let each = || probe.clusters.iter().zip(healths);
    let body = match dialect {
        Dialect::Text if well => "ok\n".to_owned(),
        Dialect::Text => each()
            .filter_map(|(cluster, health)| match health {
                Health::Well => None,
                Health::Ill(why) => Some(format!("{cluster}: {why}\n")),
            })
            .collect(),
        Dialect::Json => {
            let checks = each().map(|(cluster, health)| {
                let why = match health {
                    Health::Well => None,
                    Health::Ill(why) => Some(*why),
                };
                (cluster.clone(), Value::Array(vec![status(why.is_none(), why, None)]))
            });
            let checks = Object::new(checks.collect()).unwrap_or_default();
            status(well, None, Some(checks)).to_string()
        }
    };
    reply(well, dialect, body)
}

/// The answer to a probe of this node: why it isn't ready, if it isn't.
pub fn of_node(ill: Option<&'static str>, dialect: Dialect) -> Reply {
    let body = match dialect {
        Dialect::Text => format!("{}\n", ill.unwrap_or("ok")),
        Dialect::Json => status(ill.is_none(), ill, None).to_string(),
    };
    reply(ill.is_none(), dialect, body)
}

/// An object of the draft's.
fn status(well: bool, output: Option<&str>, checks: Option<Object>) -> Value {
    let mut fields = vec![("status".to_owned(), Value::from(if well { "pass" } else { "fail" }))];
    fields.extend(output.map(|why| ("output".to_owned(), Value::from(why))));
    fields.extend(checks.map(|checks| ("checks".to_owned(), Value::Object(checks))));
    Value::Object(Object::new(fields).unwrap_or_default())
}

fn reply(well: bool, dialect: Dialect, body: String) -> Reply {
    let content_type = match dialect {
        Dialect::Text => "text/plain",
        Dialect::Json => "application/health+json",
    };
    let headers = [("content-type", content_type), ("cache-control", "no-store")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Reply { status: if well { 200 } else { 503 }, headers, body: body.into_bytes(), grpc_status: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Ask;
    use core::time::Duration;

    fn probe(any: bool) -> Probe {
        Probe {
            path: "/healthz/deep".into(),
            clusters: vec!["orders".into(), "stock".into()],
            ask: Ask::GraphQl { path: "/graphql".into() },
            authority: None,
            any,
            timeout: Duration::from_secs(1),
            fresh: Duration::from_secs(1),
            stale: Duration::from_secs(10),
        }
    }

    const ONE_ILL: [Health; 2] = [Health::Well, Health::Ill("no answer")];

    #[test]
    fn all_or_any_must_be_well() {
        for (any, status) in [(false, 503), (true, 200)] {
            assert_eq!(of_services(&probe(any), &ONE_ILL, Dialect::Text).status, status);
            assert_eq!(of_services(&probe(any), &[Health::Well; 2], Dialect::Json).status, 200);
            assert_eq!(of_services(&probe(any), &[Health::Ill("status"); 2], Dialect::Json).status, 503);
        }
    }

    #[test]
    fn each_dialect_says_why() {
        let text = of_services(&probe(false), &ONE_ILL, Dialect::Text);
        assert_eq!(text.body, b"stock: no answer\n");
        let json = of_services(&probe(false), &ONE_ILL, Dialect::Json);
        let expected = r#"{"checks":{"orders":[{"status":"pass"}],"stock":[{"output":"no answer","status":"fail"}]},"status":"fail"}"#;
        assert_eq!(String::from_utf8(json.body).unwrap(), expected);
        assert!(json.headers.contains(&("content-type".into(), "application/health+json".into())));
        assert_eq!(of_node(None, Dialect::Text).body, b"ok\n");
        assert_eq!(of_node(Some("draining"), Dialect::Json).body, br#"{"output":"draining","status":"fail"}"#);
    }

    #[test]
    fn whoever_accepts_json_gets_it() {
        for json in ["application/health+json", "text/html, application/JSON;q=0.9"] {
            assert_eq!(Dialect::of(Some(json.as_bytes())), Dialect::Json, "{json}");
        }
        for text in [None, Some(&b"*/*"[..]), Some(b""), Some(b"text/plain"), Some(b"\xff")] {
            assert_eq!(Dialect::of(text), Dialect::Text);
        }
    }
}
