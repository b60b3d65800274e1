//! Any bytes as a stored state: refused, or read exactly; and whatever is read, every decision can be taken on it.
#![no_main]

use circuit_breaker::decide::{Evidence, Ticket, Verdict, admit, settle, tend, throttled};
use circuit_breaker::policy::Policy;
use circuit_breaker::state::{ENCODING, State};
use libfuzzer_sys::fuzz_target;
use sdk_shim::cell::Record;
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;
use std::sync::LazyLock;

/// The shapes that change which way a decision goes.
static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let configs = [
        "{}",
        r#"{"recovery": {"over": 0}, "half_open": {"permits": 100, "successes": 1000}, "consecutive_failures": 1}"#,
        r#"{"open": {"base": "1h", "max": "1h", "factor": 100, "jitter": 1}, "slow_ratio": null}"#,
        r#"{"open": {"base": "10ms", "factor": 1, "jitter": 0}, "window": {"calls": 100}, "throttle": {"k": 1}}"#,
    ];
    configs.iter().filter_map(|config| circuit_breaker::config::read(config.as_bytes()).ok()).collect()
});

/// Longer than any state without leases.
const LONG: usize = 128;

const VERDICTS: [Verdict; 5] = [
    Verdict::Success { slow: false },
    Verdict::Success { slow: true },
    Verdict::Failure { slow: false },
    Verdict::Failure { slow: true },
    Verdict::None,
];

/// Numbers for everything that is not the state, taken from the front of the input.
fn take(bytes: &mut &[u8]) -> u64 {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return 0 };
    *bytes = rest;
    u64::from_le_bytes(*head)
}

/// The input as it is, and bent until it is a state: most inputs fail at the first byte, which teaches nothing.
fn states(input: &[u8]) -> Vec<Vec<u8>> {
    let mut bent = input.to_vec();
    bent.resize(input.len().max(LONG), 0);
    bent[0] = ENCODING;
    bent[1] %= 4;
    let fits = |length: &usize| State::decode(&bent[..*length]).is_some();
    // The shortest has no leases, the longest as many as there is room for.
    let (shortest, longest) = ((0..=bent.len()).find(fits), (0..=bent.len()).rev().find(fits));
    let found = shortest.into_iter().chain(longest).map(|length| bent[..length].to_vec());
    found.chain([input.to_vec()]).collect()
}

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let [now, draw, run, lease, total, window] = [(); 6].map(|()| take(&mut rest));
    let totals = Totals([total; 4]);
    let evidence = Evidence { totals, window: Totals([window; 4]), run };
    for bytes in states(rest) {
        let Some(state) = State::decode(&bytes) else { continue };
        assert_eq!(state.encode(), bytes, "a state has one encoding");
        decide(&state, (Instant::from_nanos(now), draw, u32::try_from(lease).ok()), &evidence);
    }
});

/// Takes every decision on a state, under every policy.
fn decide(state: &State, (now, draw, lease): (Instant, u64, Option<u32>), evidence: &Evidence) {
    let ticket = Ticket { generation: state.generation, lease };
    for policy in POLICIES.iter() {
        let mut next: Vec<State> =
            admit(policy, state, evidence.totals, draw % 2 == 0, now, draw).next.into_iter().map(|(next, _)| next).collect();
        next.extend(tend(policy, state, evidence, now, draw).next.map(|(next, _)| next));
        for verdict in VERDICTS {
            next.extend(settle(policy, state, ticket, verdict, evidence, now, draw).next.map(|(next, _)| next));
        }
        for next in next {
            assert_eq!(State::decode(&next.encode()), Some(next), "what is decided can be stored");
        }
        policy.throttle_k.map(|k| throttled(k, &evidence.window, draw));
    }
}
