//! The protocol's edges, each as a few lines; what they add up to is checked in `model.rs`, and against real stores in `integration/`.

use idempotency::protocol::{
    Answer, Claim, Fingerprint, Owner, Record, Settled, Stage, Write, abandon, claim, complete, settle,
};

type Found = Record<&'static str>;

const OURS: Fingerprint = Fingerprint { version: 1, digest: [1; 32] };

fn wish() -> Claim {
    Claim { owner: Owner(2), fingerprint: OURS, others: vec![[3; 32], [4; 32]], lease: 10, ttl: 100, reexecute: true }
}

fn found(stage: Stage<&'static str>) -> Found {
    Record { owner: Owner(1), fence: 7, fingerprint: OURS, stage, expires: 50 }
}

fn of(digest: u8) -> Found {
    Record { fingerprint: Fingerprint { digest: [digest; 32], ..OURS }, ..found(Stage::Done("paid")) }
}

#[test]
fn a_record_is_recognised_by_its_digest_under_any_secret_and_by_no_other() {
    for (digest, answer) in
        [(1, Answer::Done("paid")), (3, Answer::Done("paid")), (4, Answer::Done("paid")), (5, Answer::Mismatch)]
    {
        assert_eq!(claim(Some(&of(digest)), false, &wish(), 20), (answer, Write::Keep), "digest {digest}");
    }
    // Of another version nothing is known, whatever the digest.
    let newer = Record { fingerprint: Fingerprint { version: 2, ..OURS }, ..of(1) };
    assert_eq!(claim(Some(&newer), false, &wish(), 20), (Answer::Unknown, Write::Keep));
}

#[test]
fn who_takes_over_writes_the_digest_of_his_first_secret() {
    let before = Record { fingerprint: Fingerprint { digest: [4; 32], ..OURS }, ..found(Stage::Claimed { lease: 20 }) };
    let (answer, Write::Put(after)) = claim(Some(&before), false, &wish(), 20) else { panic!("nothing was written") };
    assert_eq!((answer, after.fingerprint, after.owner), (Answer::Claimed { fence: 20 }, OURS, Owner(2)));
}

#[test]
fn a_released_key_is_free_for_any_request_with_a_higher_fence() {
    let stage = Stage::Claimed { lease: 12 };
    for (fence, now, next) in [(7, 20, 20), (19, 20, 20), (20, 20, 21), (30, 20, 31), (u64::MAX, 20, u64::MAX)] {
        let held = Record { fence, ..found(stage.clone()) };
        let (true, Write::Put(released)) = abandon(Some(&held), Owner(1), 60, now) else { panic!("not released") };
        assert_eq!(released, Record::released(Owner(1), fence, now + 60));
        let other = Claim { fingerprint: Fingerprint { version: 9, digest: [9; 32] }, ..wish() };
        assert_eq!(claim(Some(&released), false, &other, now).0, Answer::Claimed { fence: next });
        assert_eq!(claim(Some(&released), true, &other, now).0, Answer::Abandoned);
        // When the mark is over, the clock alone counts.
        assert_eq!(claim(Some(&released), false, &other, now + 60).0, Answer::Claimed { fence: now + 60 });
    }
}

#[test]
fn a_released_claim_can_neither_be_completed_nor_released_again() {
    let released = Record::released(Owner(1), 7, 50);
    assert_eq!(complete(Some(&released), Owner(1), "paid", 100, 20), (false, Write::Keep));
    assert_eq!(abandon(Some(&released), Owner(1), 100, 20), (false, Write::<&str>::Keep));
}

/// A store may give a record for a moment longer than it lives; another one may have been run by then.
#[test]
fn what_is_over_is_not_there_for_anybody() {
    let held = found(Stage::Claimed { lease: 40 });
    assert!(complete(Some(&held), Owner(1), "paid", 100, 49).0);
    assert_eq!(complete(Some(&held), Owner(1), "paid", 100, 50), (false, Write::Keep));
    assert_eq!(complete(Some(&of(1)), Owner(1), "paid", 100, 50), (false, Write::Keep));
    assert!(abandon(Some(&held), Owner(1), 100, 49).0);
    assert_eq!(abandon(Some(&held), Owner(1), 100, 50), (false, Write::Keep));
    assert_eq!(claim(Some(&held), false, &wish(), 50).0, Answer::Claimed { fence: 50 });
}

#[test]
fn only_the_owner_ends_a_claim() {
    let held = found(Stage::Claimed { lease: 40 });
    assert_eq!(complete(Some(&held), Owner(2), "paid", 100, 20), (false, Write::Keep));
    assert_eq!(abandon(Some(&held), Owner(2), 100, 20), (false, Write::Keep));
    let done = Record { stage: Stage::Done("paid"), expires: 120, ..held.clone() };
    assert_eq!(complete(Some(&held), Owner(1), "paid", 100, 20), (true, Write::Put(done.clone())));
    assert_eq!(complete(Some(&done), Owner(1), "another", 100, 21), (true, Write::Keep));
    assert_eq!(complete(Some(&done), Owner(2), "another", 100, 21), (false, Write::Keep));
    assert_eq!(abandon(Some(&done), Owner(1), 100, 21), (false, Write::Keep));
}

#[test]
fn an_operator_settles_the_uncertain_run_that_was_looked_at_and_nothing_else() {
    let over = found(Stage::Claimed { lease: 20 });
    let paid = Some((Owner(9), "paid"));
    assert_eq!(settle(Some(&over), Owner(1), paid, 10, 19), (Settled::Running { remaining: 1 }, Write::Keep));
    for ended in [found(Stage::Released), found(Stage::Done("paid")), Record { owner: Owner(3), ..over.clone() }] {
        assert_eq!(settle(Some(&ended), Owner(1), paid, 10, 20), (Settled::MovedOn, Write::Keep), "{ended:?}");
    }
    assert_eq!(settle(None, Owner(1), paid, 10, 20), (Settled::MovedOn, Write::Keep));
    assert_eq!(settle(Some(&over), Owner(1), paid, 10, 50), (Settled::MovedOn, Write::Keep), "forgotten by then");

    // Kept for as long as it was to be, and at least as long as the operator says; the service's own answer is too late then, and is told so.
    for (keep, expires) in [(10, 50), (100, 120)] {
        let (Settled::Yes { now: 20 }, Write::Put(done)) = settle(Some(&over), Owner(1), paid, keep, 20) else {
            panic!("not settled")
        };
        assert_eq!(done, Record { owner: Owner(9), stage: Stage::Done("paid"), expires, ..over.clone() });
        assert_eq!(claim(Some(&done), false, &wish(), 21).0, Answer::Done("paid"));
        assert_eq!(complete(Some(&done), Owner(1), "late", 100, 21), (false, Write::Keep));
    }
    let (_, Write::Put(free)) = settle(Some(&over), Owner(1), None, 10, 20) else { panic!("not settled") };
    assert_eq!(free, Record::released(Owner(1), 7, 30));
    assert_eq!(claim(Some(&free), false, &wish(), 21).0, Answer::Claimed { fence: 21 });
    assert_eq!(complete(Some(&free), Owner(1), "late", 100, 21), (false, Write::Keep));
}
