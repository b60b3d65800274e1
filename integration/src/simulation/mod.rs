//! What a retry budget does to a system too large to start: layers of gateways in virtual time, with the plugin's own decisions.
//!
//! Three real Envoys in a row show that retries multiply (`tests/budget_layers.rs`). Three hundred don't fit a laptop, and the question that an
//! operator has is about those: what happens to *my* layers, with *my* load, when the service fails? So the proxies are modelled, and the
//! decision is not: [`retry_budget::state`] and [`retry_budget::decide`] are called as the module calls them.
//!
//! ```text
//!   clients --> layer 1 --> layer 2 --> layer 3 --> the service
//!               n nodes     n nodes     n nodes     fails by chance, or from too much work
//! ```
//!
//! A request enters at a random node, and each layer passes it to a random node of the next. A layer retries what the layer behind it
//! answers badly, up to its route's number of tries, after Envoy's fully jittered back-off, if its budget grants it. There is no hedging and
//! no time-out but the service's patience, so a request waits for one thing at a time: it *is* its one event in the queue, and needs no
//! table. After its deadline (Envoy's route timeout) it is not retried any more, and a good answer doesn't count.
//!
//! What is left out, and which way it errs:
//! - **The network takes no time.** A layer's answer takes as long as what is behind it.
//! - **One worker per node.** That several keep one bound is proved elsewhere (`plugins/retry-budget/tests`); here nothing races.
//! - **Clients don't retry.** They would be one more layer, without a budget.
//! - **Everything is one key**, and no answer asks for a pause.
//!
//! Time and chance are integers, seeds are given: the same scenario has the same outcome on every machine.
//!
//! ```
//! use integration::simulation::{Scenario, Scheme, run};
//! let all_fails = Scenario { layers: 2, nodes: 1, ..Scenario::default() }.everything_fails();
//! assert_eq!(run(&all_fails, &Scheme::Unlimited).amplification(), 16.0);
//! let ours = Scheme::configured(r#"{"min_retries_per_second": 0}"#).unwrap();
//! assert!(run(&all_fails, &ours).amplification() <= 1.44);
//! ```
//!
//! | to find | look in |
//! |---|---|
//! | what can be varied | [`Scenario`] |
//! | the stories told of it | [`Study`] |
//! | the three budgets | [`Scheme`], [`budget`] |
//! | how the service fails | [`failure`] |
//! | one request's way | `world.rs` |
//! | what is measured | [`Outcome`] |
//! | tables and the chart | [`report`], [`svg`] |
//!
//! `cargo xtask simulate --svg docs/retry-budget.svg` prints the tables and draws the chart that the docs show.

pub mod budget;
mod events;
pub mod failure;
mod layer;
mod outcome;
pub mod report;
mod scenario;
mod study;
pub mod svg;
mod world;

pub use budget::{RetryBudget, Scheme};
pub use failure::{Capacity, Failure};
pub use outcome::{Outcome, Second};
pub use scenario::Scenario;
pub use study::Study;
pub use world::run;
