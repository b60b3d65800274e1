//! What workers (and versions) tell each other through a cell: read exactly, or not at all.
#![allow(missing_docs)]

use circuit_breaker::decide::{Evidence, Ticket, Verdict, admit, settle, tend};
use circuit_breaker::state::{Counts, ENCODING, Lease, MAX_LEASES, Phase, State};
use core::time::Duration;
use proptest::prelude::*;
use sdk_shim::cell::Record;
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;

fn instant() -> impl Strategy<Value = Instant> {
    any::<u64>().prop_map(Instant::from_nanos)
}

fn phase() -> impl Strategy<Value = Phase> {
    let lease = (any::<u32>(), instant(), any::<bool>(), any::<bool>());
    let lease = lease.prop_map(|(id, deadline, sent, spoke)| Lease { id, deadline, sent, spoke });
    let half_open = (prop::collection::vec(lease, 0..=MAX_LEASES), any::<u32>(), any::<u32>())
        .prop_map(|(leases, issued, succeeded)| Phase::HalfOpen { leases, issued, succeeded });
    prop_oneof![
        Just(Phase::Closed),
        instant().prop_map(|until| Phase::Open { until }),
        half_open,
        Just(Phase::Recovering)
    ]
}

fn set_override() -> impl Strategy<Value = Option<Override>> {
    let mode = (0..Mode::ALL.len()).prop_map(|n| Mode::ALL[n].1);
    prop::option::of((mode, instant(), instant()).prop_map(|(mode, since, until)| Override { mode, since, until }))
}

fn state() -> impl Strategy<Value = State> {
    let line = any::<[u64; 4]>().prop_map(Totals);
    (any::<u64>(), phase(), instant(), any::<u32>(), line, set_override()).prop_map(
        |(generation, phase, since, opens, line, override_)| State { generation, phase, since, opens, line, override_ },
    )
}

/// States full of small and large numbers, in the encoding, but not necessarily written by us.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = prop::collection::vec(any::<u8>(), 0..300);
    let plausible = (0u8..5, prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 53..140))
        .prop_map(|(code, rest)| [vec![ENCODING, code], rest].concat());
    prop_oneof![any_bytes, plausible]
}

proptest! {
    #[test]
    fn what_one_worker_stores_another_reads(state in state()) {
        prop_assert_eq!(State::decode(&state.encode()), Some(state));
    }

    #[test]
    fn whatever_can_be_read_was_written_so(bytes in bytes()) {
        if let Some(state) = State::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
        }
    }

    /// A lease is 13 bytes, so a half-open state cut after one is a state with fewer; every other cut is refused.
    #[test]
    fn a_state_cut_short_is_refused_or_has_lost_whole_leases(state in state()) {
        let bytes = state.encode();
        for length in 0..bytes.len() {
            let lost = bytes.len() - length;
            match State::decode(&bytes[..length]) {
                None => {}
                Some(cut) => {
                    let (Phase::HalfOpen { leases, .. }, Phase::HalfOpen { leases: all, .. }) = (&cut.phase, &state.phase) else {
                        panic!("{cut:?} of {state:?}");
                    };
                    prop_assert_eq!(leases.len() * 13 + lost, all.len() * 13);
                }
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_are_refused(state in state(), more in prop::collection::vec(any::<u8>(), 1..12)) {
        let longer = [state.encode(), more].concat();
        prop_assert_eq!(State::decode(&longer), None);
    }

    /// Another encoding, a phase, a mode that nobody has: not ours to guess.
    #[test]
    fn unknown_numbers_are_refused(state in state(), encoding in 2u8..=255, phase in 4u8..=255, mode in 6u8..=255) {
        for (at, unknown) in [(0, encoding), (0, 0), (1, phase), (54, mode)] {
            let mut bytes = state.encode();
            bytes[at] = unknown;
            prop_assert_eq!(State::decode(&bytes), None, "byte {}", at);
        }
    }

    #[test]
    fn flipped_bits_never_hurt(state in state(), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = state.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Some(other) = State::decode(&bytes) {
            prop_assert_ne!(&other, &state);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    /// A cell is what anybody may have written: no decision on it may panic, overflow, or give what can't be stored.
    #[test]
    fn every_decision_can_be_taken_on_whatever_is_stored(
        bytes in bytes(), now in instant(), draw: u64, lease in prop::option::of(any::<u32>()), totals: [u64; 4], run: u64,
    ) {
        let Some(state) = State::decode(&bytes) else { return Ok(()) };
        let totals: Counts = Totals(totals);
        let (evidence, ticket) = (Evidence { totals, window: totals, run }, Ticket { generation: state.generation, lease });
        for config in ["{}", r#"{"half_open": {"permits": 100}, "open": {"factor": 100, "jitter": 1}, "recovery": {"over": 0}}"#] {
            let policy = circuit_breaker::config::read(config.as_bytes()).unwrap();
            let mut next: Vec<State> = Vec::new();
            next.extend(admit(&policy, &state, totals, draw % 2 == 0, now, draw).next.map(|(next, _)| next));
            next.extend(tend(&policy, &state, &evidence, now, draw).next.map(|(next, _)| next));
            for verdict in [Verdict::Success { slow: true }, Verdict::Failure { slow: false }, Verdict::None] {
                next.extend(settle(&policy, &state, ticket, verdict, &evidence, now, draw).next.map(|(next, _)| next));
            }
            for next in next {
                prop_assert_eq!(State::decode(&next.encode()), Some(next));
            }
        }
    }
}

/// Versions of this module may run side by side: what is stored must not change by accident.
#[test]
fn the_encoding_is_the_one_that_is_deployed() {
    let state = State {
        generation: 3,
        phase: Phase::Open { until: Instant::from_nanos(0x0102) },
        since: Instant::from_nanos(5),
        opens: 2,
        line: Totals([10, 11, 12, 13]),
        override_: Override::new(Mode::ForceOpen, Instant::from_nanos(1), Duration::from_nanos(7)),
    };
    let word = |n: u64| n.to_le_bytes().to_vec();
    let expected = [
        vec![ENCODING, 1],
        word(3),
        word(5),
        vec![2, 0, 0, 0],
        [10, 11, 12, 13].map(word).concat(),
        vec![4],
        word(1),
        word(8),
        word(0x0102),
    ];
    assert_eq!(state.encode(), expected.concat());
    assert_eq!(State::default().encode().len(), 55);
}
