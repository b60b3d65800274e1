//! Real stores on 127.0.0.1, and what happens to them: paused, killed, restarted, cut off. All of them are killed when dropped.
//!
//! | | |
//! |---|---|
//! | [`Redis`] | a redis-server; [`Redis::options`] for one that keeps what it acknowledged, or evicts |
//! | [`RedisCluster`] | three masters, and slots that move |
//! | [`Memcached`] | a memcached |
//! | [`Webdis`] | HTTP in front of a Redis |
//! | [`Relay`] | a wire to a store that can be cut or blocked |
//!
//! `call` does what Envoy's tunnel does: a connection per call, the commands, a half-close, and all that comes back.
//!
//! ```no_run
//! # use integration::{TestResult, store::{Redis, command}};
//! # fn main() -> TestResult {
//! let redis = Redis::options().durable().start()?;
//! redis.call(&command(&["SET", "k", "v"]))?;
//! redis.kill();
//! redis.restart()?;
//! assert_eq!(redis.call(&command(&["GET", "k"]))?, b"$1\r\nv\r\n");
//! # Ok(()) }
//! ```

mod cluster;
mod memcached;
mod redis;
mod relay;
pub(crate) mod server;
mod webdis;

pub use cluster::RedisCluster;
pub use memcached::Memcached;
pub use redis::{Redis, RedisOptions, command};
pub use relay::Relay;
pub use webdis::Webdis;
