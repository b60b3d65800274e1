//! The whole plugin on the fake host, in both flavors.
//!
//! | to find | look in |
//! |---|---|
//! | the host calls of a request and an attempt | `costs` |
//! | what requests come to | `requests` |
//! | answers that no service gave | `locals` |
//! | SSE, WebSocket, gRPC streams | `streams` |
//! | attempts | `attempts` |
//! | how many series there are, labels | `bounds` |
//! | hosts that lack something, `WasmX` | `hosts` |
#![allow(missing_docs)]

mod attempts;
mod bounds;
mod costs;
mod hosts;
mod locals;
mod requests;
mod streams;
mod support;
