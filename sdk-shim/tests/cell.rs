//! Shared state: changed once by whoever is first, given up after a bounded number of tries, never somebody else's.
#![allow(missing_docs)]

use proptest::prelude::*;
use sdk_shim::cell::{self, CellError, MAX_TRIES, Record};
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::host::HostError;
use std::cell::RefCell;

/// A number; 255 is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u8);

impl Record for Number {
    fn encode(&self) -> Vec<u8> {
        vec![self.0]
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [n] if *n != 255 => Some(Self(*n)),
            _ => None,
        }
    }
}

fn proxies() -> [FakeProxy; 2] {
    [FakeProxy::envoy(), FakeProxy::wasmx()]
}

/// Adds one; gives what it was before.
fn add_one(host: &FakeHost, name: &str) -> Result<u8, CellError> {
    cell::update(host, name, |old: Option<Number>| {
        let old = old.map_or(0, |number| number.0);
        (Some(Number(old + 1)), old)
    })
}

fn number(host: &FakeHost, name: &str) -> Option<Number> {
    cell::read(host, name).unwrap().record
}

fn calls(host: &FakeHost, name: &str) -> usize {
    host.calls().iter().filter(|call| call.name == name).count()
}

/// As this module writes a value: with its owner's name before it.
fn owned_by(name: &str, record: &[u8]) -> Vec<u8> {
    [&u16::try_from(name.len()).unwrap().to_le_bytes()[..], name.as_bytes(), record].concat()
}

#[test]
fn what_one_worker_writes_all_others_read() {
    for proxy in proxies() {
        let [a, b] = [proxy.worker(), proxy.worker()];
        assert_eq!(number(&a, "n"), None);
        assert_eq!((add_one(&a, "n"), add_one(&b, "n"), add_one(&a, "n")), (Ok(0), Ok(1), Ok(2)));
        assert_eq!(number(&b, "n"), Some(Number(3)));
    }
}

#[test]
fn a_change_that_changes_nothing_writes_nothing() {
    for proxy in proxies() {
        let host = proxy.worker();
        let looked = cell::update(&host, "n", |old: Option<Number>| (None, old));
        assert_eq!((looked, calls(&host, "shared_set")), (Ok(None), 0));
    }
}

#[test]
fn who_loses_the_race_decides_again_on_what_the_winner_wrote() {
    for proxy in proxies() {
        let [a, b] = [proxy.worker(), proxy.worker()];
        proxy.on_next_set(Box::new(move || assert_eq!(add_one(&b, "n"), Ok(0))));
        assert_eq!(add_one(&a, "n"), Ok(1));
        assert_eq!(number(&a, "n"), Some(Number(2)));
    }
}

#[test]
fn a_contended_cell_is_an_answer_and_no_stall() {
    for proxy in proxies() {
        let host = proxy.worker();
        proxy.mismatch_next(u32::MAX);
        assert_eq!(add_one(&host, "n"), Err(CellError::Contended));
        assert_eq!((calls(&host, "shared_get"), calls(&host, "shared_set")), (MAX_TRIES, MAX_TRIES));
        proxy.mismatch_next(u32::try_from(MAX_TRIES).unwrap() - 1);
        assert_eq!(add_one(&host, "n"), Ok(0), "the last try counts");
    }
}

#[test]
fn a_host_without_access_says_so_at_once() {
    for proxy in proxies() {
        let host = proxy.worker();
        proxy.fail_shared(true);
        assert_eq!(add_one(&host, "n"), Err(CellError::Unavailable(HostError::Status(10))));
        assert_eq!(calls(&host, "shared_get"), 1);
        assert_eq!(cell::create(&host, "n", &Number(1)), Err(CellError::Unavailable(HostError::Status(10))));
    }
}

#[test]
fn only_one_worker_creates() {
    for proxy in proxies() {
        let [a, b] = [proxy.worker(), proxy.worker()];
        assert_eq!(cell::create(&a, "n", &Number(7)), Ok(true));
        assert_eq!(cell::create(&b, "n", &Number(8)), Ok(false));
        assert_eq!(number(&b, "n"), Some(Number(7)));
    }
}

// --- values that we did not write ---

#[test]
fn what_cant_be_decoded_counts_as_absent_and_is_overwritten() {
    for proxy in proxies() {
        let host = proxy.worker();
        for garbage in [&[255][..], &[1, 2, 3], &[]] {
            proxy.put_shared("n", &owned_by("n", garbage));
            assert_eq!(number(&host, "n"), None);
            assert_eq!(add_one(&host, "n"), Ok(0));
            assert_eq!(number(&host, "n"), Some(Number(1)));
        }
    }
}

#[test]
fn an_emptied_cell_can_be_written_again() {
    for proxy in proxies() {
        let host = proxy.worker();
        add_one(&host, "n").unwrap();
        proxy.put_shared("n", b"");
        assert_eq!((number(&host, "n"), add_one(&host, "n")), (None, Ok(0)));
    }
}

#[test]
fn a_value_that_bears_no_name_or_another_one_is_left_alone() {
    for proxy in proxies() {
        let host = proxy.worker();
        for foreign in
            [&b"x"[..], b"xy", &owned_by("m", &[1]), &owned_by("nn", &[1]), &[255, 255, b'n'], &owned_by("", &[1])]
        {
            proxy.put_shared("n", foreign);
            assert_eq!(cell::read::<_, Number>(&host, "n").unwrap_err(), CellError::Collision);
            assert_eq!(add_one(&host, "n"), Err(CellError::Collision));
            assert_eq!(proxy.shared("n").value.as_deref(), Some(foreign));
        }
    }
}

/// `WasmX` finds values by the CRC32 of their name alone (docs/hosts.md); these two have the same.
#[test]
fn two_names_of_one_crc32_never_read_each_other() {
    let [one, other] = ["rl:7v8zb3yrkzlvtgl2", "rl:py5dosfp93b8glu2"];
    let kong = FakeHost::wasmx();
    assert_eq!(add_one(&kong, one), Ok(0));
    assert_eq!(add_one(&kong, other), Err(CellError::Collision));
    assert_eq!(cell::create(&kong, other, &Number(9)), Ok(false));
    assert_eq!(number(&kong, one), Some(Number(1)));
    let envoy = FakeHost::envoy();
    assert_eq!((add_one(&envoy, one), add_one(&envoy, other)), (Ok(0), Ok(0)));
}

// --- any course of events ---

proptest! {
    /// Each addition counts once, whoever comes in between, as often as it is possible to come in between.
    #[test]
    fn nothing_is_lost_and_nothing_done_twice(turns in prop::collection::vec((0usize..4, prop::option::of(0usize..4)), 1..40), kong: bool) {
        let proxy = if kong { FakeProxy::wasmx() } else { FakeProxy::envoy() };
        let workers = [(); 4].map(|()| proxy.worker());
        let answers = std::rc::Rc::new(RefCell::new(Vec::new()));
        for (worker, between) in turns {
            if let Some(other) = between {
                let (other, answers) = (workers[other].clone(), answers.clone());
                proxy.on_next_set(Box::new(move || answers.borrow_mut().push(add_one(&other, "n").unwrap())));
            }
            let answer = add_one(&workers[worker], "n").unwrap();
            answers.borrow_mut().push(answer);
        }
        let answers = answers.borrow();
        let expected: Vec<u8> = (0..u8::try_from(answers.len()).unwrap()).collect();
        prop_assert_eq!(&*answers, &expected);
    }
}
