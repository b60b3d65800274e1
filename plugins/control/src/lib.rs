//! The control entry: what an operator asks a gateway at 3 a.m., and what he tells it.
//!
//! It sits alone in a listener of its own, on the loopback address, in a VM of the same `vm_id` as the plugins that it speaks of: what they share among workers, it
//! reads and writes too. So any worker answers for all, no push is needed, and what was ordered is obeyed by every worker with its next look at the key
//! (`state_refresh`).
//!
//! | request | answer |
//! |---|---|
//! | `GET /state`, `GET /state?limit=50` | each plugin with its configuration's hash; each breaker's and budget's keys |
//! | `POST /override` `{"plugin": "circuit-breaker", "key": "orders", "mode": "force_open", "for": "10m"}` | a mode for one key (`"*"`: for all), which ends by itself |
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`config`] |
//! | who may ask, and what | [`gate`] |
//! | an order, and how it is carried out | [`order`] |
//! | what is shown | [`state`] |
//! | what is answered | [`answer`] |
//! | how these meet the proxy | [`filter`] |

pub mod answer;
pub mod config;
pub mod filter;
pub mod gate;
pub mod order;
pub mod state;

pub use filter::Control;

#[cfg(feature = "live")]
sdk_shim::register!(crate::Control);
