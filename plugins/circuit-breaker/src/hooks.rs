//! For tests on a real proxy only (feature `test-hooks`): a request header plays the operator, or the accident.
//!
//! `x-holdfast-test: trap` kills the VM; `x-holdfast-test: override <mode> <milliseconds>` sets an override for the request's key.

use crate::track::Track;
use core::time::Duration;
use sdk_shim::host::{Host, Map};
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;

/// Does what the header says.
pub fn obey<H: Host>(host: &H, track: &Track, now: Instant) {
    let Some(order) = host.header(Map::RequestHeaders, "x-holdfast-test") else { return };
    let order = String::from_utf8_lossy(&order).into_owned();
    let mut words = order.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("trap"), ..) => trap(),
        (Some("override"), Some(mode), Some(millis)) => {
            let lasting = millis.parse().map(Duration::from_millis).unwrap_or_default();
            let set = Mode::parse(mode).and_then(|mode| Override::new(mode, now, lasting));
            let _ = track.set_override(host, set);
        }
        _ => {}
    }
}

fn trap() -> ! {
    panic!("a test asked for a trap")
}
