//! The whole plugin on the fake host, in both flavors.
//!
//! | to find | look in |
//! |---|---|
//! | the host calls of a request | `costs` |
//! | closed, open, half-open, recovering, closed | `course` |
//! | several workers | `together` |
//! | nothing comes | `ticks` |
//! | what counts, and what doesn't | `counting` |
//! | probes and their leases | `probes` |
//! | a host that fails | `faults` |
//! | keys, their bound, instances | `keys` |
//! | modes, overrides, dry runs, throttling | `modes` |
//! | what a refused request gets | `refusals` |
//! | Kong under a file name that leaves it no metrics | `unnamed` |
//! | hosts that lack something, `WasmX` | `hosts` |
#![allow(missing_docs)]

mod costs;
mod counting;
mod course;
mod faults;
mod hosts;
mod judged;
mod keys;
mod modes;
mod probes;
mod refusals;
mod support;
mod ticks;
mod together;
mod unfair;
mod unnamed;
