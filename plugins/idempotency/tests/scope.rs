//! The promise: two requests have a name in common only if namespace, tenant, method, path and key are the same, and whoever has one of the secrets
//! finds the name that was written under it, on the same node of a cluster.

use idempotency::scope::Scope;
use idempotency::secret::{MIN_SECRET, SecretFault, Secrets};
use proptest::prelude::*;

const OLD: &str = "an old secret of 30 bytes, yes";
const NEW: &str = "a new secret with more than 16";

fn secrets(list: &[&str]) -> Secrets {
    Secrets::new(list).unwrap()
}

/// What a name must tell apart, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    namespace: String,
    tenant: Vec<Vec<u8>>,
    method: Vec<u8>,
    path: Vec<u8>,
    key: Vec<u8>,
}

impl Meaning {
    fn names(&self, secrets: &Secrets, query: &[u8]) -> Vec<String> {
        let tenant: Vec<&[u8]> = self.tenant.iter().map(Vec::as_slice).collect();
        let target = [&self.path[..], query].concat();
        let (namespace, method, key) = (&*self.namespace, &*self.method, &*self.key);
        Scope { namespace, tenant: &tenant, method, target: &target, key }.names(secrets)
    }
}

fn payment() -> Meaning {
    let tenant = vec![b"acme".to_vec()];
    Meaning {
        namespace: "pay".into(),
        tenant,
        method: b"POST".to_vec(),
        path: b"/payments".to_vec(),
        key: b"k1".to_vec(),
    }
}

/// Of few letters, so that shifted boundaries are likely.
fn meaning() -> impl Strategy<Value = Meaning> {
    let bytes = || prop::collection::vec(prop::sample::select(&b"a/\0\x01"[..]), 0..3);
    let tenant = prop::collection::vec(bytes(), 0..3);
    ("a{0,2}", tenant, bytes(), bytes(), bytes()).prop_map(|(namespace, tenant, method, path, key)| Meaning {
        namespace,
        tenant,
        method,
        path,
        key,
    })
}

#[test]
fn a_name_is_a_hash_tag_and_64_hex_digits() {
    for name in payment().names(&secrets(&[OLD, NEW]), b"") {
        assert_eq!(name.len(), 70);
        let (tag, digest) = name.strip_prefix('{').unwrap().split_once('}').unwrap();
        assert!(u16::from_str_radix(tag, 16).unwrap() < 1 << 14 && tag.len() == 4, "{name}");
        assert!(digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{name}");
    }
}

#[test]
fn there_is_one_name_for_each_secret_in_their_order() {
    let (both, swapped) = (payment().names(&secrets(&[OLD, NEW]), b""), payment().names(&secrets(&[NEW, OLD]), b""));
    assert_eq!(both, swapped.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(payment().names(&secrets(&[OLD]), b""), both[..1]);
    assert_ne!(both[0], both[1]);
    assert_eq!(both[0][..6], both[1][..6], "one hash tag");
}

#[test]
fn the_query_is_not_in_the_name() {
    assert_eq!(payment().names(&secrets(&[OLD]), b"?a=1"), payment().names(&secrets(&[OLD]), b""));
}

#[test]
fn hash_tags_spread() {
    let of = |n: u32| {
        Meaning { key: n.to_string().into_bytes(), ..payment() }.names(&secrets(&[OLD]), b"")[0][..6].to_owned()
    };
    let tags: std::collections::HashSet<_> = (0..2_000).map(of).collect();
    assert!(tags.len() > 1_800, "{} of 2000", tags.len());
}

#[test]
fn secrets_have_a_length_and_are_there_once() {
    assert_eq!(Secrets::new::<&str>(&[]), Err(SecretFault::Missing));
    let short = "s".repeat(MIN_SECRET - 1);
    assert_eq!(Secrets::new(&[OLD, &short]), Err(SecretFault::TooShort { index: 1, len: 15 }));
    assert!(Secrets::new(&["s".repeat(MIN_SECRET)]).is_ok());
    assert_eq!(Secrets::new(&[OLD, NEW, OLD]), Err(SecretFault::Twice { index: 2 }));
    assert_eq!(format!("{:?}", secrets(&[OLD])), "Secrets([Secret(..)])");
    assert!(secrets(&[OLD, NEW]) != secrets(&[NEW, OLD]));
}

proptest! {
    #[test]
    fn two_scopes_share_a_name_only_if_they_are_one(a in meaning(), b in meaning()) {
        let both = secrets(&[OLD, NEW]);
        let (x, y) = (a.names(&both, b""), b.names(&both, b"?q"));
        prop_assert_eq!(a == b, x.iter().any(|name| y.contains(name)), "{:?} {:?}", a, b);
        prop_assert_eq!(a == b, x == y);
    }
}
