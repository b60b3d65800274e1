//! The machine against a naive model of it (`reference/`), over any course of events and any policy.
//!
//! The machine is what runs in a proxy: the decisions, the shared cell, the counters and the ring of their snapshots, on
//! the fake host. The model keeps a list of all calls and counts it anew each time.
#![allow(missing_docs, clippy::cast_possible_truncation, clippy::cast_precision_loss)]

mod reference;

use circuit_breaker::decide::{self, Admission, Settled, Ticket, Verdict};
use circuit_breaker::metrics::KeyMetrics;
use circuit_breaker::policy::{HalfOpen, OpenTime, Policy, Window};
use circuit_breaker::state::{Phase, State};
use circuit_breaker::track::Track;
use core::num::NonZeroU64;
use core::time::Duration;
use proptest::prelude::*;
use reference::{Model, Word};
use sdk_shim::fake::FakeHost;
use sdk_shim::host::Host;
use sdk_shim::keys::Named;
use sdk_shim::meter::Meter;
use sdk_shim::ratio::Ratio;
use sdk_shim::time::Instant;

/// What may happen to a breaker.
#[derive(Clone, Copy, Debug)]
enum Event {
    Request {
        draw: u64,
    },
    /// The call under way at this place (counted around) ends.
    End {
        which: usize,
        verdict: Verdict,
        draw: u64,
    },
    /// It never ends: its worker died.
    Lost {
        which: usize,
    },
    Tick {
        draw: u64,
    },
    TimePasses {
        millis: u64,
    },
    ClockStepsBack {
        millis: u64,
    },
    /// What the breaker waits for becomes due at this very nanosecond, or will at the next one.
    ItIsDue {
        almost: bool,
    },
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Success { slow: false }),
        1 => Just(Verdict::Success { slow: true }),
        4 => Just(Verdict::Failure { slow: false }),
        1 => Just(Verdict::Failure { slow: true }),
        1 => Just(Verdict::None),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let end = (any::<usize>(), verdict(), any::<u64>());
    prop_oneof![
        8 => any::<u64>().prop_map(|draw| Event::Request { draw }),
        8 => end.prop_map(|(which, verdict, draw)| Event::End { which, verdict, draw }),
        1 => any::<usize>().prop_map(|which| Event::Lost { which }),
        2 => any::<u64>().prop_map(|draw| Event::Tick { draw }),
        4 => (0u64..3_000).prop_map(|millis| Event::TimePasses { millis }),
        1 => (0u64..3_000).prop_map(|millis| Event::ClockStepsBack { millis }),
        2 => any::<bool>().prop_map(|almost| Event::ItIsDue { almost }),
    ]
}

fn ratio(least: u32) -> impl Strategy<Value = Ratio> {
    (least..=1_000_000).prop_map(|ppm| Ratio::from_ppm(ppm).unwrap())
}

fn millis(range: core::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn window() -> impl Strategy<Value = Window> {
    let calls = (1u64..40).prop_map(|n| Window::Calls(NonZeroU64::new(n).unwrap()));
    prop_oneof![millis(100..=5_000).prop_map(Window::Time), calls]
}

fn open_time() -> impl Strategy<Value = OpenTime> {
    (millis(10..=3_000), 1_000_000u64..4_000_000, millis(0..=6_000), ratio(0))
        .prop_map(|(base, factor_ppm, more, jitter)| OpenTime { base, factor_ppm, max: base + more, jitter })
}

fn half_open() -> impl Strategy<Value = HalfOpen> {
    (1u32..4, 1u32..4, millis(100..=4_000)).prop_map(|(permits, successes, timeout)| HalfOpen {
        permits,
        successes,
        timeout,
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let ratios = (prop::option::of(ratio(1)), prop::option::of(ratio(1)));
    let ramp = prop_oneof![Just(Duration::ZERO), millis(1..=4_000)];
    (window(), 1u64..8, ratios, 0u64..5, open_time(), half_open(), ramp).prop_map(
        |(window, minimum_calls, (failure_ratio, slow_ratio), consecutive_failures, open, half_open, ramp)| Policy {
            window,
            minimum_calls,
            failure_ratio,
            slow_ratio,
            consecutive_failures,
            open,
            half_open,
            ramp,
            ..circuit_breaker::config::read(b"{}").unwrap()
        },
    )
}

/// One worker's machine and the model, side by side.
struct Pair {
    host: FakeHost,
    policy: Policy,
    track: Track,
    model: Model,
    under_way: Vec<Ticket>,
}

impl Pair {
    fn new(policy: &Policy) -> Self {
        let host = FakeHost::envoy();
        let meter = Meter::new(&host, "circuit_breaker", "downstream", "default", 1_000);
        let key = Named { name: "shop", prefix: "model", observe_only: false };
        let track = Track::new(key, KeyMetrics::new(&host, &meter, "shop"));
        let model = Model::new(policy, host.now().as_nanos());
        let pair = Self { host, policy: policy.clone(), track, model, under_way: Vec::new() };
        pair.refresh();
        pair
    }

    fn now(&self) -> Instant {
        self.host.now()
    }

    fn refresh(&self) {
        self.track.refresh(&self.host, &self.policy, self.now(), Duration::ZERO).unwrap();
    }

    fn happens(&mut self, event: Event) {
        self.refresh();
        match event {
            Event::Request { draw } => self.request(draw),
            Event::End { which, verdict, draw } => {
                if let Some(ticket) = self.pick(which) {
                    self.end(ticket, verdict, draw);
                }
            }
            Event::Lost { which } => drop(self.pick(which)),
            Event::Tick { draw } => self.tick(draw),
            Event::TimePasses { millis } => self.host.proxy().advance(Duration::from_millis(millis)),
            Event::ClockStepsBack { millis } => self.host.proxy().clock().step_back(Duration::from_millis(millis)),
            Event::ItIsDue { almost } => self.wait_until_due(almost),
        }
        self.host.clear_calls();
        self.agree();
    }

    fn wait_until_due(&self, almost: bool) {
        let due = match &self.model.phase {
            reference::Phase::Closed => return,
            reference::Phase::Open { until, .. } => *until,
            reference::Phase::HalfOpen { leases, .. } => {
                leases.iter().map(|(_, deadline)| *deadline).min().unwrap_or(0)
            }
            reference::Phase::Recovering { from } => from + self.policy.ramp.as_nanos() as u64,
        };
        let wait = (due - u64::from(almost && due > 0)).saturating_sub(self.now().as_nanos());
        self.host.proxy().advance(Duration::from_nanos(wait));
    }

    fn pick(&mut self, which: usize) -> Option<Ticket> {
        let count = self.under_way.len();
        (count > 0).then(|| self.under_way.swap_remove(which % count))
    }

    fn request(&mut self, draw: u64) {
        let (now, totals) = (self.now(), self.track.metrics.totals(&self.host));
        let admit = |state: &State| decide::admit(&self.policy, state, totals, true, now, draw);
        let (said, _) = self.track.advance(&self.host, &self.policy, now, admit).unwrap();
        let until = machines_until(&self.policy, self.track.state());
        let expected = self.model.request(now.as_nanos(), draw as f64 / 2f64.powi(64), &until);
        match (said, expected) {
            (Admission::Admit(ticket), Word::Admitted { generation, lease }) => {
                assert_eq!(ticket, Ticket { generation, lease });
                self.under_way.push(ticket);
            }
            (Admission::Refuse { cause, .. }, Word::Refused(expected)) => assert_eq!(cause, expected),
            (said, expected) => panic!("the machine said {said:?}, the model {expected:?}"),
        }
    }

    /// As the breaker does it: a result of another generation is not even looked at.
    fn end(&mut self, ticket: Ticket, verdict: Verdict, draw: u64) {
        let now = self.now();
        let counted = self.settle(ticket, verdict, now, draw);
        let until = machines_until(&self.policy, self.track.state());
        let expected = self.model.end(ticket.generation, ticket.lease, verdict, now.as_nanos(), &until);
        assert_eq!(counted, expected, "did {verdict:?} of {ticket:?} count?");
    }

    fn settle(&self, ticket: Ticket, verdict: Verdict, now: Instant, draw: u64) -> bool {
        let (host, policy, track) = (&self.host, &self.policy, &self.track);
        if ticket.generation != track.generation() || (verdict == Verdict::None && ticket.lease.is_none()) {
            return false;
        }
        track.observe(host, policy, now);
        let (failed, slow) = match verdict {
            Verdict::Success { slow } => (false, slow),
            Verdict::Failure { slow } => (true, slow),
            Verdict::None => (false, false),
        };
        if verdict != Verdict::None {
            track.metrics.call(host, failed, slow);
        }
        if !verdict.is_bad() && ticket.lease.is_none() {
            return true;
        }
        let evidence = track.evidence(host, failed);
        let settle = |state: &State| decide::settle(policy, state, ticket, verdict, &evidence, now, draw);
        track.advance(host, policy, now, settle).unwrap().0 == Settled::Counted
    }

    fn tick(&mut self, draw: u64) {
        let (host, policy, now) = (&self.host, &self.policy, self.now());
        self.track.observe(host, policy, now);
        let evidence = self.track.evidence(host, false);
        self.track.advance(host, policy, now, |state| decide::tend(policy, state, &evidence, now, draw)).unwrap();
        let until = machines_until(policy, self.track.state());
        self.model.tick(now.as_nanos(), &until);
    }

    fn agree(&self) {
        let (state, model) = (self.track.state(), &self.model);
        assert_eq!((state.generation, state.opens), (model.generation, model.opens));
        assert_eq!(as_model(&state), model.phase);
        if let reference::Phase::HalfOpen { leases, .. } = &model.phase {
            assert!(leases.len() <= self.policy.half_open.permits as usize, "{leases:?}");
        }
    }
}

fn as_model(state: &State) -> reference::Phase {
    let from = state.since.as_nanos();
    match &state.phase {
        Phase::Closed => reference::Phase::Closed,
        Phase::Open { until } => reference::Phase::Open { from, until: until.as_nanos() },
        Phase::HalfOpen { leases, issued, succeeded } => {
            let leases = leases.iter().map(|lease| (lease.id, lease.deadline.as_nanos())).collect();
            reference::Phase::HalfOpen { leases, given: *issued, good: *succeeded }
        }
        Phase::Recovering => reference::Phase::Recovering { from },
    }
}

/// The end of the machine's wait, once it is seen to lie within the bounds of the `nth` opening in a row.
fn machines_until(policy: &Policy, state: State) -> impl Fn(u32, u64) -> u64 {
    let OpenTime { base, factor_ppm, max, jitter } = policy.open;
    move |nth, now| {
        let Phase::Open { until } = state.phase else { panic!("the model opens, the machine is {:?}", state.phase) };
        let factor = factor_ppm as f64 / 1e6;
        let middle = (base.as_nanos() as f64 * factor.powf(f64::from(nth - 1))).min(max.as_nanos() as f64);
        let spread = middle * f64::from(jitter.ppm()) / 1e6;
        let wait = (until.as_nanos() - now) as f64;
        assert!(
            wait >= middle - spread - 100.0 && wait <= middle + spread + 100.0,
            "{wait} is not {middle} +- {spread}"
        );
        until.as_nanos()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_naive_model_does(policy in policy(), events in prop::collection::vec(event(), 1..250)) {
        let mut pair = Pair::new(&policy);
        for event in events {
            pair.happens(event);
        }
    }
}
