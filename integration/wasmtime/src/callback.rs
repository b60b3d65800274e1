//! The callback under way: whose host the module's calls go to.
//!
//! What the crate wants to be lent must be `Send`, and a fake host isn't. So nothing is lent but a name, and each call finds the host of its own thread.

use proxy_wasm_host::abi::v0_2_1 as abi;
use sdk_shim::fake::FakeHost;
use sdk_shim::host::{CalloutId, ContextId, Host as _, Reply};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the two sides call the same things.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The host's name of each of the module's contexts.
    pub(crate) contexts: BTreeMap<abi::ContextId, ContextId>,
    /// The module's name of each of the host's callouts.
    pub(crate) callouts: BTreeMap<CalloutId, abi::CalloutId>,
}

/// The callback under way.
#[derive(Clone)]
pub(crate) struct Callback {
    host: FakeHost,
    names: Rc<RefCell<Names>>,
    /// The stream whose next step its answer decides: an answer of the module's own for it is told with that.
    deciding: Option<abi::ContextId>,
    reply: Rc<RefCell<Option<Reply>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Callback>> = const { RefCell::new(None) };
}

impl Callback {
    pub(crate) fn new(host: &FakeHost, names: &Rc<RefCell<Names>>, deciding: Option<abi::ContextId>) -> Self {
        Self { host: host.clone(), names: Rc::clone(names), deciding, reply: Rc::default() }
    }

    /// Makes it, and gives what the module answered itself.
    pub(crate) fn during<R>(self, act: impl FnOnce() -> R) -> (R, Option<Reply>) {
        let reply = Rc::clone(&self.reply);
        let before = CURRENT.replace(Some(self));
        let result = act();
        CURRENT.set(before);
        (result, reply.take())
    }

    /// Asks the host of the callback under way, which is called as the module's context.
    ///
    /// # Panics
    /// Outside of a callback.
    pub(crate) fn ask<R>(call: abi::Invocation, ask: impl FnOnce(&FakeHost) -> R) -> R {
        let callback = Self::current();
        let known = callback.names.borrow().contexts.get(&call.context).copied();
        if let Some(context) = known {
            callback.host.set_context(context);
        }
        ask(&callback.host)
    }

    /// Asks without a context.
    ///
    /// # Panics
    /// Outside of a callback.
    pub(crate) fn host() -> FakeHost {
        Self::current().host
    }

    /// The module answers in the service's place.
    ///
    /// # Panics
    /// Outside of a callback.
    pub(crate) fn reply(call: abi::Invocation, reply: Reply) {
        let callback = Self::current();
        let first = callback.deciding == Some(call.context) && callback.reply.borrow().is_none();
        if first {
            callback.reply.replace(Some(reply));
        } else {
            Self::ask(call, |host| host.reply(&reply));
        }
    }

    /// A callout has begun.
    ///
    /// # Panics
    /// Outside of a callback.
    pub(crate) fn note_callout(hosts: CalloutId, modules: abi::CalloutId) {
        Self::current().names.borrow_mut().callouts.insert(hosts, modules);
    }

    fn current() -> Self {
        CURRENT.with_borrow(Clone::clone).expect("a module calls its host within a callback only")
    }
}
