//! The promise: whoever has one of the secrets, and knows which key it is, reads what was sealed, exactly; anybody else reads and makes nothing.

use idempotency::encoding::hex;
use idempotency::scope::Scope;
use idempotency::seal::{FORM, OVERHEAD, open, seal};
use idempotency::secret::{Secret, Secrets};
use proptest::prelude::*;

const OLD: &str = "an old secret of 30 bytes, yes";
const NEW: &str = "a new secret with more than 16";

const PLAIN: &[u8] = b"what the service answered";

fn secrets(list: &[&str]) -> Secrets {
    Secrets::new(list).unwrap()
}

fn first(secrets: &Secrets) -> &Secret {
    secrets.iter().next().unwrap()
}

/// What a key is called under each of the secrets.
fn names(key: &str, secrets: &Secrets) -> Vec<String> {
    let (method, target) = (&b"POST"[..], &b"/payments"[..]);
    Scope { namespace: "", tenant: &[b"acme"], method, target, key: key.as_bytes() }.names(secrets)
}

/// As a node with these secrets seals it: under the first one, for the first name.
fn sealed(key: &str, list: &[&str], salt: u128, plain: &[u8]) -> Vec<u8> {
    let secrets = secrets(list);
    seal(first(&secrets), &names(key, &secrets)[0], salt, plain)
}

/// As a node with these secrets opens it.
fn opened(key: &str, list: &[&str], blob: &[u8]) -> Option<Vec<u8>> {
    let secrets = secrets(list);
    open(&secrets, names(key, &secrets).iter().map(String::as_str), blob)
}

/// Made of the module's description by another program: Python's `hmac`, and `OpenSSL`'s ChaCha20-Poly1305 in its `cryptography` 48. An
/// upgrade of a crate that changes it would make all stored answers unreadable.
#[test]
fn the_form_is_this() {
    let (secrets, name) = (secrets(&[OLD]), format!("{{1a2b}}{}", "0123456789abcdef".repeat(4)));
    let blob = seal(first(&secrets), &name, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, PLAIN);
    let (head, text, tag) = (
        "01ffeeddccbbaa99887766554433221100",
        "d57513018bd2301ec477caf3e771254d61eefc9179484af424",
        "bf6f705ae028b3f7effc520eab2073c8",
    );
    assert_eq!(hex(&blob), [head, text, tag].concat());
    assert_eq!(open(&secrets, std::iter::once(&*name), &blob), Some(PLAIN.to_vec()));
}

#[test]
fn another_key_opens_nothing() {
    let blob = sealed("k1", &[OLD], 7, PLAIN);
    assert_eq!(opened("k1", &[OLD], &blob), Some(PLAIN.to_vec()));
    assert_eq!(opened("k2", &[OLD], &blob), None, "a record that was copied to another key's name is no answer to it");
}

#[test]
fn another_secret_opens_nothing() {
    let blob = sealed("k1", &[OLD], 7, PLAIN);
    assert_eq!(opened("k1", &[NEW], &blob), None);
    let (new, under_old) = (secrets(&[NEW]), names("k1", &secrets(&[OLD])));
    assert_eq!(open(&new, under_old.iter().map(String::as_str), &blob), None, "and the name alone is not enough");
}

/// Add everywhere, then swap, then drop after the ttl: nodes are one step apart at most.
#[test]
fn while_secrets_change_each_node_opens_what_any_other_sealed() {
    let (before, added, swapped, after): (&[&str], &[&str], &[&str], &[&str]) =
        (&[OLD], &[OLD, NEW], &[NEW, OLD], &[NEW]);
    let opens = |by: &[&str], with: &[&str]| opened("k1", with, &sealed("k1", by, 7, PLAIN)).is_some();
    for (one, other) in [(before, added), (added, swapped)] {
        assert!(opens(one, other) && opens(other, one), "{one:?} and {other:?}");
    }
    assert!(opens(swapped, after) && opens(after, swapped));
    assert!(!opens(added, after), "what the old secret sealed is gone with it: drop it only after the ttl");
}

#[test]
fn nothing_can_be_sealed_too_and_no_blob_is_shorter() {
    let blob = sealed("k1", &[OLD], 7, b"");
    assert_eq!(blob.len(), OVERHEAD);
    assert_eq!(opened("k1", &[OLD], &blob), Some(Vec::new()));
    assert_eq!(opened("k1", &[OLD], b""), None);
}

proptest! {
    #[test]
    fn what_was_sealed_is_opened_exactly(salt in any::<u128>(), plain in prop::collection::vec(any::<u8>(), 0..300)) {
        let blob = sealed("k1", &[OLD, NEW], salt, &plain);
        prop_assert_eq!(blob.len(), plain.len() + OVERHEAD);
        prop_assert_eq!(opened("k1", &[OLD, NEW], &blob), Some(plain.clone()));
        prop_assert_eq!(opened("k1", &[NEW, OLD], &blob), Some(plain));
    }

    #[test]
    fn one_bit_is_enough_to_open_nothing(salt in any::<u128>(), bit in any::<prop::sample::Index>()) {
        let mut blob = sealed("k1", &[OLD], salt, PLAIN);
        let bit = bit.index(blob.len() * 8);
        blob[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(opened("k1", &[OLD, NEW], &blob), None);
    }

    #[test]
    fn a_cut_or_longer_blob_opens_nothing(salt in any::<u128>(), cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        let mut blob = sealed("k1", &[OLD], salt, PLAIN);
        prop_assert_eq!(opened("k1", &[OLD], &blob[..cut.index(blob.len())]), None);
        blob.push(more);
        prop_assert_eq!(opened("k1", &[OLD], &blob), None);
    }

    #[test]
    fn two_salts_have_nothing_in_common(a in any::<u128>(), b in any::<u128>()) {
        let text = |salt| sealed("k1", &[OLD], salt, &[0; 32])[17..49].to_vec();
        prop_assert_eq!(a == b, text(a) == text(b), "the key stream itself, as zeros are sealed");
    }

    #[test]
    fn any_bytes_open_to_nothing_and_never_trap(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = bytes;
        prop_assert_eq!(opened("k1", &[OLD], &bytes), None);
        if let Some(form) = bytes.first_mut() {
            *form = FORM;
        }
        prop_assert_eq!(opened("k1", &[OLD], &bytes), None);
    }
}
