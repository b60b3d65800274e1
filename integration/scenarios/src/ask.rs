//! A request, what the service makes of it, and what must be seen of that.

use core::time::Duration;

/// Name and value, as a table writes them.
pub(crate) type Pair = (&'static str, &'static str);

/// A client asks.
#[derive(Clone, Debug)]
pub struct Ask {
    /// HTTP method.
    pub method: &'static str,
    /// With its query.
    pub path: &'static str,
    /// Besides those that every request has.
    pub headers: Vec<Pair>,
    /// Empty where there is none.
    pub body: &'static str,
    /// What the service says, if it is asked.
    pub answer: Answer,
    /// What must be seen.
    pub seen: Seen,
}

/// What the service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer.
    Says {
        /// HTTP status.
        status: u16,
        /// Name and value.
        headers: Vec<Pair>,
        /// Its body.
        body: &'static str,
        /// What follows it.
        trailers: Vec<Pair>,
        /// How long it takes.
        after: Duration,
    },
    /// Nothing, until the proxy has waited long enough.
    Silence,
    /// Nothing, and the connection is reset.
    Reset,
}

/// What must be seen; what isn't named may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The client's status.
    pub status: Option<u16>,
    /// Headers of what the client gets.
    pub headers: Vec<(&'static str, Value)>,
    /// The body that the client gets.
    pub body: Option<&'static str>,
    /// How often the service is asked.
    pub asked: Option<u32>,
    /// Headers that the service sees.
    pub service: Vec<(&'static str, Value)>,
}

/// What a header must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Exactly this.
    Is(&'static str),
    /// Anything.
    Present,
    /// Not there.
    Absent,
}

/// A client reads.
pub fn get(path: &'static str) -> Ask {
    Ask { method: "GET", path, headers: Vec::new(), body: "", answer: Answer::of(200), seen: Seen::default() }
}

/// A client sends a body.
pub fn post(path: &'static str, body: &'static str) -> Ask {
    Ask { method: "POST", body, ..get(path) }
}

// === impl Ask ===

impl Ask {
    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The service answers so.
    #[must_use]
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// The service answers with this status, and the client sees it.
    #[must_use]
    pub fn gets(self, status: u16) -> Self {
        self.answer(Answer::of(status)).sees(status).asked(1)
    }

    /// The client sees this status.
    #[must_use]
    pub fn sees(mut self, status: u16) -> Self {
        self.seen.status = Some(status);
        self
    }

    /// The client sees this header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: Value) -> Self {
        self.seen.headers.push((name, value));
        self
    }

    /// The client gets this body.
    #[must_use]
    pub fn body(mut self, body: &'static str) -> Self {
        self.seen.body = Some(body);
        self
    }

    /// The service is asked so often.
    #[must_use]
    pub fn asked(mut self, times: u32) -> Self {
        self.seen.asked = Some(times);
        self
    }

    /// The service sees this header.
    #[must_use]
    pub fn service(mut self, name: &'static str, value: Value) -> Self {
        self.seen.service.push((name, value));
        self
    }

    /// A plugin answers with this status, says that it did, and the service isn't asked.
    #[must_use]
    pub fn refused(self, status: u16, reason: &'static str) -> Self {
        self.sees(status).header("x-holdfast-reject", Value::Is(reason)).asked(0)
    }
}

// === impl Answer ===

impl Answer {
    /// This status and a small body.
    pub const fn of(status: u16) -> Self {
        Self::Says { status, headers: Vec::new(), body: "{}", trailers: Vec::new(), after: Duration::ZERO }
    }

    /// With a header; nothing where there is no answer.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        if let Self::Says { headers, .. } = &mut self {
            headers.push((name, value));
        }
        self
    }

    /// With this body; nothing where there is no answer.
    #[must_use]
    pub fn says(mut self, text: &'static str) -> Self {
        if let Self::Says { body, .. } = &mut self {
            *body = text;
        }
        self
    }

    /// Ends in this trailer; nothing where there is no answer.
    #[must_use]
    pub fn ends(mut self, name: &'static str, value: &'static str) -> Self {
        if let Self::Says { trailers, .. } = &mut self {
            trailers.push((name, value));
        }
        self
    }

    /// Later; nothing where there is no answer.
    #[must_use]
    pub fn later(mut self, by: Duration) -> Self {
        if let Self::Says { after, .. } = &mut self {
            *after = by;
        }
        self
    }

    /// Its status, if there is one.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Says { status, .. } => Some(*status),
            Self::Silence | Self::Reset => None,
        }
    }

    /// Whether trailers follow: HTTP/1 has none that a proxy tells of.
    pub fn has_trailers(&self) -> bool {
        matches!(self, Self::Says { trailers, .. } if !trailers.is_empty())
    }

    /// How long the service takes for it.
    pub fn takes(&self) -> Duration {
        match self {
            Self::Says { after, .. } => *after,
            Self::Silence | Self::Reset => Duration::ZERO,
        }
    }
}

// === impl Seen ===

impl Seen {
    /// What isn't as it must be, in words; `None` where all is.
    pub fn differs(&self, status: Option<u16>, headers: &dyn Fn(&str) -> Option<String>, body: &str) -> Option<String> {
        let wrong_status = self.status.filter(|wanted| Some(*wanted) != status);
        if let Some(wanted) = wrong_status {
            return Some(format!("the client got {status:?}, not {wanted} ({body})"));
        }
        if let Some(wrong) = wrong(&self.headers, headers) {
            return Some(format!("the client got {wrong}"));
        }
        let wanted = self.body.filter(|wanted| *wanted != body)?;
        Some(format!("the client got the body {body:?}, not {wanted:?}"))
    }

    /// The same of what the service saw: how often it was asked, and the headers of the last time.
    pub fn service_differs(&self, asked: u32, headers: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        if let Some(wanted) = self.asked.filter(|wanted| *wanted != asked) {
            return Some(format!("the service was asked {asked} times, not {wanted}"));
        }
        wrong(&self.service, headers).map(|wrong| format!("the service saw {wrong}"))
    }
}

/// The first header that isn't what it must be.
fn wrong(wanted: &[(&str, Value)], headers: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    wanted.iter().find_map(|(name, value)| {
        let found = headers(name);
        let right = match (value, &found) {
            (Value::Is(wanted), Some(found)) => wanted == found,
            (Value::Present, Some(_)) | (Value::Absent, None) => true,
            _ => false,
        };
        (!right).then(|| format!("{name}: {found:?}, not {value:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_in_words() {
        let seen = get("/").refused(503, "circuit-breaker; cause=open").seen;
        let none = |_: &str| None;
        let open = |_: &str| Some("circuit-breaker; cause=open".to_owned());
        assert_eq!(seen.differs(Some(503), &open, ""), None);
        assert_eq!(seen.differs(Some(200), &open, "{}").unwrap(), "the client got Some(200), not 503 ({})");
        assert!(seen.differs(Some(503), &none, "").unwrap().contains("x-holdfast-reject: None"));
        assert_eq!(seen.service_differs(0, &none), None);
        assert_eq!(seen.service_differs(1, &none).unwrap(), "the service was asked 1 times, not 0");
    }

    #[test]
    fn a_body_and_what_the_service_saw_are_looked_at_too() {
        let seen = get("/").body("a").service("x-a", Value::Absent).service("x-b", Value::Present).seen;
        assert!(seen.differs(None, &|_| None, "b").unwrap().contains("\"b\", not \"a\""));
        assert_eq!(seen.service_differs(7, &|name| (name == "x-b").then(String::new)), None);
        assert!(seen.service_differs(7, &|_| Some(String::new())).unwrap().contains("x-a"));
    }
}
