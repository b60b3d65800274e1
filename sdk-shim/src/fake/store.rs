//! Shared data with the compare-and-set of each host, which is where they differ most.
//!
//! | write | Envoy | `WasmX` |
//! |---|---|---|
//! | CAS 0, name absent | written | written |
//! | CAS 0, name present | written, unconditionally | mismatch |
//! | other CAS, name absent | written, unchecked | mismatch |
//! | stale CAS | mismatch | mismatch |
//! | empty value | stays as an empty value | deletes |
//! | names are found by | name, per `vm_id` | CRC32 of the name alone |

use super::crc32::crc32;
use crate::flavor::Flavor;
use crate::host::{HostError, Shared};
use std::collections::BTreeMap;

/// All shared data of one process.
#[derive(Debug)]
pub(super) struct Store {
    flavor: Flavor,
    entries: BTreeMap<Slot, Entry>,
    issued: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Named(String, String),
    Hashed(u32),
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    cas: u32,
}

impl Store {
    pub(super) const fn new(flavor: Flavor) -> Self {
        Self { flavor, entries: BTreeMap::new(), issued: BTreeMap::new() }
    }

    pub(super) fn get(&self, vm_id: &str, name: &str) -> Shared {
        self.entries.get(&self.slot(vm_id, name)).map_or_else(Shared::default, Entry::shared)
    }

    pub(super) fn set(&mut self, vm_id: &str, name: &str, value: &[u8], cas: u32) -> Result<(), HostError> {
        match self.flavor {
            Flavor::Envoy => self.set_envoy(vm_id, name, value, cas),
            Flavor::WasmX => self.set_wasmx(vm_id, name, value, cas),
        }
    }

    /// Forgets a name, as an SLRU eviction does.
    pub(super) fn evict(&mut self, vm_id: &str, name: &str) {
        self.entries.remove(&self.slot(vm_id, name));
    }

    /// Forgets whatever stands at a place, counted around.
    pub(super) fn evict_nth(&mut self, n: usize) {
        let nth = n.checked_rem(self.entries.len()).and_then(|n| self.entries.keys().nth(n)).cloned();
        nth.map(|slot| self.entries.remove(&slot));
    }

    fn slot(&self, vm_id: &str, name: &str) -> Slot {
        match self.flavor {
            Flavor::Envoy => Slot::Named(vm_id.to_owned(), name.to_owned()),
            Flavor::WasmX => Slot::Hashed(crc32(name.as_bytes())),
        }
    }

    fn set_envoy(&mut self, vm_id: &str, name: &str, value: &[u8], cas: u32) -> Result<(), HostError> {
        let slot = self.slot(vm_id, name);
        let stale = self.entries.get(&slot).is_some_and(|old| cas != 0 && cas != old.cas);
        if stale {
            return Err(HostError::CasMismatch);
        }
        let issued = self.issued.entry(vm_id.to_owned()).or_default();
        *issued += 1;
        self.entries.insert(slot, Entry { value: value.to_vec(), cas: *issued });
        Ok(())
    }

    fn set_wasmx(&mut self, vm_id: &str, name: &str, value: &[u8], cas: u32) -> Result<(), HostError> {
        let slot = self.slot(vm_id, name);
        let current = self.entries.get(&slot).map_or(0, |old| old.cas);
        if cas != current {
            return Err(HostError::CasMismatch);
        }
        if value.is_empty() {
            self.entries.remove(&slot);
        } else {
            self.entries.insert(slot, Entry { value: value.to_vec(), cas: current + 1 });
        }
        Ok(())
    }
}

impl Entry {
    fn shared(&self) -> Shared {
        let value = Some(self.value.clone()).filter(|value| !value.is_empty());
        Shared { value, version: Some(self.cas) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISMATCH: Result<(), HostError> = Err(HostError::CasMismatch);

    fn filled(flavor: Flavor) -> (Store, u32) {
        let mut store = Store::new(flavor);
        store.set("", "k", b"a", 0).unwrap();
        let version = store.get("", "k").version.unwrap();
        (store, version)
    }

    #[test]
    fn envoy_checks_only_what_exists() {
        let (mut store, version) = filled(Flavor::Envoy);
        assert_eq!(store.set("", "new", b"b", 999), Ok(()));
        assert_eq!(store.set("", "k", b"b", u32::MAX), MISMATCH);
        assert_eq!(store.set("", "k", b"b", version), Ok(()));
        assert_eq!(store.set("", "k", b"c", version), MISMATCH);
        assert_eq!(store.set("", "k", b"d", 0), Ok(()));
        assert_eq!(store.get("", "k").value.unwrap(), b"d");
    }

    #[test]
    fn envoy_inserts_once_with_a_number_never_issued() {
        let mut store = Store::new(Flavor::Envoy);
        assert_eq!(store.set("", "k", b"first", u32::MAX), Ok(()));
        assert_eq!(store.set("", "k", b"second", u32::MAX), MISMATCH);
    }

    #[test]
    fn envoy_keeps_an_empty_value_and_its_version() {
        let (mut store, version) = filled(Flavor::Envoy);
        store.set("", "k", b"", version).unwrap();
        assert_eq!(store.get("", "k"), Shared { value: None, version: Some(version + 1) });
        assert_eq!(store.get("", "never"), Shared::default());
    }

    #[test]
    fn envoy_separates_vm_ids_and_counts_each() {
        let (mut store, version) = filled(Flavor::Envoy);
        assert_eq!(store.get("other", "k"), Shared::default());
        store.set("other", "k", b"z", 0).unwrap();
        assert_eq!(store.get("other", "k").version, Some(version));
    }

    #[test]
    fn wasmx_creates_with_zero_and_else_wants_the_current_number() {
        let (mut store, version) = filled(Flavor::WasmX);
        assert_eq!(store.set("", "k", b"b", 0), MISMATCH);
        assert_eq!(store.set("", "new", b"b", 7), MISMATCH);
        assert_eq!(store.set("", "k", b"b", version), Ok(()));
        assert_eq!(store.set("", "k", b"c", version), MISMATCH);
    }

    #[test]
    fn wasmx_deletes_with_the_current_number_only() {
        let (mut store, version) = filled(Flavor::WasmX);
        assert_eq!(store.set("", "k", b"", 0), MISMATCH);
        assert_eq!(store.set("", "k", b"", version), Ok(()));
        assert_eq!(store.get("", "k"), Shared::default());
    }

    #[test]
    fn wasmx_mixes_up_names_whose_crc32_is_the_same() {
        let mut store = Store::new(Flavor::WasmX);
        store.set("", "rl:7v8zb3yrkzlvtgl2", b"mine", 0).unwrap();
        assert_eq!(store.get("", "rl:py5dosfp93b8glu2").value.unwrap(), b"mine");
        let mut envoy = Store::new(Flavor::Envoy);
        envoy.set("", "rl:7v8zb3yrkzlvtgl2", b"mine", 0).unwrap();
        assert_eq!(envoy.get("", "rl:py5dosfp93b8glu2"), Shared::default());
    }
}
