//! Which streams the SDK may be called back for.
//!
//! Two things that hosts do, and that its dispatcher panics on:
//!
//! - Envoy calls filters for the body of an answer that a filter behind them held back, also where its headers have made the router retry, and so ended the
//!   attempt.
//! - A root's call to a cluster begins an attempt at once, within the root's own callback. Where that cluster's filters are of the same VM, one of the
//!   attempt's streams is to begin while the dispatcher is busy. Nobody asked us to judge our own calls: such a stream passes, if the plugin may miss one
//!   ([`crate::entry::Plugin::MAY_MISS`]).

use core::cell::{Cell, RefCell};

/// More streams than can end while a host calls one of them back.
const REMEMBERED: usize = 32;

thread_local! {
    /// The streams that ended last, each number inverted so that the first one isn't there from the start; and how many have ended.
    static ENDED: Cell<([u32; REMEMBERED], usize)> = const { Cell::new(([0; REMEMBERED], 0)) };
    /// Streams that began while a root was called back.
    static IGNORED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// A root is being called back, and its plugin may miss streams.
    static IN_ROOT: Cell<bool> = const { Cell::new(false) };
}

/// A root is called back, whose plugin may miss streams that begin meanwhile, or not.
pub(super) fn in_root(may_miss: bool, call: impl FnOnce()) {
    IN_ROOT.set(may_miss);
    call();
    IN_ROOT.set(false);
}

/// A stream begins (`root` isn't 0); whether nobody is to know.
pub(super) fn ignores(context: u32, root: u32) -> bool {
    let ignored = root != 0 && IN_ROOT.get();
    if ignored {
        IGNORED.with_borrow_mut(|streams| streams.push(context));
    }
    ignored
}

/// Whether the SDK was told of this stream.
pub(super) fn knows(context: u32) -> bool {
    !IGNORED.with_borrow(|streams| streams.contains(&context))
}

/// Whether it still knows it. Asked where hosts call back for streams that have ended.
pub(super) fn knows_still(context: u32) -> bool {
    knows(context) && !ENDED.get().0.contains(&!context)
}

/// A stream is to be deleted; whether nobody knew of it.
pub(super) fn forgets(context: u32) -> bool {
    IGNORED.with_borrow_mut(|streams| {
        let at = streams.iter().position(|stream| *stream == context);
        at.map(|at| streams.swap_remove(at)).is_some()
    })
}

/// A stream has been deleted.
pub(super) fn note_end(context: u32) {
    let (mut ended, count) = ENDED.get();
    if let Some(place) = ended.get_mut(count % REMEMBERED) {
        *place = !context;
    }
    ENDED.set((ended, count.wrapping_add(1)));
}
