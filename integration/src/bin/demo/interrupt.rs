//! Ctrl-C ends the demo in order: Envoys and services first, then their temporary files.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

static CAME: AtomicBool = AtomicBool::new(false);

/// Notes the first SIGINT or SIGTERM; a second one ends the process at once.
pub(crate) fn listen() {
    std::thread::spawn(|| {
        // Without a runtime signals keep their usual effect, which ends the children too (the kernel sees to that).
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if CAME.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    });
}

/// Whether one came.
pub(crate) fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}
