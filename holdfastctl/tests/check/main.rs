//! A platform engineer checks files before they are promoted: what is good passes, and of what isn't every fault is told, and where it stands.

mod broken;
mod envoy;
mod others;
mod run;
mod shipped;
mod simulate;
mod verbs;
