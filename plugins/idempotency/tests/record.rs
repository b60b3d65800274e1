//! What is stored is read back, and nothing else is taken for it.

use idempotency::protocol::{Fingerprint, Owner, Record, Stage};
use idempotency::store::record::{FORM, HEAD, decode, encode};
use proptest::prelude::*;

fn stage() -> impl Strategy<Value = Stage<Vec<u8>>> {
    let answer = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        any::<u64>().prop_map(|lease| Stage::Claimed { lease }),
        Just(Stage::Released),
        answer.prop_map(Stage::Done),
    ]
}

fn record() -> impl Strategy<Value = Record<Vec<u8>>> {
    (any::<u128>(), any::<u64>(), any::<u64>(), any::<[u8; 32]>(), any::<u64>(), stage()).prop_map(
        |(owner, fence, version, digest, expires, stage)| {
            let fingerprint = Fingerprint { version, digest };
            Record { owner: Owner(owner), fence, fingerprint, stage, expires }
        },
    )
}

/// Written out, so that a change of the form without a change of its number is noticed.
#[test]
fn the_form_is_this() {
    let fingerprint = Fingerprint { version: 0x0102, digest: [7; 32] };
    let claimed = Record { owner: Owner(1), fence: 2, fingerprint, stage: Stage::Claimed { lease: 4 }, expires: 3 };
    let number = |number: u8| [number, 0, 0, 0, 0, 0, 0, 0];
    let owner = [number(1), number(0)].concat();
    let head = [owner.clone(), number(2).into(), vec![2, 1, 0, 0, 0, 0, 0, 0], vec![7; 32], number(3).into()].concat();
    assert_eq!(encode(&claimed), [&[1, 0][..], &head, &number(4)].concat());
    let done = Record { stage: Stage::Done(b"sealed".to_vec()), ..claimed };
    assert_eq!(encode(&done), [&[1, 1][..], &head, b"sealed"].concat());
    let released = Record::released(Owner(1), 2, 3);
    let head = [owner, number(2).into(), vec![0; 40], number(3).into()].concat();
    assert_eq!(encode(&released), [&[1, 2][..], &head].concat());
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(record in record()) {
        prop_assert_eq!(decode(&encode(&record)), Some(record));
    }

    #[test]
    fn a_cut_record_is_refused(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&record);
        let least = if matches!(record.stage, Stage::Done(_)) { HEAD } else { bytes.len() };
        let cut = cut.index(least);
        prop_assert_eq!(decode(&bytes[..cut]), None);
    }

    #[test]
    fn what_is_longer_and_no_answer_or_of_another_form_is_refused(record in record(), form in any::<u8>(), more in any::<u8>()) {
        let mut bytes = encode(&record);
        bytes[0] = form;
        prop_assert_eq!(decode(&bytes).is_some(), form == FORM);
        bytes[0] = FORM;
        bytes.push(more);
        prop_assert_eq!(decode(&bytes).is_some(), matches!(record.stage, Stage::Done(_)));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_trap(bytes in prop::collection::vec(any::<u8>(), 0..120), begin in 0..4_u8) {
        let mut bytes = bytes;
        if let (1.., [form, stage, ..]) = (begin, bytes.as_mut_slice()) {
            (*form, *stage) = (FORM, begin - 1);
        }
        if let Some(record) = decode(&bytes) {
            prop_assert_eq!(encode(&record), bytes);
        }
    }
}
