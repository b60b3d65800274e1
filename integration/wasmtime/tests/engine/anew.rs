//! What a VM hears that was made anew in the middle of everything, as Kong does after a trap and with a changed configuration.
//!
//! The crate that runs the modules elsewhere here never says what a host shouldn't. So here is Wasmtime alone, with a host that does nothing.

use wasmtime::{Engine, Instance, Linker, Module, Store};

/// A VM whose root has begun. Whatever `linker` leaves out does nothing.
pub(crate) fn begun<T: 'static>(
    file: &str,
    host: T,
    linker: impl FnOnce(&Engine) -> Linker<T>,
) -> (Store<T>, Instance) {
    let path = second_engine::folder().join(file);
    let engine = Engine::default();
    let module = Module::from_file(&engine, &path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (mut linker, mut store) = (linker(&engine), Store::new(&engine, host));
    linker.define_unknown_imports_as_default_values(&mut store, &module).expect("a host");
    let instance = linker.instantiate(&mut store, &module).expect("an instance");
    let call = |store: &mut Store<T>| {
        instance.get_typed_func::<(), ()>(&mut *store, "_initialize")?.call(&mut *store, ())?;
        instance.get_typed_func::<(u32, u32), ()>(&mut *store, "proxy_on_context_create")?.call(store, (1, 0))
    };
    call(&mut store).unwrap_or_else(|error| panic!("{file}: {error}"));
    (store, instance)
}

/// Its number was given to the VM before, and tells nothing here. Without the guard the SDK panics, and Kong lets the request go on.
#[test]
fn an_answer_to_a_call_of_the_former_vm_is_nobodys() {
    for file in ["idempotency.wasm", "protocol_health.wasm"] {
        let (mut store, instance) = begun(file, (), Linker::new);
        let answer = instance
            .get_typed_func::<(u32, u32, u32, u32, u32), ()>(&mut store, "proxy_on_http_call_response")
            .expect("a callback");
        for token in [0, 7, u32::MAX] {
            answer.call(&mut store, (1, token, 3, 20, 0)).unwrap_or_else(|error| panic!("{file}: {error:?}"));
        }
    }
}
