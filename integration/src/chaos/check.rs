//! What must hold, and whether it did.

use std::collections::BTreeSet;

use super::run::{p99, ratio, seconds};
use super::{Kind, Record, Run};

/// Something that must hold in a steady state: after the time that it takes to find a fault out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Of these requests at least so many of 100 got what they wanted.
    Served(Whom, Span, f64),
    /// Of these at most so many did: the fault is there, and nothing is done unprotected in its stead.
    Refused(Whom, Span, f64),
    /// Nobody was answered by another region than the one in which he must be served.
    Resident,
    /// 99 of 100 of these requests took at most so many milliseconds.
    Quick(Whom, Span, f64),
    /// For each request of a client at most so many reached services.
    Spared(Span, f64),
    /// No payment was executed twice.
    PaidOnce,
    /// None was acknowledged and not executed.
    NoneLost,
    /// The nodes took so many configurations, the first one of each among them.
    ConfigsTaken(u64),
    /// They refused at least so many.
    ConfigsRefused(u64),
    /// Breakers opened for these clusters, and for no other one.
    Opened(&'static [&'static str]),
    /// Of what these two services answered to users who may be served by either region, the first one answered so many of 100, from and to.
    Share(&'static str, &'static str, Span, [u8; 2]),
    /// The streams that were open at this node when it began to drain were open until the deadline.
    Held(&'static str, Span),
    /// Those of them that are event streams were told when to come again.
    Told(&'static str, Span),
    /// Each reader of events has every message that was acknowledged while it read, once and in order.
    MessagesKept,
    /// For each mirrored request at least so many copies reached the shadow.
    Copied(Span, f64),
}

/// From a second on, up to another one.
pub type Span = (u32, u32);

/// Whose requests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody's.
    All,
    /// Those of users who may be served by either region.
    Movers,
    /// Of those, the ones of this kind.
    MoversFor(Kind),
    /// Everybody's of this kind.
    For(Kind),
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it held.
    pub held: bool,
    /// In figures.
    pub figure: String,
    /// Where to look, such as a payment's key.
    pub example: Option<String>,
}

// === impl Check ===

impl Check {
    /// What must hold, in words.
    pub fn words(self) -> String {
        match self {
            Self::Served(whom, span, percent) => format!("{}: {percent} % served, {}", whom.words(), words(span)),
            Self::Refused(whom, span, percent) => {
                format!("{}: at most {percent} % served, {}", whom.words(), words(span))
            }
            Self::Resident => "who must stay in a region: not answered by the other one".to_owned(),
            Self::Quick(whom, span, ms) => format!("{}: 99 of 100 within {ms} ms, {}", whom.words(), words(span)),
            Self::Spared(span, most) => {
                format!("at most {most} requests at services for each of a client, {}", words(span))
            }
            Self::PaidOnce => "no payment executed twice".to_owned(),
            Self::NoneLost => "no payment acknowledged and lost".to_owned(),
            Self::ConfigsTaken(taken) => format!("{taken} configurations taken"),
            Self::ConfigsRefused(least) => format!("{least} configurations refused"),
            Self::Opened(keys) => format!("the breaker opened for {} alone", keys.join(", ")),
            Self::Share(one, other, span, [least, most]) if least == most => {
                format!("{one}: {least} % of what it and {other} answer, {}", words(span))
            }
            Self::Share(one, other, span, [least, most]) => {
                format!("{one}: {least} to {most} % of what it and {other} answer, {}", words(span))
            }
            Self::Held(node, (from, until)) => {
                format!("streams at {node}, which drains from second {from} on, open until second {until}")
            }
            Self::Told(node, span) => {
                format!("event streams at {node} told when to come again, {}", words(span))
            }
            Self::MessagesKept => "no acknowledged message lost, nor seen twice".to_owned(),
            Self::Copied(span, least) => format!("{least} copies for each mirrored request, {}", words(span)),
        }
    }

    /// Whether it held. What nobody saw didn't.
    pub fn judge(self, run: &Run) -> Seen {
        match self {
            Self::Served(whom, span, percent) => {
                Seen::figure(whom.served(run, span), |share| share >= percent, |share| format!("{share:.1} %"))
            }
            Self::Refused(whom, span, percent) => {
                Seen::figure(whom.served(run, span), |share| share <= percent, |share| format!("{share:.1} %"))
            }
            Self::Resident => {
                let answered = run.records.iter().filter(|record| !record.may_move() && record.by.is_some());
                let all = answered.clone().count();
                let strayed: Vec<String> = answered.filter(|record| record.strayed()).map(Record::write).collect();
                Seen::none_of(&strayed, all)
            }
            Self::Quick(whom, span, most) => {
                let time = p99(&whom.of(run, span)).map(|time| time.as_secs_f64() * 1e3);
                Seen::figure(time, |time| time <= most, |time| format!("{time:.0} ms"))
            }
            Self::Spared(span, most) => {
                let asked = run.asked(span.0, span.1);
                let times = asked.and_then(|asked| ratio(asked, run.between(span.0, span.1).count() as u64));
                Seen::figure(times, |times| times <= most, |times| format!("{times:.2}"))
            }
            Self::PaidOnce => Seen::none_of(&run.paid_twice(), run.executed.len()),
            Self::NoneLost => Seen::none_of(&run.lost(), run.executed.len()),
            Self::ConfigsTaken(taken) => Seen::new(run.taken_configs == taken, run.taken_configs.to_string()),
            Self::ConfigsRefused(least) => Seen::new(run.refused_configs >= least, run.refused_configs.to_string()),
            Self::Opened(keys) => Seen::opened(run.opened.as_ref(), keys),
            Self::Share(one, other, span, [least, most]) => {
                let answers = Whom::Movers.of(run, span);
                let by = |name: &str| answers.iter().filter(|record| record.answered_by(name)).count() as u64;
                let share = ratio(by(one), by(one) + by(other)).map(|share| share * 100.0);
                Seen::figure(
                    share,
                    |share| (f64::from(least)..=f64::from(most)).contains(&share),
                    |share| format!("{share:.1} %"),
                )
            }
            Self::Held(node, (from, until)) => {
                let legs = run.legs_at(node, from);
                Seen::all_of(legs.iter().filter(|leg| leg.until >= seconds(until)).count(), legs.len())
            }
            Self::Told(node, (from, _)) => {
                let mut legs = run.legs_at(node, from);
                legs.retain(|leg| leg.reads);
                Seen::all_of(legs.iter().filter(|leg| leg.told).count(), legs.len())
            }
            Self::MessagesKept => Seen::none_of(&run.messages_amiss(), run.acknowledged().len()),
            Self::Copied(span, least) => {
                let times = run.copies(span.0, span.1);
                Seen::figure(times, |times| times >= least, |times| format!("{times:.2}"))
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    fn new(held: bool, figure: String) -> Self {
        Self { held, figure, example: None }
    }

    fn figure(value: Option<f64>, held: impl Fn(f64) -> bool, figure: impl Fn(f64) -> String) -> Self {
        match value {
            Some(value) => Self::new(held(value), figure(value)),
            None => Self::new(false, "nothing was seen".to_owned()),
        }
    }

    /// Where there is no breaker nothing is said of it.
    fn opened(opened: Option<&BTreeSet<String>>, expected: &[&str]) -> Self {
        let Some(opened) = opened else { return Self::new(true, "no breaker".to_owned()) };
        let names: Vec<&str> = opened.iter().map(String::as_str).collect();
        Self::new(names == expected, if names.is_empty() { "none".to_owned() } else { names.join(", ") })
    }

    fn all_of(those: usize, all: usize) -> Self {
        Self::new(those == all && all > 0, format!("{those} of {all}"))
    }

    /// A run in which nothing was seen proves nothing.
    fn none_of(keys: &[impl AsRef<str>], all: usize) -> Self {
        let example = keys.first().map(|key| key.as_ref().to_owned());
        Self { example, ..Self::new(keys.is_empty() && all > 0, format!("{} of {all}", keys.len())) }
    }
}

// === impl Whom ===

impl Whom {
    fn of(self, run: &Run, (from, to): Span) -> Vec<&Record> {
        run.between(from, to).filter(|record| self.counts(record)).collect()
    }

    /// How many of 100 got what they wanted; `None` where there were none.
    fn served(self, run: &Run, span: Span) -> Option<f64> {
        let records = self.of(run, span);
        let ok = records.iter().filter(|record| record.ok).count();
        ratio(ok as u64, records.len() as u64).map(|share| share * 100.0)
    }

    fn counts(self, record: &Record) -> bool {
        match self {
            Self::All => true,
            Self::Movers => record.may_move(),
            Self::MoversFor(kind) => record.may_move() && record.kind == kind,
            Self::For(kind) => record.kind == kind,
        }
    }

    fn words(self) -> String {
        match self {
            Self::All => "everybody".to_owned(),
            Self::Movers => "who may move".to_owned(),
            Self::MoversFor(kind) => format!("{} of who may move", kind.name()),
            Self::For(kind) => format!("{} of everybody", kind.name()),
        }
    }
}

fn words((from, to): Span) -> String {
    format!("second {from} to {to}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::run::tests::{payment, record};
    use super::super::{Leg, Sample};
    use super::*;

    fn run(records: Vec<Record>) -> Run {
        Run { records, executed: [("a".to_owned(), 1)].into(), ..Run::default() }
    }

    #[test]
    fn who_must_stay_is_not_asked_where_movers_count() {
        let stays = Record { stays: Some("eu".into()), ..record(500, 9, false) };
        let run = run(vec![record(400, 9, true), stays, record(1_400, 9, false)]);
        let served = |whom, span| Check::Served(whom, span, 95.0).judge(&run);
        assert_eq!(served(Whom::Movers, (0, 1)), Seen::new(true, "100.0 %".into()));
        assert_eq!(served(Whom::All, (0, 1)), Seen::new(false, "50.0 %".into()));
        assert!(!served(Whom::Movers, (1, 2)).held);
    }

    #[test]
    fn who_must_stay_and_was_served_elsewhere_is_found_out() {
        let by = |name: &str| Record { stays: Some("eu".into()), by: Some(name.into()), ..record(500, 9, true) };
        let resident = |records| Check::Resident.judge(&run(records));
        assert_eq!(resident(vec![by("grpc-eu"), record(500, 9, true)]), Seen::new(true, "0 of 1".into()));
        let seen = resident(vec![by("rest-eu"), by("graphql-us")]);
        assert_eq!((seen.held, seen.figure.as_str()), (false, "1 of 2"));
        assert!(seen.example.is_some_and(|example| example.contains("graphql-us")));
        let refused = Record { by: None, ..by("") };
        assert!(!resident(vec![refused, record(500, 9, true)]).held, "nobody who must stay was served");
    }

    #[test]
    fn payments_that_go_through_where_none_should_are_found_out() {
        let refused = |records| Check::Refused(Whom::All, (0, 1), 10.0).judge(&run(records));
        assert_eq!(refused(vec![record(500, 9, false)]), Seen::new(true, "0.0 %".into()));
        assert!(!refused(vec![record(500, 9, true)]).held && !refused(Vec::new()).held);
    }

    #[test]
    fn what_nobody_saw_did_not_hold() {
        let empty = Run::default();
        for check in
            [Check::Served(Whom::All, (0, 1), 0.0), Check::Spared((0, 1), 9.0), Check::PaidOnce, Check::NoneLost]
        {
            assert!(!check.judge(&empty).held, "{}", check.words());
        }
    }

    #[test]
    fn a_payment_that_no_ledger_has_is_lost() {
        assert!(Check::NoneLost.judge(&run(vec![payment("a", true), payment("b", false)])).held);
        let seen = Check::NoneLost.judge(&run(vec![payment("b", true)]));
        assert_eq!(seen, Seen { example: Some("b".into()), ..Seen::new(false, "1 of 1".into()) });
    }

    #[test]
    fn a_breaker_that_should_have_stayed_closed_is_named() {
        let run =
            |keys: &[&str]| Run { opened: Some(keys.iter().map(|key| (*key).into()).collect()), ..Run::default() };
        let judge = |run: &Run| Check::Opened(&["rest-shadow"]).judge(run);
        assert_eq!(judge(&run(&["rest-shadow"])), Seen::new(true, "rest-shadow".into()));
        assert_eq!(judge(&run(&["rest-eu", "rest-shadow"])), Seen::new(false, "rest-eu, rest-shadow".into()));
        assert!(!judge(&run(&[])).held && judge(&Run::default()).held, "the control has none");
    }

    #[test]
    fn a_canarys_share_is_that_of_the_answers_of_its_region() {
        let by = |name: &str| Record { by: Some(name.into()), ..record(500, 1, true) };
        let run = run(vec![by("rest-eu"), by("rest-eu"), by("rest-eu"), by("rest-canary"), by("rest-us")]);
        let share = |bounds| Check::Share("rest-canary", "rest-eu", (0, 1), bounds).judge(&run);
        assert_eq!(share([20, 30]), Seen::new(true, "25.0 %".into()));
        assert!(!share([0, 0]).held && !share([35, 65]).held);
    }

    #[test]
    fn copies_are_counted_against_what_is_mirrored() {
        let sample = |at: u64, copies| Sample { at: Duration::from_secs(at), copies, ..Sample::default() };
        let asks = Record { kind: Kind::Graphql, ..record(600, 1, true) };
        let mut run = run(vec![record(500, 1, true), payment("a", true), asks]);
        run.samples = vec![sample(0, 4), sample(1, 6)];
        assert_eq!(Check::Copied((0, 1), 1.0).judge(&run), Seen::new(true, "1.00".into()));
        assert!(!Check::Copied((0, 1), 1.1).judge(&run).held);
    }

    fn leg(node: &str, reads: bool, [at, until]: [u64; 2], numbers: &[u64]) -> Leg {
        let messages = numbers.iter().map(|number| (*number, format!("message {number}"))).collect();
        let (at, until) = (Duration::from_secs(at), Duration::from_secs(until));
        let client = if reads { "reader" } else { "writer" }.to_owned();
        Leg { client, reads, node: node.into(), at, until, told: reads, messages, cut: None }
    }

    #[test]
    fn a_stream_that_ends_before_the_deadline_was_not_held() {
        let legs = |until| vec![leg("edge-a", true, [0, until], &[]), leg("edge-b", true, [0, 4], &[])];
        let held = |until| Check::Held("edge-a", (3, 10)).judge(&Run { legs: legs(until), ..Run::default() });
        assert_eq!((held(10), held(9)), (Seen::new(true, "1 of 1".into()), Seen::new(false, "0 of 1".into())));
        let after = Run { legs: vec![leg("edge-a", true, [5, 20], &[])], ..Run::default() };
        assert!(!Check::Held("edge-a", (3, 10)).judge(&after).held, "none was open then");
    }

    #[test]
    fn a_reader_that_misses_a_message_is_found_out() {
        let kept = |first: &[u64], second: &[u64]| {
            let reader = [leg("edge-a", true, [0, 5], first), leg("edge-b", true, [6, 9], second)];
            let legs = reader.into_iter().chain([leg("edge-a", false, [0, 9], &[1, 2, 3, 4, 5])]).collect();
            Check::MessagesKept.judge(&Run { legs, ..Run::default() })
        };
        assert_eq!(kept(&[2, 3], &[4, 5]), Seen::new(true, "0 of 5".into()), "it came after the first message");
        assert_eq!(kept(&[2, 3], &[5]).example.as_deref(), Some("reader: 4"));
        for [first, second] in [[&[1_u64, 2][..], &[2, 3, 4, 5]], [&[1, 2], &[3, 4]], [&[1, 3, 2], &[4, 5]]] {
            assert!(!kept(first, second).held, "{first:?} {second:?}");
        }
    }

    #[test]
    fn slow_is_told_in_milliseconds() {
        let run = run(vec![record(0, 1_200, true)]);
        assert_eq!(Check::Quick(Whom::All, (0, 1), 1_000.0).judge(&run), Seen::new(false, "1200 ms".into()));
    }
}
