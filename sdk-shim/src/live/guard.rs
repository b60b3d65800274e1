//! Which streams, and which answers, the SDK may be called back for.
//!
//! Three things that hosts do, and that its dispatcher panics on:
//!
//! - Envoy calls filters for the body of an answer that a filter behind them held back, also where its headers have made the router retry, and so ended the
//!   attempt.
//! - A root's call to a cluster begins an attempt at once, within the root's own callback. Where that cluster's filters are of the same VM, one of the
//!   attempt's streams is to begin while the dispatcher is busy. Nobody asked us to judge our own calls: such a stream passes, if its filter may miss one
//!   ([`crate::entry::Plugin::may_miss`]).
//! - `WasmX` makes a VM anew where one has trapped, or where Kong's configuration changed without a reload. Answers to calls of the former VM come to the new
//!   one, which never made them. Behind such an answer a request goes on that waited for it, unless it is answered here. Which one that is isn't told, but what
//!   `WasmX` asks of is that request where the VM was made for its sake: then the making of that one stream is all that the VM has heard before. In any other case
//!   there may be no request at all, and to answer it would be the end of the worker.

use core::cell::{Cell, RefCell};

/// More streams than can end while a host calls one of them back.
const REMEMBERED: usize = 32;
/// More calls than a busy worker has under way.
const MANY: usize = 4_096;

thread_local! {
    /// The streams that ended last, each number inverted so that the first one isn't there from the start; and how many have ended.
    static ENDED: Cell<([u32; REMEMBERED], usize)> = const { Cell::new(([0; REMEMBERED], 0)) };
    /// Streams that began while a root was called back.
    static IGNORED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Roots whose streams must all be seen.
    static WATCHFUL: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Calls of this VM that are under way: the token of each, and in whose callback it was made.
    static CALLS: RefCell<Vec<(u32, u32)>> = const { RefCell::new(Vec::new()) };
    /// A root is being called back.
    static IN_ROOT: Cell<bool> = const { Cell::new(false) };
    /// The only stream that was made, and its root, as long as this VM has heard nothing else; the root is 0 where that stream was lost. Before that the stream
    /// is 0, and after that [`MORE`].
    static ONLY: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// No stream has this number.
const MORE: u32 = u32::MAX;

/// Something is told to this VM; or, where this gives a stream, that it waited for a call of a former VM.
pub(super) fn hears() -> Option<u32> {
    let (stream, root) = ONLY.replace((MORE, 0));
    (root == 0 && stream != 0 && stream != MORE).then_some(stream)
}

/// Nobody here made the call that is answered. Gives the root of the stream that it kept waiting, if there is one: it goes on behind this.
pub(super) fn lost() -> Option<u32> {
    let (stream, root) = ONLY.get();
    ONLY.set((if root == 0 { MORE } else { stream }, 0));
    (root != 0).then_some(root)
}

/// A root has been configured: whether its streams may pass unseen.
pub(super) fn note_root(root: u32, may_miss: bool) {
    WATCHFUL.with_borrow_mut(|roots| {
        roots.retain(|known| *known != root);
        if !may_miss {
            roots.push(root);
        }
    });
}

/// A root is called back.
pub(super) fn in_root(call: impl FnOnce()) {
    IN_ROOT.set(true);
    call();
    IN_ROOT.set(false);
}

/// A stream begins (`root` isn't 0); whether nobody is to know.
pub(super) fn ignores(context: u32, root: u32) -> bool {
    let ignored = root != 0 && IN_ROOT.get() && WATCHFUL.with_borrow(|roots| !roots.contains(&root));
    if ignored {
        IGNORED.with_borrow_mut(|streams| streams.push(context));
    }
    if root != 0 {
        ONLY.set(if ONLY.get().0 == 0 { (context, root) } else { (MORE, 0) });
    }
    ignored
}

/// Whether the SDK was told of this stream.
pub(super) fn knows(context: u32) -> bool {
    hears();
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

/// A call to another service was made. Before Kong 3.8 nobody says that one of a root's failed: of too many, its first is forgotten.
pub(super) fn note_call(token: u32, context: u32) {
    let is_root = |context| WATCHFUL.with_borrow(|roots| roots.contains(&context));
    if CALLS.with_borrow(Vec::len) >= MANY {
        takes_call(&|(_, caller)| is_root(caller));
    }
    CALLS.with_borrow_mut(|calls| calls.push((token, context)));
}

/// A call is answered; whether it was one of this VM's.
pub(super) fn is_answer(token: u32) -> bool {
    takes_call(&|(known, _)| known == token).is_some()
}

/// A call that a stream has made which is deleted: those that hosts cancel are never answered.
pub(super) fn takes_call_of(context: u32) -> Option<u32> {
    takes_call(&|(_, caller)| caller == context)
}

/// Once in a module, and not once for each question.
fn takes_call(is_it: &dyn Fn((u32, u32)) -> bool) -> Option<u32> {
    CALLS.with_borrow_mut(|calls| {
        let at = calls.iter().position(|call| is_it(*call))?;
        Some(calls.remove(at).0)
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
