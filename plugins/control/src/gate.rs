//! Who may ask, and what: the request's headers.

use sdk_shim::common::same_secret;
use sdk_shim::path::without_query;

/// Keys of an instance that are shown if nothing else is asked for.
const FEW: usize = 1_000;
/// And at most: as many as an instance may have.
const MOST: usize = 10_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What there is, with so many keys of each instance.
    State {
        /// Most keys.
        limit: usize,
    },
    /// An order follows, in the body.
    Override,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// The token isn't there, or isn't the one.
    Unauthorized,
    /// There is no such page.
    NotFound,
    /// It takes this method only.
    Method(&'static str),
    /// The query says something else than `limit=1` to `limit=10000`.
    Query,
}

/// A request's headers, as far as they matter.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:path`.
    pub path: Vec<u8>,
    /// `authorization`.
    pub authorization: Vec<u8>,
}

impl Asked {
    /// What is asked. Who hasn't the token learns nothing, not even which pages there are.
    pub fn question(&self, token: &[u8]) -> Result<Question, No> {
        if !self.bearer().is_some_and(|given| same_secret(given, token)) {
            return Err(No::Unauthorized);
        }
        let path = without_query(&self.path);
        match (path, self.method.as_slice()) {
            (b"/state", b"GET") => {
                Ok(Question::State { limit: limit(self.path.get(path.len()..).unwrap_or_default())? })
            }
            (b"/state", _) => Err(No::Method("GET")),
            (b"/override", b"POST") => Ok(Question::Override),
            (b"/override", _) => Err(No::Method("POST")),
            _ => Err(No::NotFound),
        }
    }

    /// RFC 6750; the scheme's case doesn't matter.
    fn bearer(&self) -> Option<&[u8]> {
        let (scheme, token) = self.authorization.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    }
}

fn limit(query: &[u8]) -> Result<usize, No> {
    if query.is_empty() {
        return Ok(FEW);
    }
    let digits = query.strip_prefix(b"?limit=").and_then(|digits| core::str::from_utf8(digits).ok());
    let limit = digits.filter(|digits| !digits.starts_with('+')).and_then(|digits| digits.parse().ok());
    limit.filter(|limit| (1..=MOST).contains(limit)).ok_or(No::Query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str, authorization: &str) -> Result<Question, No> {
        Asked { method: method.into(), path: path.into(), authorization: authorization.into() }.question(b"sesame")
    }

    #[test]
    fn who_has_the_token_may_ask() {
        assert_eq!(ask("GET", "/state", "Bearer sesame"), Ok(Question::State { limit: 1_000 }));
        assert_eq!(ask("GET", "/state?limit=5", "bearer sesame"), Ok(Question::State { limit: 5 }));
        assert_eq!(ask("POST", "/override", "Bearer sesame"), Ok(Question::Override));
    }

    #[test]
    fn who_has_it_not_learns_nothing() {
        for given in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer sesam",
            "Bearer sesame ",
            "Bearer  sesame",
            "Basic sesame",
            "sesame",
            "Bearer Sesame",
        ] {
            for path in ["/state", "/override", "/nothing"] {
                assert_eq!(ask("GET", path, given), Err(No::Unauthorized), "{given:?} {path}");
            }
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_it_should_be() {
        assert_eq!(ask("POST", "/state", "Bearer sesame"), Err(No::Method("GET")));
        assert_eq!(ask("GET", "/override", "Bearer sesame"), Err(No::Method("POST")));
        for path in ["/", "", "/states", "/state/", "//state", "/STATE"] {
            assert_eq!(ask("GET", path, "Bearer sesame"), Err(No::NotFound), "{path:?}");
        }
        for query in ["?", "?limit=", "?limit=0", "?limit=10001", "?limit=+5", "?limit=5&x=1", "?key=a", "#x"] {
            assert_eq!(ask("GET", &format!("/state{query}"), "Bearer sesame"), Err(No::Query), "{query:?}");
        }
    }
}
