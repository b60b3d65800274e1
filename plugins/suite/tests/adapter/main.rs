//! The suite on the fake host.
#![allow(missing_docs)]

mod behind;
mod configured;
mod costs;
mod holding;
mod hosts;
mod support;
mod ticking;
