//! Modules in OCI registries: one tag for every consumer, by digest.
//!
//! A version is pushed once: layers first, then the manifests under their digests, and the tag last, so that nobody ever sees half of one.

mod layout;
mod module;
mod package;
mod registry;
mod verbs;

pub(crate) use registry::Access;
pub(crate) use verbs::{Answer, inspect, list, pull, push, verify};
