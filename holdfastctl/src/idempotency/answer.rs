//! What a settled run's repeats are told, and how it is sealed.

use super::{End, Resolve};
use idempotency::seal::seal;
use idempotency::secret::{Secret, Secrets};
use idempotency::store::{Name, Names};
use idempotency::stored::{Kept, MAX_HEADER_BYTES, MAX_HEADERS, Stored, may_be_replayed};
use serde_json::json;
use std::path::Path;

/// Longest body: the plugin's default `max_body`.
const MAX_BODY: usize = 256 << 10;
const DONE: u16 = 200;
/// What the request depended on, its first run, has failed: not one that a proxy or a client tries again, and none that the plugin itself answers.
const FAILED: u16 = 424;

type Header = (Vec<u8>, Vec<u8>);

/// An answer to be.
#[derive(Debug)]
pub(super) struct Draft {
    status: u16,
    headers: Vec<Header>,
    /// `None`: a document that says that this was settled.
    body: Option<Vec<u8>>,
}

// === impl Draft ===

impl Draft {
    /// From what was given; `None` for a release, which has no answer.
    pub(super) fn read(wish: &Resolve) -> Result<Option<Self>, String> {
        let given = wish.status.is_some() || !wish.header.is_empty() || wish.body.is_some();
        match wish.end {
            End::Release if given || !wish.secret_env.is_empty() || wish.trust_secret || wish.request.is_some() => {
                Err("a release has no answer: --status, --header, --body and --secret-env are for done and failed"
                    .to_owned())
            }
            End::Release => Ok(None),
            End::Done | End::Failed => Self::of(wish.end, wish.status, &wish.header, wish.body.as_deref()).map(Some),
        }
    }

    fn of(end: End, status: Option<u16>, headers: &[String], body: Option<&Path>) -> Result<Self, String> {
        let (default, allowed) = if end == End::Failed { (FAILED, 400..=599) } else { (DONE, 200..=399) };
        let status = status.unwrap_or(default);
        if !allowed.contains(&status) {
            return Err(format!("--status {status}: {} is {} to {}", end.as_str(), allowed.start(), allowed.end()));
        }
        let headers = headers.iter().map(|header| read_header(header)).collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            return Err(format!("--header: at most {MAX_HEADERS} of them, and {MAX_HEADER_BYTES} bytes"));
        }
        let body = body.map(read_body).transpose()?;
        let typed = headers.iter().any(|(name, _)| name == b"content-type");
        match &body {
            Some(body) if !body.is_empty() && has_no_body(status) => {
                Err(format!("--body: an answer with status {status} has none"))
            }
            Some(body) if !body.is_empty() && !typed => {
                Err("--body: say what it is, with --header 'content-type: …'".to_owned())
            }
            None if typed => Err("--header content-type: of which --body?".to_owned()),
            _ => Ok(Self { status, headers, body }),
        }
    }

    /// As it is stored. The document names the run, so that client and service speak of the same one.
    pub(super) fn stored(&self, end: End, fence: u64) -> Stored {
        let mut headers = self.headers.clone();
        let body = match &self.body {
            Some(body) => body.clone(),
            None if has_no_body(self.status) => Vec::new(),
            None => {
                let (kind, document) = document(end, self.status, fence);
                headers.push((b"content-type".to_vec(), kind.as_bytes().to_vec()));
                document.into_bytes()
            }
        };
        Stored { status: self.status, headers, body: Kept::Whole(body) }
    }
}

fn document(end: End, status: u16, fence: u64) -> (&'static str, String) {
    let problem = "urn:holdfast:problem:idempotency";
    if end == End::Failed {
        let title =
            "The first request with this idempotency key was not carried out, and won't be: an operator settled it";
        let document =
            json!({"type": problem, "title": title, "status": status, "cause": "settled_failed", "fence": fence});
        return ("application/problem+json", document.to_string());
    }
    let title = "The first request with this idempotency key was carried out; its own answer was lost, and an operator settled it";
    ("application/json", json!({"title": title, "status": status, "cause": "settled_done", "fence": fence}).to_string())
}

fn read_header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("--header {text:?}: NAME: VALUE"))?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    if !may_be_replayed(&name) {
        return Err(format!("--header {name:?}: no header's name, or one that belongs to one exchange only"));
    }
    if value.chars().any(|one| one.is_control() && one != '\t') {
        return Err(format!("--header {name}: a control character"));
    }
    Ok((name.into_bytes(), value.as_bytes().to_vec()))
}

fn read_body(path: &Path) -> Result<Vec<u8>, String> {
    let body = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if body.len() > MAX_BODY {
        return Err(format!("{}: {} bytes, more than {MAX_BODY}", path.display(), body.len()));
    }
    Ok(body)
}

/// RFC 9110, 15.
const fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// The gateways' secrets, of the environment; nothing of them is shown.
pub(super) fn secrets(variables: &[String]) -> Result<Secrets, String> {
    if variables.is_empty() {
        return Err("what repeats are told is sealed with the gateways' secret: --secret-env NAME, as in the plugin's configuration".to_owned());
    }
    let read = |name: &String| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("--secret-env {name}: no such variable"))
    };
    let values = variables.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Secrets::new(&values).map_err(|fault| format!("--secret-env {}: {fault}", variables.join(" ")))
}

/// Seals it under the secret that made the record's name: it opens under no other.
pub(super) fn sealed(stored: &Stored, name: &Name, names: &Names, secrets: &Secrets) -> Result<Vec<u8>, String> {
    let secret = secret_of(name, names, secrets)?;
    Ok(seal(secret, name.as_str(), random()?, &stored.encode()))
}

/// The same, where the request is known: `names` are made of it under these secrets.
pub(super) fn sealed_for(stored: &Stored, name: &Name, names: &Names, secrets: &Secrets) -> Result<Vec<u8>, String> {
    if names.iter().all(|one| one != name) {
        return Err("under none of these secrets that request has this record: is it another one's, its path another, or the secret another environment's?".to_owned());
    }
    sealed(stored, name, names, secrets)
}

/// Names and secrets are in the order of the configuration.
fn secret_of<'a>(name: &Name, names: &Names, secrets: &'a Secrets) -> Result<&'a Secret, String> {
    let (known, given) = (names.iter().count(), secrets.iter().count());
    if known != given {
        return Err(format!(
            "the record has {known} name{}, one for each secret of the gateways, and {given} secret{} given: --secret-env for each, in the order of the configuration",
            if known == 1 { "" } else { "s" },
            if given == 1 { " was" } else { "s were" },
        ));
    }
    let found = names.iter().zip(secrets).find(|(one, _)| *one == name);
    found.map(|(_, secret)| secret).ok_or_else(|| "the record is under none of its names".to_owned())
}

/// 128 bits that never come again.
pub(super) fn random() -> Result<u128, String> {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| "no random numbers on this machine".to_owned())?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use idempotency::seal::open;

    fn draft(end: End, status: Option<u16>, headers: &[&str]) -> Result<Draft, String> {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        Draft::of(end, status, &headers, None)
    }

    fn reply(end: End, status: Option<u16>, headers: &[&str]) -> sdk_shim::host::Reply {
        draft(end, status, headers).expect("an answer").stored(end, 7).reply()
    }

    fn body(reply: &sdk_shim::host::Reply) -> serde_json::Value {
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    fn header<'a>(reply: &'a sdk_shim::host::Reply, name: &str) -> Option<&'a str> {
        reply.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_repeat_is_told_that_it_was_settled() {
        let done = reply(End::Done, None, &[]);
        assert_eq!((done.status, header(&done, "content-type")), (200, Some("application/json")));
        assert_eq!((&body(&done)["cause"], &body(&done)["fence"]), (&"settled_done".into(), &7.into()));
        assert_eq!(header(&done, "idempotency-replayed"), Some("true"));
        let failed = reply(End::Failed, Some(402), &["Location: /payments/7"]);
        assert_eq!((failed.status, header(&failed, "content-type")), (402, Some("application/problem+json")));
        assert_eq!((&body(&failed)["status"], header(&failed, "location")), (&402.into(), Some("/payments/7")));
        let nothing = reply(End::Done, Some(204), &[]);
        assert_eq!((nothing.body.len(), header(&nothing, "content-type")), (0, None));
        assert_eq!(header(&nothing, "x-holdfast-idempotency"), None, "there is no body that could be missing");
    }

    #[test]
    fn an_answer_that_would_lie_is_refused() {
        for (end, status) in [(End::Done, 500), (End::Done, 199), (End::Failed, 200), (End::Failed, 600)] {
            assert!(draft(end, Some(status), &[]).is_err(), "{end:?} {status}");
        }
        for wrong in ["location", "set-cookie: a=b", "x y: z", ": a", "location: a\nb: c", "content-type: text/plain"] {
            assert!(draft(End::Done, None, &[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_sealed_under_the_secret_that_made_the_name() {
        let secrets =
            Secrets::new(&["the new secret of the gateways", "the old secret of the gateways"]).expect("secrets");
        let names = Names::new(["{1a2b}new".to_owned(), "{1a2b}old".to_owned()]).expect("names");
        let stored = draft(End::Done, None, &[]).expect("an answer").stored(End::Done, 7);
        for name in names.iter() {
            let blob = sealed(&stored, name, &names, &secrets).expect("sealed");
            let opened = open(&secrets, names.iter().map(Name::as_str), &blob);
            assert_eq!(opened.as_deref().and_then(Stored::decode), Some(stored.clone()), "{name:?}");
        }
        let one = Names::from(names.first.clone());
        assert!(sealed(&stored, &names.first, &one, &secrets).is_err(), "which of the two?");
    }
}
