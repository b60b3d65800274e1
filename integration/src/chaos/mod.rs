//! Experiments on `integration/compose`: what is expected, what is broken, and what the clients and the services' ledgers say of it.
//!
//! A gateway that survives in a test may still fail its users in the real topology. So each [`Experiment`] is a hypothesis that can be proved
//! wrong: the same [`load`] and the same accidents meet the gateways with Holdfast and, at the same time, a second set of everything whose
//! gateways are the same Envoys without it ([`without_holdfast`]). What was seen ([`Run`]) is checked ([`Check`]), drawn and printed ([`report`]).
//!
//! All of this is data and functions of it; the program `chaos` has the hands, and `cargo xtask compose chaos` starts and ends it all.

mod catalogue;
mod check;
mod experiment;
mod leg;
pub mod load;
mod plain;
mod record;
pub mod report;
mod run;

pub use catalogue::all;
pub use check::{Check, Seen, Span, Whom};
pub use experiment::{Action, Config, Experiment, Phase};
pub use leg::Leg;
pub use plain::without_holdfast;
pub use record::{Kind, Record};
pub use run::{Run, Sample, Second};
