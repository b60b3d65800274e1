//! Memcached's text protocol: what is cut short fails for exactly the commands that lack their reply, and no bytes make the decoder trap.

use idempotency::protocol::{Claim, Fingerprint, Owner};
use idempotency::store::memcached::text::{Reply, Value, gets, replies, store};
use idempotency::store::memcached::{Abandoning, Claiming, Completing, MAX_MILLIS, Step};
use idempotency::store::{Failure, Name};
use proptest::prelude::*;

/// A reply that owns its bytes.
#[derive(Clone, Debug)]
enum Sent {
    Word(&'static str),
    Error(String),
    Value { key: String, data: Vec<u8>, unique: u64 },
}

impl Sent {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Word(word) => out.extend(format!("{word}\r\n").bytes()),
            Self::Error(text) => out.extend(format!("SERVER_ERROR {text}\r\n").bytes()),
            Self::Value { key, data, unique } => {
                out.extend(format!("VALUE {key} 0 {} {unique}\r\n", data.len()).bytes());
                out.extend(data);
                out.extend(b"\r\nEND\r\n");
            }
        }
    }

    fn is(&self, reply: &Reply<'_>) -> bool {
        match (self, reply) {
            (Self::Word(word), Reply::Stored) => *word == "STORED",
            (Self::Word(word), Reply::NotStored) => *word == "NOT_STORED",
            (Self::Word(word), Reply::Exists) => *word == "EXISTS",
            (Self::Word(word), Reply::NotFound) => *word == "NOT_FOUND",
            (Self::Word(word), Reply::End) => *word == "END",
            (Self::Word(word), Reply::Error(message)) => *word == "ERROR" && *message == b"ERROR",
            (Self::Error(text), Reply::Error(message)) => *message == format!("SERVER_ERROR {text}").as_bytes(),
            (Self::Value { key, data, unique }, Reply::Value(value)) => {
                *value == Value { key: key.as_bytes(), data, unique: *unique }
            }
            _ => false,
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        prop::sample::select(vec!["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "END", "ERROR"]).prop_map(Sent::Word),
        "[ -~]{0,20}".prop_map(Sent::Error),
        ("[!-~]{1,20}", prop::collection::vec(any::<u8>(), 0..40), any::<u64>())
            .prop_map(|(key, data, unique)| Sent::Value { key, data, unique }),
    ]
}

fn body(pipeline: &[Sent]) -> (Vec<u8>, Vec<usize>) {
    let mut body = Vec::new();
    let ends = pipeline
        .iter()
        .map(|sent| {
            sent.write(&mut body);
            body.len()
        })
        .collect();
    (body, ends)
}

proptest! {
    #[test]
    fn every_prefix_fails_for_the_missing_replies_alone(pipeline in prop::collection::vec(sent(), 1..6)) {
        let (body, ends) = body(&pipeline);
        for cut in 0..=body.len() {
            let read = replies(&body[..cut], pipeline.len());
            prop_assert_eq!(read.len(), pipeline.len());
            for ((reply, sent), end) in read.iter().zip(&pipeline).zip(&ends) {
                match reply {
                    Ok(reply) => prop_assert!(*end <= cut && sent.is(reply), "{:?} for {:?}", reply, sent),
                    Err(failure) => prop_assert!(*end > cut && *failure == Failure::Missing, "{:?}", failure),
                }
            }
        }
    }

    #[test]
    fn one_reply_too_many_puts_all_in_doubt(pipeline in prop::collection::vec(sent(), 2..6)) {
        let (body, _) = body(&pipeline);
        prop_assert!(replies(&body, pipeline.len() - 1).iter().all(|reply| *reply == Err(Failure::Surplus)));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_trap(text in "(VALUE |END|STORED|k|[0-9 \r\n]|\r\n){0,20}", noise in prop::collection::vec(any::<u8>(), 0..60), wanted in 0..4_usize) {
        prop_assert_eq!(replies(text.as_bytes(), wanted).len(), wanted);
        prop_assert_eq!(replies(&noise, wanted).len(), wanted);
    }

    #[test]
    fn any_replies_lead_to_a_step_or_a_failure_and_to_an_end(bodies in prop::collection::vec(prop::collection::vec(sent(), 4), 12)) {
        let name = Name::new("k").unwrap();
        let (trip, claiming) = Claiming::start(name.clone(), claim(1000, 1000), 5).unwrap();
        drive(&bodies, Step::Send(trip, claiming), Claiming::next);
        let (trip, completing) = Completing::start(name.clone(), Owner(1), b"a".to_vec(), 1000, 5).unwrap();
        drive(&bodies, Step::Send(trip, completing), Completing::next);
        let (trip, abandoning) = Abandoning::start(name, Owner(1), 1000, 5).unwrap();
        drive(&bodies, Step::Send(trip, abandoning), Abandoning::next);
    }
}

/// Answers each trip with as many of the next replies as it has commands.
fn drive<S, A>(
    bodies: &[Vec<Sent>],
    first: Step<S, A>,
    next: impl Fn(S, &[Result<Reply<'_>, Failure>]) -> Result<Step<S, A>, Failure>,
) {
    let mut step = first;
    for pipeline in bodies {
        let Step::Send(trip, state) = step else { return };
        let (body, _) = body(&pipeline[..trip.replies]);
        match next(state, &replies(&body, trip.replies)) {
            Ok(next) => step = next,
            Err(_) => return,
        }
    }
    assert!(matches!(step, Step::Finished(_)), "it goes on and on");
}

fn claim(lease: u64, ttl: u64) -> Claim {
    let fingerprint = Fingerprint { version: 1, digest: [0; 32] };
    Claim { owner: Owner(1), fingerprint, others: Vec::new(), lease, ttl, reexecute: true }
}

#[test]
fn what_is_wrong_spoils_what_follows_and_not_what_came_before() {
    let wrong: [&[u8]; 11] = [
        b"stored\r\n",
        b"VALUE k 0 x 1\r\n",
        b"VALUE k 0 1\r\na\r\nEND\r\n",
        b"VALUE k 0 1 1 1\r\na\r\nEND\r\n",
        b"VALUE  0 1 1\r\na\r\nEND\r\n",
        b"VALUE k 0 1 1\r\nab\r\nEND\r\n",
        b"VALUE k 0 1 1\r\na\r\nVALUE l 0 1 1\r\nb\r\nEND\r\n",
        b"VALUE k 0 1 -1\r\na\r\nEND\r\n",
        b"VALUE k 0 99999999999 1\r\n",
        b"STORED\n",
        b"\r\n",
    ];
    for wrong in wrong {
        let body = [&b"STORED\r\n"[..], wrong, b"STORED\r\n"].concat();
        let expected = vec![Ok(Reply::Stored), Err(Failure::Malformed), Err(Failure::Malformed)];
        assert_eq!(replies(&body, 3), expected, "{}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn commands_are_as_memcached_wants_them() {
    let mut out = Vec::new();
    store(&mut out, "add", "k", 5, b"a\r\nb", None);
    store(&mut out, "cas", "k", 5, b"", Some(9));
    gets(&mut out, "k");
    assert_eq!(out, b"add k 0 5 4\r\na\r\nb\r\ncas k 0 5 0 9\r\n\r\ngets k\r\n");
}

/// More than 30 days would be taken for a date in 1970, and 0 for eternity.
#[test]
fn a_time_that_memcached_would_take_for_a_date_is_refused() {
    let name = Name::new("k").unwrap();
    let longest = MAX_MILLIS / 1000 + 1;
    assert!(longest <= 30 * 24 * 60 * 60);
    for (millis, seconds) in [(0, 1), (1, 2), (1000, 2), (1001, 3), (MAX_MILLIS, longest)] {
        let (trip, _) = Claiming::start(name.clone(), claim(millis, millis), 5).unwrap();
        let text = String::from_utf8_lossy(&trip.bytes).into_owned();
        assert_eq!(text.matches(&format!(" 0 {seconds} ")).count(), 2, "{text}");
    }
    let late = Some(Failure::OutOfRange);
    assert_eq!(Claiming::start(name.clone(), claim(1, MAX_MILLIS + 1), 5).err(), late);
    assert_eq!(Claiming::start(name.clone(), claim(MAX_MILLIS + 1, 1), 5).err(), late);
    assert_eq!(Completing::start(name.clone(), Owner(1), Vec::new(), u64::MAX, 5).err(), late);
    assert_eq!(Abandoning::start(name, Owner(1), u64::MAX, 5).err(), late);
}
