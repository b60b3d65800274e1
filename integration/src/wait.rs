//! Waiting for a condition, with a deadline and a failure message that says what was seen last.
//!
//! A fixed sleep is either too short on a busy machine or too long on every other one, so tests poll.

use std::fmt::{Debug, Display};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two tries: short beside a breaker's windows, long beside one request.
const POLL: Duration = Duration::from_millis(10);

/// What a condition may answer: `bool`, `Result<bool, _>`.
pub trait Check {
    /// `Ok` when the condition holds, else what to print.
    fn check(self) -> Result<(), String>;
}

// === impl Check ===

impl Check for bool {
    fn check(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".into()) }
    }
}

impl<E: Display> Check for Result<bool, E> {
    fn check(self) -> Result<(), String> {
        match self {
            Ok(held) => held.check(),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Polls until `condition` holds; an error inside it counts as "not yet".
///
/// # Errors
/// After `deadline`: names `what`, and the last answer.
pub fn eventually<C: Check>(what: &str, deadline: Duration, mut condition: impl FnMut() -> C) -> Result<()> {
    poll(what, deadline, || condition().check())
}

/// Polls until `read` gives `expected`.
///
/// # Errors
/// After `deadline`: names `what`, the expected and the last value.
pub fn eventually_eq<T, E>(
    what: &str,
    deadline: Duration,
    expected: &T,
    mut read: impl FnMut() -> Result<T, E>,
) -> Result<()>
where
    T: PartialEq + Debug,
    E: Display,
{
    poll(what, deadline, || match read() {
        Ok(value) if value == *expected => Ok(()),
        Ok(value) => Err(format!("{value:?}, expected {expected:?}")),
        Err(error) => Err(format!("{error:#}")),
    })
}

/// Polls until `read` gives a value, and returns it.
///
/// # Errors
/// After `deadline`: names `what`, and the last error.
pub fn eventually_some<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut read: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T> {
    poll(what, deadline, || match read() {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err("nothing".into()),
        Err(error) => Err(format!("{error:#}")),
    })
}

/// Polls for the whole of `span` and wants `condition` to hold every time.
///
/// # Errors
/// At the first time that it doesn't.
pub fn throughout<C: Check>(what: &str, span: Duration, mut condition: impl FnMut() -> C) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(last) = condition().check() {
            bail!("held for only {:?} of {span:?}: {what} ({last})", start.elapsed());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn poll<T>(what: &str, deadline: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> Result<T> {
    let start = Instant::now();
    let mut tries = 0_u32;
    loop {
        tries += 1;
        match attempt() {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() >= deadline => {
                bail!("not within {deadline:?} ({tries} tries): {what}; last seen: {last}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_wish_and_the_last_answer() {
        let error = eventually_eq("two hits", Duration::ZERO, &2, || Ok::<_, String>(1)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("two hits") && text.contains("1, expected 2"), "{text}");
    }

    #[test]
    fn an_error_on_the_way_is_only_not_yet() {
        let mut tries = 0;
        eventually("third time", Duration::from_secs(1), || {
            tries += 1;
            if tries < 3 { Err("not up") } else { Ok(true) }
        })
        .unwrap();
    }
}
