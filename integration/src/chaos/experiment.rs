//! An experiment as data.

use super::load::Manner;
use super::{Check, Whom};

/// Of 100.
const BEFORE: f64 = 95.0;

/// A hypothesis, and what is done to prove it wrong.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// As the README counts them.
    pub number: u8,
    /// In a few words.
    pub name: &'static str,
    /// What is claimed.
    pub hypothesis: &'static str,
    /// How long requests begin.
    pub seconds: u32,
    /// How many of them begin in each second.
    pub per_second: u32,
    /// What clients do that don't get what they want.
    pub manner: Manner,
    /// Readers of events, and writers with a WebSocket each, at each gateway.
    pub streams: u32,
    /// The gateways' port that they come to.
    pub port: u16,
    /// What befalls the system, in order. Before the first one all is well.
    pub phases: Vec<Phase>,
    /// What must hold with Holdfast.
    pub checks: Vec<Check>,
    /// Those that the control must break, each of them: else they would prove nothing about Holdfast.
    pub contrast: Vec<Check>,
}

/// From a second on, until the next one.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Seconds since the load's start.
    pub at: u32,
    /// What it is called; empty where all is well again.
    pub title: &'static str,
    /// What is done, in order.
    pub actions: Vec<Action>,
}

/// Something that is done to the containers of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// These services suffer from that, in the words of their switch.
    Suffer(&'static [&'static str], &'static str),
    /// SIGKILL.
    Kill(&'static str),
    /// It is told that it will be taken out (`/healthcheck/fail`), and serves on.
    Drain(&'static str),
    /// Nothing further is done until this node serves.
    Await(&'static str),
    /// Starts what was killed.
    Start(&'static str),
    /// It stands still (SIGSTOP, because not every kernel can freeze a container).
    Pause(&'static str),
    /// It goes on.
    Unpause(&'static str),
    /// SIGTERM, and a new start.
    Restart(&'static str),
    /// A container is taken out of a network.
    Cut(&'static str, &'static str),
    /// And put into it again.
    Join(&'static str, &'static str),
    /// A command for the Redis in this container.
    Redis(&'static str, &'static [&'static str]),
    /// Of a hundred of a region's users so many go to the canary of its REST service, at each gateway.
    Shift(u8),
    /// A node is given other settings (ECDS), by a rename.
    Push(&'static str, Config),
}

/// Other settings for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config {
    /// The shipped ones.
    Shipped,
    /// With a field that there is not.
    UnknownField,
    /// Half a file.
    CutShort,
    /// They name a module that is none.
    BadModule,
    /// A module under another name, in a VM of its own, and another setting of the breaker.
    Canary,
}

// === impl Experiment ===

impl Experiment {
    /// What must hold of the control too: before anything is broken all is well.
    pub fn before(&self) -> Check {
        let broken = self.phases.iter().find(|phase| !phase.title.is_empty());
        Check::Served(Whom::All, (0, broken.map_or(self.seconds, |phase| phase.at)), BEFORE)
    }
}

// === impl Phase ===

impl Phase {
    /// A phase with this title.
    pub fn new(at: u32, title: &'static str, actions: &[Action]) -> Self {
        Self { at, title, actions: actions.to_vec() }
    }

    /// All is well again.
    pub fn well(at: u32, actions: &[Action]) -> Self {
        Self::new(at, "", actions)
    }
}
