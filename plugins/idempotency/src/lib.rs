//! Idempotency keys for gateways: at most one execution per key, on any node, and the client gets its answer.
//!
//! Clients, proxies and networks repeat requests. A payment that is repeated is paid twice, unless somebody remembers. This plugin
//! claims a key in a store that all nodes share before the request goes to the service, and stores what the service answered under it.
//!
//! **Under construction**: what is here is the pure half, which no module is built of yet.

pub mod canonical;
pub mod encoding;
pub mod fingerprint;
pub mod header;
pub mod protocol;
pub mod scope;
pub mod secret;
pub mod store;
pub mod target;
