//! What users see of the plugins, as one table that every host plays.
//!
//! A plugin that is right on one proxy may be wrong on the next one. So what is promised to users stands here once, as plain data, and four hosts
//! play it: both fake ones (`tests/fake.rs`, with the plugins as Rust), the built modules in Wasmtime (`integration/wasmtime`), and a real Envoy
//! (`integration/tests/scenarios.rs`). `docs/second-engine.md` says what runs where.
//!
//! | to find | look in |
//! |---|---|
//! | the scenarios | [`table`] |
//! | what one is made of | [`Scenario`], [`Step`], [`Ask`] |
//! | who plays them on the fake proxy | [`play_all`], [`Engine`] |

mod ask;
mod breaker;
mod budget;
mod engine;
mod health;
mod idempotency;
mod metrics;
mod play;
mod scenario;
mod suite;

pub use ask::{Answer, Ask, Seen, Value, get, post};
pub use engine::{Engine, Form, Left, Played, play_all};
pub use scenario::{Count, Plugin, Scenario, Step};

/// All scenarios.
pub fn table() -> Vec<Scenario> {
    [
        breaker::scenarios(),
        budget::scenarios(),
        idempotency::scenarios(),
        health::scenarios(),
        metrics::scenarios(),
        suite::scenarios(),
    ]
    .concat()
}
