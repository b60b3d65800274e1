//! Any bytes as what a store kept: a record, a service's answer, a sealed blob. Refused, or read exactly, and then every decision can be taken on it.
//! The first byte says as which of them.
#![no_main]

use idempotency::protocol::{Claim, Fingerprint, Owner, Record, Write, abandon, claim, complete};
use idempotency::seal::{FORM, OVERHEAD, open, seal};
use idempotency::secret::Secrets;
use idempotency::store::record;
use idempotency::stored::Stored;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SECRETS: LazyLock<Secrets> =
    LazyLock::new(|| Secrets::new(&["a secret of more than 16 bytes", "another secret of 26 bytes"]).unwrap());

const NAMES: [&str; 2] = ["{0000}a", "{0000}b"];

fuzz_target!(|input: &[u8]| {
    let [what, rest @ ..] = input else { return };
    match what % 3 {
        0 => kept(rest),
        1 => answer(rest),
        _ => sealed(rest),
    }
});

/// Numbers for everything that is not the record, taken from the front of the input.
fn take(bytes: &mut &[u8]) -> u64 {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return 0 };
    *bytes = rest;
    u64::from_le_bytes(*head)
}

fn kept(mut bytes: &[u8]) {
    let [lease, ttl, now] = [(); 3].map(|()| take(&mut bytes));
    let Some(found) = record::decode(bytes) else { return };
    assert_eq!(record::encode(&found), bytes, "a record has one encoding");
    let owners = [found.owner, Owner(!found.owner.0)];
    let fingerprints = [found.fingerprint, Fingerprint { version: !found.fingerprint.version, ..found.fingerprint }];
    for (owner, fingerprint) in owners.into_iter().zip(fingerprints) {
        let wish = |reexecute| Claim { owner, fingerprint, others: vec![[7; 32]], lease, ttl, reexecute };
        for (reexecute, tombstone) in [(false, false), (true, false), (true, true)] {
            is_kept(claim(Some(&found), tombstone, &wish(reexecute), now).1);
        }
        is_kept(complete(Some(&found), owner, b"sealed".to_vec(), ttl, now).1);
        is_kept(abandon(Some(&found), owner, lease, now).1);
    }
}

fn is_kept(write: Write<Vec<u8>>) {
    let Write::Put(next) = write else { return };
    let again: Option<Record<Vec<u8>>> = record::decode(&record::encode(&next));
    assert_eq!(again, Some(next), "what is decided can be stored");
}

fn answer(bytes: &[u8]) {
    let Some(stored) = Stored::decode(bytes) else { return };
    assert_eq!(stored.encode(), bytes, "an answer has one encoding");
    let reply = stored.reply();
    assert!(reply.status == stored.status && reply.headers.len() <= stored.headers.len() + 2);
}

fn sealed(bytes: &[u8]) {
    let open = |blob: &[u8]| open(&SECRETS, NAMES.into_iter(), blob);
    assert_eq!(open(bytes), None, "nobody makes up an answer");
    assert_eq!(open(&[&[FORM], bytes].concat()), None);
    let mut rest = bytes;
    let (salt, which) = (u128::from(take(&mut rest)), take(&mut rest));
    for (secret, name) in SECRETS.iter().zip(NAMES) {
        let mut blob = seal(secret, name, salt, rest);
        assert_eq!((blob.len(), open(&blob).as_deref()), (rest.len() + OVERHEAD, Some(rest)));
        let bit = usize::try_from(which).unwrap_or(0) % (blob.len() * 8);
        blob[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&blob), None, "one bit is enough");
    }
}
