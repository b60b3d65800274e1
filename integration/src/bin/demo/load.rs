//! The clients: 100 requests a second, the same for both sides.
//!
//! | who | share | `x-data-region` | when region eu fails |
//! |---|---|---|---|
//! | users at home in eu | 40 % | `any` | may be served by us |
//! | users whose data must stay in eu | 10 % | `eu` | nobody else may serve them |
//! | users at home in us | 50 % | `any` | are not concerned |

use std::time::{Duration, Instant};

use anyhow::ensure;
use integration::client::{Running, Sample};
use integration::{Call, Storm, TestResult};

use crate::side::Side;

/// Requests per second, in all.
pub(crate) const RATE: u32 = 100;
/// A request that hangs takes its route's 3 s; so many seconds' worth of requests can be under way at a time.
const UNDER_WAY: u32 = 5;
/// The longest load, in seconds: a bound, never reached.
const LONGEST: u32 = 120;
/// Users that are asked for their home.
const USERS: usize = 60;

/// A kind of client: at home where, allowed where, how many requests per second.
const KINDS: [(&str, &str, u32); 3] = [("eu", "any", 40), ("eu", "eu", 10), ("us", "any", 50)];

/// The users of each region, as the hash says.
#[derive(Clone, Debug)]
pub(crate) struct Homes {
    eu: Vec<String>,
    us: Vec<String>,
}

/// A load under way on one side.
pub(crate) struct Load {
    kinds: Vec<(&'static str, Duration, Running)>,
}

/// A finished request: where its user is at home, and how it went. `at` counts from the story's start.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) home: &'static str,
    pub(crate) sample: Sample,
}

impl Homes {
    /// Asks every user's first question, and sees who answers.
    pub(crate) fn learn(side: &Side) -> TestResult<Self> {
        let users = (0..USERS).map(|n| format!("user-{n}"));
        let asked = users.map(|user| Ok((side.home_of(&user)?, user))).collect::<TestResult<Vec<_>>>()?;
        let of = |region| asked.iter().filter(|(by, _)| by.starts_with(region)).map(|(_, user)| user.clone()).collect();
        let homes = Self { eu: of("eu"), us: of("us") };
        ensure!(homes.eu.len() + homes.us.len() == USERS, "not every user was served: {asked:?}");
        ensure!(!homes.eu.is_empty() && !homes.us.is_empty(), "a region has no users: {asked:?}");
        Ok(homes)
    }

    fn of(&self, region: &str) -> Vec<String> {
        if region == "eu" { self.eu.clone() } else { self.us.clone() }
    }
}

impl Load {
    /// Begins, at `start` or a moment after it.
    pub(crate) fn start(side: &Side, homes: &Homes, start: Instant) -> Self {
        let begin = |(home, region, rate): (&'static str, &'static str, u32)| {
            let users = homes.of(home);
            let call = Call::get(side.edge, "/orders").header("x-data-region", region).timeout(Duration::from_secs(10));
            let storm = Storm::new(call)
                .concurrency((rate * UNDER_WAY) as usize)
                .total((rate * LONGEST) as usize)
                .per_second(f64::from(rate));
            let storm = storm.each(move |n, call| call.header("x-user-id", &users[n % users.len()]));
            (home, start.elapsed(), storm.start())
        };
        Self { kinds: KINDS.map(begin).into() }
    }

    /// Everything that has ended so far. Dropping the load ends it.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.kinds.iter().flat_map(|(home, begun, running)| answers(home, *begun, running.tally().samples)).collect()
    }
}

fn answers(home: &'static str, begun: Duration, samples: Vec<Sample>) -> impl Iterator<Item = Answer> {
    samples.into_iter().map(move |sample| Answer { home, sample: Sample { at: sample.at + begun, ..sample } })
}
