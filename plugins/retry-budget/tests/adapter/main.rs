//! The whole plugin on the fake host: both chains, several workers, both flavors.

mod answers;
mod cells;
mod clients;
mod costs;
mod gaps;
mod hosts;
mod judged;
mod steering;
mod support;
mod ticks;
