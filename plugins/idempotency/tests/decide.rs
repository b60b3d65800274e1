//! What follows from a store's answer, and from the end of a request: every case, and the promises that hold for all.

use core::time::Duration;
use idempotency::decide::{Cause, End, Heard, Next, end, next, seconds};
use idempotency::header::Refusal;
use idempotency::protocol::Answer;
use proptest::prelude::*;
use sdk_shim::outcome::flag;

const LONG: Duration = Duration::from_secs(30);

const CAUSES: [Cause; 20] = [
    Cause::KeyMissing,
    Cause::Key(Refusal::Several),
    Cause::Key(Refusal::Empty),
    Cause::Key(Refusal::TooLong),
    Cause::Key(Refusal::Character),
    Cause::Key(Refusal::Unquoted),
    Cause::Key(Refusal::Malformed),
    Cause::Tenant,
    Cause::Home,
    Cause::Headers,
    Cause::Expect,
    Cause::Length,
    Cause::TooLarge,
    Cause::InFlight,
    Cause::Uncertain,
    Cause::Unknown,
    Cause::Mismatch,
    Cause::NotKept,
    Cause::TenantBusy,
    Cause::Store,
];

fn refuse(cause: Cause, retry_after: u64) -> Next {
    Next::Refuse { cause, retry_after }
}

// === from a store's answer to what the client sees ===

#[test]
fn only_a_claim_that_was_granted_is_run() {
    assert_eq!(next(Answer::Claimed { fence: 7 }, Duration::ZERO, 0), Next::Forward { fence: 7 });
    for answer in [
        Answer::InFlight { remaining: 1 },
        Answer::Done(b"x".to_vec()),
        Answer::Mismatch,
        Answer::Unknown,
        Answer::Uncertain { fence: 7 },
        Answer::Abandoned,
    ] {
        for left in [Duration::ZERO, LONG] {
            assert!(!matches!(next(answer.clone(), left, 0), Next::Forward { .. }), "{answer:?}");
        }
    }
}

#[test]
fn what_was_run_is_replayed_and_the_rest_is_refused_by_its_name() {
    assert_eq!(next(Answer::Done(b"sealed".to_vec()), LONG, 3), Next::Replay(b"sealed".to_vec()));
    assert_eq!(next(Answer::Mismatch, LONG, 0), refuse(Cause::Mismatch, 0));
    assert_eq!(next(Answer::Unknown, LONG, 0), refuse(Cause::Unknown, 0));
    assert_eq!(next(Answer::Uncertain { fence: 1 }, LONG, 0), refuse(Cause::Uncertain, 0));
    assert_eq!(next(Answer::Abandoned, LONG, 0), refuse(Cause::Store, 1));
}

#[test]
fn who_does_not_wait_is_told_when_the_lease_ends_in_whole_seconds() {
    for (millis, told) in
        [(0, 1), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (30_000, 30), (u64::MAX, 18_446_744_073_709_552)]
    {
        assert_eq!(next(Answer::InFlight { remaining: millis }, Duration::ZERO, 5), refuse(Cause::InFlight, told));
        assert_eq!(seconds(millis), told);
    }
}

#[test]
fn who_waits_asks_less_and_less_often_and_never_beyond_its_time() {
    let in_flight = || Answer::InFlight { remaining: 30_000 };
    let pauses = [0, 1, 2, 3, 4, 5, 6, u32::MAX].map(|asked| next(in_flight(), LONG, asked));
    let expected = [50, 100, 200, 400, 800, 1_000, 1_000, 1_000];
    assert_eq!(pauses, expected.map(|millis| Next::AskAgain(Duration::from_millis(millis))));
    let left = Duration::from_millis(30);
    assert_eq!(next(in_flight(), left, 9), Next::AskAgain(left));
}

// === from the end of a request to the end of its claim ===

fn service(attempts: u32) -> Heard {
    Heard { by_service: true, status: 200, attempts, ..Heard::default() }
}

fn proxy(attempts: u32, flags: u64) -> Heard {
    Heard { by_service: false, status: 503, attempts, flags, no_room: false, refused_by_us: false }
}

#[test]
fn what_the_service_said_is_stored_unless_it_says_that_it_did_nothing() {
    assert_eq!(end(&service(1), false, false), End::Store);
    assert_eq!(end(&service(1), true, false), End::Release);
    assert_eq!(end(&service(2), true, false), End::Store, "the first try may have done something");
    assert_eq!(end(&service(2), true, true), End::Release, "which does no harm to an idempotent service");
}

#[test]
fn a_request_that_never_left_the_proxy_did_nothing() {
    assert_eq!(end(&proxy(0, 0), false, false), End::Release);
    let never = [flag::NO_HEALTHY_UPSTREAM, flag::CONNECT_FAILURE, flag::NO_ROUTE, flag::NO_CLUSTER];
    for flags in never {
        assert_eq!(end(&proxy(1, flags), false, false), End::Release, "{flags}");
        assert_eq!(end(&proxy(1, flags | 32_768), false, false), End::Release);
        assert_eq!(end(&proxy(2, flags), false, false), End::Keep, "flags speak of the last try only");
    }
    let refused = Heard { refused_by_us: true, ..proxy(1, 0) };
    assert_eq!(end(&refused, false, false), End::Release);
    assert_eq!(end(&Heard { attempts: 2, ..refused }, false, false), End::Keep);
}

#[test]
fn silence_keeps_the_claim() {
    for flags in
        [0, flag::UPSTREAM_TIMEOUT, flag::UPSTREAM_REMOTE_RESET, flag::UPSTREAM_TERMINATION, flag::CLIENT_ABORT, 128]
    {
        assert_eq!(end(&proxy(1, flags), false, false), End::Keep, "{flags}");
        assert_eq!(
            end(&proxy(1, flags), true, true),
            End::Keep,
            "a status of the proxy's is no promise of the service"
        );
    }
}

proptest! {
    /// The promise: a key is free again only if nothing can have run, or the service said so, or doesn't mind.
    #[test]
    fn nothing_that_may_have_run_frees_its_key(
        by_service: bool, status: u16, attempts in 0..5u32, flags: u64, refused_by_us: bool, did_nothing: bool, idempotent: bool,
    ) {
        let heard = Heard { by_service, status, attempts, flags, no_room: false, refused_by_us };
        if end(&heard, did_nothing, idempotent) == End::Release {
            let told = by_service && did_nothing && (attempts <= 1 || idempotent);
            let never_sent = !by_service && (attempts == 0 || attempts == 1 && (flags & 0x0100_0122 != 0 || refused_by_us));
            prop_assert!(told || never_sent);
        }
    }

    #[test]
    fn whatever_the_service_answers_is_stored_or_frees_the_key(status: u16, attempts: u32, flags: u64, did_nothing: bool) {
        let heard = Heard { by_service: true, status, attempts, flags, no_room: false, refused_by_us: false };
        prop_assert_ne!(end(&heard, did_nothing, false), End::Keep);
    }

    #[test]
    fn a_pause_is_neither_nothing_nor_longer_than_what_is_left(left in 1..60_000u64, asked: u32, remaining: u64) {
        let left = Duration::from_millis(left);
        let Next::AskAgain(pause) = next(Answer::InFlight { remaining }, left, asked) else { panic!() };
        prop_assert!(!pause.is_zero() && pause <= left && pause <= Duration::from_secs(1));
    }
}

// === causes ===

#[test]
fn causes_are_labels_and_each_is_its_own() {
    let mut names: Vec<_> = CAUSES.iter().map(|cause| cause.as_str()).collect();
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CAUSES.len());
}

/// The IETF draft (draft-ietf-httpapi-idempotency-key-header-06, 2.7) has 400 for a key that is missing, 409 while in flight, 422 for another payload.
#[test]
fn statuses_are_the_drafts() {
    let status = |cause: Cause| (cause.status(), cause.grpc_status());
    assert_eq!(status(Cause::KeyMissing), (400, 3));
    assert_eq!(status(Cause::Key(Refusal::Malformed)), (400, 3));
    assert_eq!(status(Cause::InFlight), (409, 10));
    assert_eq!(status(Cause::Uncertain), (409, 9));
    assert_eq!(status(Cause::Unknown), (409, 9));
    assert_eq!(status(Cause::NotKept), (409, 6));
    assert_eq!(status(Cause::Mismatch), (422, 3));
    assert_eq!(status(Cause::TooLarge), (413, 8));
    assert_eq!(status(Cause::TenantBusy), (429, 8));
    assert_eq!(status(Cause::Store), (503, 14));
    assert!(
        CAUSES.iter().all(|cause| (400..=503).contains(&cause.status()) && (1..=16).contains(&cause.grpc_status()))
    );
}

#[test]
fn titles_are_for_people() {
    for cause in CAUSES {
        let title = cause.title();
        assert!(title.len() > 20 && title.starts_with(|first: char| first.is_ascii_uppercase()), "{title}");
        assert!(!title.ends_with('.') && title.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{title}");
    }
    let warned = [Cause::Uncertain, Cause::Unknown];
    assert!(warned.iter().all(|cause| cause.title().contains("look before using another key")), "that would pay twice");
}
