//! The whole plugin on the fake host: two flavors, several workers, and stores of the tests' own.
//!
//! | to find | look in |
//! |---|---|
//! | the first run, and its repeats | `repeats` |
//! | which requests, and whose | `keys` |
//! | requests' bodies, the service's answers | `bodies`, `answers` |
//! | what becomes of a claim | `ends`, `leaving` |
//! | waiting, and tenants that are busy | `busy` |
//! | who asks a store that is called | `shared`, `waves` |
//! | Redis' own ways, and memcached's | `cluster`, `long`, `memcached` |
//! | a store that fails | `faults`, `down` |
//! | dry runs, shares, debugging | `modes` |
//! | any byte, and the bounds | `odd` |
//! | `WasmX` | `kong` |
//! | the host calls of a request | `costs` |
#![allow(missing_docs)]

mod answers;
mod bodies;
mod busy;
mod cluster;
mod costs;
mod down;
mod ends;
mod faults;
mod keys;
mod kong;
mod leaving;
mod long;
mod memcached;
mod modes;
mod odd;
mod repeats;
mod shared;
mod shop;
mod stores;
mod support;
mod waves;
