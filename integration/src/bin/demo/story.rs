//! What happens, and the record of it.

use std::time::{Duration, Instant};

use integration::{Fault, TestResult};

use crate::interrupt;
use crate::load::{Answer, Homes, Load};
use crate::side::{Breaker, Side, fast_policy};
use crate::tally::{self, Second, Sum};
use crate::view::View;

/// Between two looks at the breaker: what the transitions' times are good to.
const LOOK: Duration = Duration::from_millis(100);
/// A request that hasn't ended after this is waiting.
const SETTLE: Duration = Duration::from_millis(300);
/// Looks between two drawings.
const DRAW_EVERY: u32 = 3;

/// How long it all takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// With the settings as shipped: about a minute.
    Full,
    /// With shorter windows.
    Fast,
}

/// What befalls region eu.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// For people.
    pub(crate) title: &'static str,
    /// When it began, since the story's start.
    pub(crate) from: Duration,
}

/// A transition of the breaker of region eu.
#[derive(Clone, Debug)]
pub(crate) struct Transition {
    /// To within a tenth of a second, since the story's start.
    pub(crate) at: Duration,
    /// `open`, `half_open`, `recovering`, `closed`.
    pub(crate) to: String,
}

/// One side, measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) seconds: Vec<Second>,
    pub(crate) sum: Sum,
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) acts: Vec<Act>,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) with: Measured,
    pub(crate) without: Measured,
    /// When it was over.
    pub(crate) end: Duration,
    /// It came to its end, and was not interrupted.
    pub(crate) complete: bool,
}

/// The stage.
pub(crate) struct Story {
    pub(crate) pace: Pace,
    pub(crate) with: Side,
    pub(crate) without: Side,
    homes: Homes,
}

/// A story being told.
struct Telling<'a> {
    story: &'a Story,
    start: Instant,
    loads: [Load; 2],
    acts: Vec<Act>,
    transitions: Vec<Transition>,
    seen: Breaker,
    looks: u32,
}

// === impl Pace ===

impl Pace {
    /// Healthy, failing, hanging, and after the breaker has closed.
    const fn acts(self) -> [Duration; 4] {
        match self {
            Self::Full => {
                [Duration::from_secs(8), Duration::from_secs(6), Duration::from_secs(14), Duration::from_secs(6)]
            }
            Self::Fast => {
                [Duration::from_secs(3), Duration::from_secs(3), Duration::from_secs(5), Duration::from_secs(2)]
            }
        }
    }

    /// For the breaker to close after the region works again. All acts together stay below 90 s.
    const fn patience(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(52),
            Self::Fast => Duration::from_secs(20),
        }
    }
}

// === impl Story ===

impl Story {
    /// Starts both sides and learns who is at home where.
    pub(crate) fn begin(pace: Pace) -> TestResult<Self> {
        let (with, without) = (Side::with_holdfast()?, Side::without_holdfast()?);
        if pace == Pace::Fast {
            with.set_policy(fast_policy())?;
            // The file is watched; nothing tells when a worker has taken it up.
            std::thread::sleep(Duration::from_millis(300));
        }
        let homes = Homes::learn(&with)?;
        Homes::learn(&without)?;
        Ok(Self { pace, with, without, homes })
    }

    /// Tells it, and gives the stage back.
    pub(crate) fn tell(self, view: &mut dyn View) -> TestResult<(Self, Record)> {
        let record = Telling::begin(&self).tell(view)?;
        Ok((self, record))
    }

    fn strike(&self, fault: &Fault) {
        self.with.strike(fault);
        self.without.strike(fault);
    }

    fn eu_hits(&self) -> [u64; 2] {
        [self.with.eu_hits(), self.without.eu_hits()]
    }
}

// === impl Telling ===

impl<'a> Telling<'a> {
    fn begin(story: &'a Story) -> Self {
        let start = Instant::now();
        let loads = [&story.with, &story.without].map(|side| Load::start(side, &story.homes, start));
        Self { story, start, loads, acts: Vec::new(), transitions: Vec::new(), seen: Breaker::default(), looks: 0 }
    }

    fn tell(mut self, view: &mut dyn View) -> TestResult<Record> {
        let [healthy, failing, hanging, after] = self.story.pace.acts();
        self.act("both regions work", &Fault::Healthy);
        self.watch(view, healthy, |_| false)?;
        let before = self.story.eu_hits();
        self.act("eu answers 503", &Fault::Status(503));
        self.watch(view, failing, |_| false)?;
        self.act("eu hangs", &Fault::Hang);
        self.watch(view, hanging, |_| false)?;
        let hits = self.story.eu_hits();
        self.act("eu works again", &Fault::Healthy);
        self.watch(view, self.story.pace.patience(), |seen| seen.state == 0)?;
        self.watch(view, after, |_| false)?;
        let sick_hits = [hits[0] - before[0], hits[1] - before[1]];
        Ok(self.finish(view, sick_hits))
    }

    fn act(&mut self, title: &'static str, fault: &Fault) {
        self.story.strike(fault);
        self.acts.push(Act { title, from: self.start.elapsed() });
    }

    /// Looks on for a while, or until the breaker is as wanted, or until Ctrl-C.
    fn watch(&mut self, view: &mut dyn View, lasts: Duration, done: impl Fn(&Breaker) -> bool) -> TestResult {
        let from = self.start.elapsed();
        while self.start.elapsed() < from + lasts && !interrupt::came() {
            self.look()?;
            if done(&self.seen) {
                return Ok(());
            }
            self.looks += 1;
            if self.looks.is_multiple_of(DRAW_EVERY) {
                view.draw(&self.record());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Reads the breaker, and notes what it did since the last look.
    fn look(&mut self) -> TestResult {
        let (now, at) = (self.story.with.breaker()?, self.start.elapsed());
        let old = |to: &str| self.seen.transitions.get(to).copied().unwrap_or(0);
        let mut new: Vec<&String> = now.transitions.iter().filter(|(to, n)| **n > old(to)).map(|(to, _)| to).collect();
        // More than one in a tenth of a second: a probe that decided at once. The state that it came to is the last.
        new.sort_by_key(|to| (code(to) == now.state, code(to)));
        self.transitions.extend(new.into_iter().map(|to| Transition { at, to: to.clone() }));
        self.seen = now;
        Ok(())
    }

    fn record(&self) -> Record {
        self.measure([0, 0])
    }

    /// What was seen until now, in whole seconds, less those whose requests may be under way without being late.
    fn measure(&self, sick_hits: [u64; 2]) -> Record {
        let end = self.start.elapsed();
        let count = usize::try_from(end.saturating_sub(SETTLE).as_secs()).unwrap_or(0);
        let [with, without] = [0, 1].map(|side| measured(&self.loads[side].answers(), count, sick_hits[side]));
        let (acts, transitions, complete) = (self.acts.clone(), self.transitions.clone(), !interrupt::came());
        Record { acts, transitions, with, without, end, complete }
    }

    fn finish(self, view: &mut dyn View, sick_hits: [u64; 2]) -> Record {
        let record = self.measure(sick_hits);
        view.draw(&record);
        view.close();
        record
    }
}

fn measured(answers: &[Answer], count: usize, sick_hits: u64) -> Measured {
    let seconds = tally::seconds(answers, count);
    Measured { sum: tally::sum(answers, &seconds, sick_hits), seconds }
}

/// The number of a state in the gauge.
pub(crate) fn code(state: &str) -> u64 {
    match state {
        "open" => 1,
        "half_open" => 2,
        "recovering" => 3,
        _ => 0,
    }
}

// === impl Record ===

impl Record {
    /// The breaker's state at a time.
    pub(crate) fn state_at(&self, at: Duration) -> &str {
        self.transitions.iter().rev().find(|change| change.at <= at).map_or("closed", |change| &change.to)
    }

    /// What befalls region eu at a time.
    pub(crate) fn act_at(&self, at: Duration) -> &'static str {
        self.acts.iter().rev().find(|act| act.from <= at).map_or("", |act| act.title)
    }

    /// When the breaker first went there.
    pub(crate) fn first(&self, to: &str) -> Option<Duration> {
        self.transitions.iter().find(|change| change.to == to).map(|change| change.at)
    }
}
