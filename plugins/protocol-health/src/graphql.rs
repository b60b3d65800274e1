//! GraphQL over HTTP: what an answer came to.
//!
//! A service that failed says `200`, with `errors` in its body; so does one that was asked nonsense. What tells them apart is, in this order:
//!
//! 1. `extensions.code` of each error, by a table ([`Codes`]);
//! 2. an error with `locations` and without `path`: the request itself was refused, before anything ran (GraphQL specification, 7.1.2: an error of a
//!    field must have a `path`). That is its caller's fault, and a flood of such requests must eject nobody;
//! 3. an error without `path` may be anybody's: it says nothing, unless a configuration knows better ([`Codes::request_errors`]);
//! 4. every other error, one of a field, is the service's.
//!
//! [`mod@scan`] finds them, [`verdict()`] says what they mean.

pub mod codes;
pub mod scan;
pub mod verdict;

pub use codes::Codes;
pub use scan::{Data, Fault, Found, Scan};
pub use verdict::verdict;
