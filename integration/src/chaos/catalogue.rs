//! The experiments.
//!
//! Spans of checks begin where a fault must have been found out: the breaker wants ten calls of a service at one gateway, and what hangs is known
//! to hang after three seconds.

use super::load::Manner;
use super::{Action, Check, Config, Experiment, Kind, Phase, Whom};
use Action::{Await, Cut, Drain, Join, Kill, Pause, Push, Redis, Restart, Shift, Start, Suffer, Unpause};

const EU: &[&str] = &["rest-eu", "grpc-eu", "graphql-eu"];
const IN_PROTOCOL: &[&str] = &["grpc-eu", "graphql-eu"];
const ALL: &[&str] = &["rest-eu", "grpc-eu", "graphql-eu", "rest-us", "grpc-us", "graphql-us"];
const PAYMENTS: &[&str] = &["rest-eu", "rest-us"];
/// Payments take a while, so that some are under way whenever something is killed.
const A_WHILE: Action = Suffer(PAYMENTS, "slow:150");
const PER_SECOND: u32 = 80;
/// Where the gateways listen.
const EDGE: u16 = 10_000;
/// Where a proxy in front listens that sends copies of REST requests to the shadow.
const MIRRORING: u16 = 10_003;

/// All of them, in the order of their numbers.
pub fn all() -> Vec<Experiment> {
    vec![
        region_fails(),
        node_fails(),
        store_fails(),
        region_is_cut_off(),
        retry_storm(),
        sick_in_protocol(),
        bad_config(),
        canary(),
        shadow(),
        store_is_full(),
        half_fails(),
    ]
}

fn region_fails() -> Experiment {
    let served = |span| Check::Served(Whom::Movers, span, 90.0);
    Experiment {
        number: 1,
        name: "a region's services fail, hang, reset, are slow",
        hypothesis: "Users who may be served elsewhere are, within seconds, whatever the failure looks like; payments are executed once.",
        seconds: 97,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        // Between them a breaker comes back all the way: it is open for up to 8 s, and recovers for 5 s.
        phases: vec![
            Phase::new(3, "503", &[Suffer(EU, "503")]),
            Phase::well(12, &[Suffer(EU, "none")]),
            Phase::new(27, "hang", &[Suffer(EU, "hang")]),
            Phase::well(40, &[Suffer(EU, "none")]),
            Phase::new(55, "reset", &[Suffer(EU, "reset")]),
            Phase::well(64, &[Suffer(EU, "none")]),
            Phase::new(79, "slow", &[Suffer(EU, "slow")]),
            Phase::well(92, &[Suffer(EU, "none")]),
        ],
        checks: vec![
            served((8, 12)),
            served((34, 40)),
            served((60, 64)),
            served((86, 92)),
            Check::Resident,
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: vec![served((8, 12)), served((34, 40)), served((60, 64)), served((86, 92))],
    }
}

fn node_fails() -> Experiment {
    const NODES: [&str; 2] = ["edge-a", "edge-b"];
    // From the drain on until its deadline, which is the SIGTERM of the restart.
    const DRAINS: [(u32, u32); 2] = [(3, 10), (20, 27)];
    let [first, second] = DRAINS;
    Experiment {
        number: 2,
        name: "gateways are rolled with streams in flight; one is killed, stands still, restarts",
        hypothesis: "A gateway that is taken out closes no stream before its deadline, and tells readers when to come again: they miss no message that was acknowledged. One that fails leaves everybody to the other one, which knows of what the first one had begun: no payment that was under way is executed again.",
        seconds: 78,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 2,
        port: EDGE,
        phases: vec![
            Phase::well(1, &[A_WHILE]),
            Phase::new(first.0, "a drains", &[Drain("edge-a")]),
            Phase::new(first.1, "restart", &[Restart("edge-a")]),
            Phase::well(13, &[]),
            // On a busy machine a start takes a while, and who takes out the last gateway that serves proves nothing.
            Phase::new(second.0, "b drains", &[Await("edge-a"), Drain("edge-b")]),
            Phase::new(second.1, "restart", &[Restart("edge-b")]),
            Phase::well(30, &[]),
            Phase::new(40, "a killed", &[Await("edge-b"), Kill("edge-a")]),
            Phase::well(46, &[Start("edge-a")]),
            Phase::new(54, "a stands still", &[Await("edge-a"), Pause("edge-a")]),
            Phase::well(60, &[Unpause("edge-a")]),
            Phase::new(67, "restart", &[Restart("edge-a")]),
            Phase::well(70, &[]),
        ],
        checks: vec![
            Check::Held(NODES[0], first),
            Check::Held(NODES[1], second),
            Check::Told(NODES[0], first),
            Check::Told(NODES[1], second),
            Check::MessagesKept,
            Check::Served(Whom::All, (0, 78), 97.0),
            Check::Served(Whom::All, (72, 78), 99.0),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: vec![Check::Told(NODES[0], first), Check::Told(NODES[1], second)],
    }
}

fn store_fails() -> Experiment {
    Experiment {
        number: 3,
        name: "Redis is killed, stands still, fails over; one gateway loses it",
        hypothesis: "Whatever becomes of the store: no payment is executed twice, though it is sent to both gateways; what pays nothing isn't touched; where the store is back, or its replica takes over, payments go on.",
        seconds: 46,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![
            Phase::well(1, &[A_WHILE]),
            Phase::new(3, "killed", &[Kill("redis")]),
            Phase::well(8, &[Start("redis")]),
            Phase::new(14, "stands still", &[Pause("redis")]),
            Phase::well(19, &[Unpause("redis")]),
            Phase::new(25, "cut from edge-a", &[Cut("edge-a", "store")]),
            Phase::well(30, &[Join("edge-a", "store")]),
            Phase::new(36, "fails over", &[Kill("redis"), Redis("redis-replica", &["replicaof", "no", "one"])]),
            Phase::well(39, &[]),
        ],
        checks: vec![
            Check::Served(Whom::For(Kind::Read), (0, 46), 99.0),
            Check::Quick(Whom::For(Kind::Read), (0, 46), 500.0),
            Check::Refused(Whom::For(Kind::Pay), (5, 6), 10.0),
            Check::Refused(Whom::For(Kind::Pay), (16, 17), 10.0),
            Check::Served(Whom::For(Kind::Pay), (26, 30), 90.0),
            Check::Served(Whom::For(Kind::Pay), (41, 46), 95.0),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: vec![Check::PaidOnce],
    }
}

fn region_is_cut_off() -> Experiment {
    let both = |action: fn(&'static str, &'static str) -> Action| ["edge-a", "edge-b"].map(|node| action(node, "eu"));
    Experiment {
        number: 4,
        name: "a region can't be reached",
        hypothesis: "Users who may be served elsewhere are, within seconds, and come home when the way is there again.",
        seconds: 32,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![Phase::new(3, "eu is cut off", &both(Cut)), Phase::well(15, &both(Join))],
        checks: vec![
            Check::Served(Whom::Movers, (9, 15), 90.0),
            Check::Resident,
            Check::Served(Whom::All, (27, 32), 99.0),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: vec![Check::Served(Whom::Movers, (9, 15), 90.0)],
    }
}

fn retry_storm() -> Experiment {
    Experiment {
        number: 5,
        name: "a retry storm: everything fails, and clients retry five times at once",
        hypothesis: "Services that fail get no more requests than clients want answered, whatever gateways and clients retry; and are served again when they are well.",
        seconds: 32,
        per_second: PER_SECOND,
        manner: Manner::Storm,
        streams: 0,
        port: EDGE,
        phases: vec![
            Phase::new(3, "503, both regions", &[Suffer(ALL, "503")]),
            Phase::well(13, &[Suffer(ALL, "none")]),
        ],
        checks: vec![
            Check::Spared((3, 13), 2.0),
            Check::Spared((7, 13), 1.0),
            Check::Served(Whom::All, (27, 32), 99.0),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: vec![Check::Spared((3, 13), 2.0), Check::Spared((7, 13), 1.0)],
    }
}

fn sick_in_protocol() -> Experiment {
    Experiment {
        number: 6,
        name: "gRPC and GraphQL are sick only in their protocol",
        hypothesis: "A service whose failures all have status 200 is left as one that answers 503.",
        seconds: 30,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![
            Phase::new(3, "sick", &[Suffer(IN_PROTOCOL, "sick")]),
            Phase::well(15, &[Suffer(IN_PROTOCOL, "none")]),
        ],
        checks: vec![
            Check::Served(Whom::MoversFor(Kind::Grpc), (9, 15), 90.0),
            Check::Served(Whom::MoversFor(Kind::Graphql), (9, 15), 90.0),
            Check::Resident,
            Check::Served(Whom::All, (26, 30), 99.0),
        ],
        contrast: vec![
            Check::Served(Whom::MoversFor(Kind::Grpc), (9, 15), 90.0),
            Check::Served(Whom::MoversFor(Kind::Graphql), (9, 15), 90.0),
        ],
    }
}

fn bad_config() -> Experiment {
    Experiment {
        number: 7,
        name: "bad settings and a bad module are pushed to one gateway",
        hypothesis: "It refuses them and goes on with the ones that it has; nobody notices.",
        seconds: 22,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![
            Phase::new(3, "unknown field", &[Push("edge-a", Config::UnknownField)]),
            Phase::new(7, "half a file", &[Push("edge-a", Config::CutShort)]),
            Phase::new(11, "bad module", &[Push("edge-a", Config::BadModule)]),
            Phase::well(15, &[Push("edge-a", Config::Shipped)]),
        ],
        checks: vec![
            Check::Served(Whom::All, (0, 22), 99.0),
            Check::ConfigsRefused(3),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: Vec::new(),
    }
}

fn canary() -> Experiment {
    const CANARY: &[&str] = &["rest-canary"];
    let share = |span, bounds| Check::Share("rest-canary", "rest-eu", span, bounds);
    Experiment {
        number: 8,
        name: "a canary of a gateway's module, and one of a service, which is sick for a while",
        hypothesis: "One gateway's other module and settings, and the way back, cost no request, and both gateways agree on who has paid. Of a service's canary the breaker speaks alone: its users are served elsewhere, the stable release isn't touched, and the canary may go on when it is well.",
        seconds: 66,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![
            Phase::new(3, "module", &[Push("edge-a", Config::Canary)]),
            Phase::well(11, &[Push("edge-a", Config::Shipped)]),
            Phase::new(15, "5 %", &[Shift(5)]),
            Phase::new(22, "50 %", &[Shift(50)]),
            Phase::new(29, "503", &[Suffer(CANARY, "503")]),
            Phase::new(42, "50 %", &[Suffer(CANARY, "none")]),
            // Its breaker is open for up to 8 s, and recovers for 5 s.
            Phase::new(57, "100 %", &[Shift(100)]),
            Phase::well(65, &[Shift(0)]),
        ],
        checks: vec![
            Check::Served(Whom::All, (0, 29), 99.0),
            Check::ConfigsTaken(4),
            share((0, 15), [0, 0]),
            share((16, 22), [1, 15]),
            share((23, 29), [30, 70]),
            Check::Served(Whom::MoversFor(Kind::Read), (35, 42), 90.0),
            Check::Opened(CANARY),
            share((58, 65), [99, 100]),
            Check::Served(Whom::All, (58, 66), 99.0),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: vec![Check::Served(Whom::MoversFor(Kind::Read), (35, 42), 90.0)],
    }
}

fn shadow() -> Experiment {
    const SHADOW: &[&str] = &["rest-shadow"];
    Experiment {
        number: 9,
        name: "all REST requests are mirrored to a shadow, which fails and hangs",
        hypothesis: "Copies claim no keys and feed no breaker of what they copy: clients get the services' answers, whatever becomes of the shadow.",
        seconds: 28,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: MIRRORING,
        phases: vec![
            Phase::well(1, &[A_WHILE]),
            Phase::new(9, "the shadow: 503", &[Suffer(SHADOW, "503")]),
            Phase::new(16, "the shadow hangs", &[Suffer(SHADOW, "hang")]),
            Phase::well(24, &[Suffer(SHADOW, "none")]),
        ],
        checks: vec![
            Check::Copied((2, 9), 0.9),
            Check::Served(Whom::All, (0, 28), 99.0),
            Check::Opened(SHADOW),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: Vec::new(),
    }
}

fn store_is_full() -> Experiment {
    Experiment {
        number: 10,
        name: "Redis is full",
        hypothesis: "A store that takes no more is told from one that has room: payments are refused rather than run unprotected, and nothing else is touched.",
        seconds: 24,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![
            Phase::new(4, "full", &[Redis("redis", &["config", "set", "maxmemory", "1"])]),
            Phase::well(12, &[Redis("redis", &["config", "set", "maxmemory", "0"])]),
        ],
        checks: vec![
            Check::Served(Whom::For(Kind::Read), (0, 24), 99.0),
            Check::Refused(Whom::For(Kind::Pay), (6, 11), 10.0),
            Check::Served(Whom::For(Kind::Pay), (19, 24), 99.0),
            Check::PaidOnce,
            Check::NoneLost,
        ],
        contrast: Vec::new(),
    }
}

fn half_fails() -> Experiment {
    let spared = Check::Spared((4, 14), 1.4);
    Experiment {
        number: 11,
        name: "half of all answers are failures, and gateways retry",
        hypothesis: "Retries of gateways stay within their budget, also where too little fails for breakers to see to it.",
        seconds: 20,
        per_second: PER_SECOND,
        manner: Manner::Usual,
        streams: 0,
        port: EDGE,
        phases: vec![Phase::new(3, "503 to half", &[Suffer(ALL, "503:50")]), Phase::well(14, &[Suffer(ALL, "none")])],
        checks: vec![spared, Check::PaidOnce, Check::NoneLost],
        contrast: vec![spared],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_has_a_number_of_its_own_and_ends_well() {
        let numbers: Vec<u8> = all().iter().map(|experiment| experiment.number).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        for experiment in all() {
            assert!(experiment.phases.last().is_some_and(|phase| phase.title.is_empty()), "{}", experiment.name);
            assert!(experiment.phases.is_sorted_by(|one, next| one.at < next.at), "{}", experiment.name);
        }
    }

    #[test]
    fn what_the_control_must_break_is_checked_and_broken_by_a_fault_alone() {
        for Experiment { name, checks, contrast, number, .. } in all() {
            assert!(contrast.iter().all(|check| checks.contains(check)), "{name}");
            // Half of all payments are sent twice: a control executes some twice where nothing is broken.
            assert!(number == 3 || !contrast.contains(&Check::PaidOnce), "{name}");
        }
    }

    #[test]
    fn nothing_is_checked_that_is_not_played() {
        for experiment in all() {
            for check in &experiment.checks {
                let (Check::Served(_, span, _)
                | Check::Refused(_, span, _)
                | Check::Quick(_, span, _)
                | Check::Spared(span, _)
                | Check::Copied(span, _)
                | Check::Held(_, span)
                | Check::Told(_, span)
                | Check::Share(_, _, span, _)) = check
                else {
                    continue;
                };
                assert!(span.0 < span.1 && span.1 <= experiment.seconds, "{}: {}", experiment.name, check.words());
            }
        }
    }

    /// Beside it the start of everything, its end, and a new start of the gateways before each.
    #[test]
    fn all_of_it_leaves_room_in_a_quarter_of_an_hour() {
        let seconds: u32 = all().iter().map(|experiment| experiment.seconds).sum();
        assert!(seconds <= 8 * 60, "{seconds} s");
    }
}
