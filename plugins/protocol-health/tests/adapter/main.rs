//! The whole plugin on the fake host: both chains, both flavors.

mod costs;
mod draining;
mod edge;
mod hosts;
mod judging;
mod probing;
mod support;
