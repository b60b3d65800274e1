//! A real Redis Cluster: the slots are the ones that it says, and its redirects lead to the node that grants the claim.
#![allow(clippy::disallowed_methods, reason = "real stores live in real time")]

mod store;

use anyhow::{Context as _, anyhow};
use idempotency::protocol::Answer;
use idempotency::store::redis::cluster::{Kind, slot_of};
use idempotency::store::redis::{Call, Entry, Redirect, claimed, redirect, slot};
use idempotency::store::resp::{self, Reply};
use idempotency::store::{Failure, Names};
use integration::TestResult;
use integration::store::{Redis, RedisCluster};
use store::{LONG, Said, claim, completion, name, redis};

fn names(tag: u32) -> TestResult<Names> {
    Names::new([format!("{{{tag:04x}}}new"), format!("{{{tag:04x}}}old")]).context("names")
}

fn address(cluster: &RedisCluster, node: usize) -> String {
    format!("127.0.0.1:{}", cluster.nodes()[node].port())
}

/// What a node answers, after `ASKING` if need be.
fn said<T>(node: &Redis, call: &Call, asking: bool, read: impl Fn(&Reply<'_>) -> T) -> TestResult<T> {
    let mut bytes = Vec::new();
    if asking {
        resp::command(&mut bytes, [&b"ASKING"[..]]);
    }
    call.in_full(&mut bytes);
    let body = node.call(&bytes)?;
    let reply = resp::replies(&body, 1 + usize::from(asking)).pop().context("no reply")?;
    Ok(read(&reply.map_err(|failure| anyhow!("{failure:?}"))?))
}

/// Where a node sends us.
fn sent(node: &Redis, call: &Call, asking: bool) -> TestResult<Option<Redirect>> {
    said(node, call, asking, redirect)
}

fn ask(node: &Redis, names: &Names, owner: u128, asking: bool) -> TestResult<Result<Answer<Vec<u8>>, Failure>> {
    said(node, &Call::claim(names, &claim(owner, LONG)), asking, claimed)
}

#[test]
fn slots_are_where_redis_says_they_are() -> TestResult {
    let cluster = RedisCluster::start()?;
    let keys =
        ["", "foo", "somekey", "{}foo", "foo{}{bar}", "foo{{bar}}zap", "{bar", "}{", "{a}{b}", "a}b{c}", "{0a1f}"];
    for key in keys {
        assert_eq!(slot_of(key), cluster.slot(key)?, "{key:?}");
    }
    for tag in 0..50 {
        let names = names(tag * 331)?;
        for name in names.iter() {
            assert_eq!(slot(&names), cluster.slot(name.as_str())?, "{name:?}");
        }
    }
    let entry = Entry { names: &names(1)?, fence: 1, route: "", tenant: "" };
    let call = Call::index("shop", &entry, 10, LONG);
    assert_eq!(call.slot(), cluster.slot("{holdfast:shop}:uncertain:ids")?);
    Ok(())
}

#[test]
fn a_redirect_leads_to_the_node_that_grants_the_claim() -> TestResult {
    let cluster = RedisCluster::start()?;
    let names = names(7)?;
    let call = Call::claim(&names, &claim(1, LONG));
    let owner = cluster.owner(slot(&names))?;
    for (index, node) in cluster.nodes().iter().enumerate() {
        let moved = Redirect { kind: Kind::Moved, slot: slot(&names), node: address(&cluster, owner) };
        assert_eq!(sent(node, &call, false)?, (index != owner).then_some(moved));
    }
    Ok(())
}

/// With one secret: of each key one of the two nodes knows.
#[test]
fn while_a_slot_moves_every_claim_of_it_is_served() -> TestResult {
    let cluster = RedisCluster::start()?;
    let (before, during) = (Names::from(name("{0007}before")?), Names::from(name("{0007}during")?));
    let owner = cluster.owner(slot(&before))?;
    let to = (owner + 1) % 3;
    let (old, new) = (&cluster.nodes()[owner], &cluster.nodes()[to]);
    let granted = |said| matches!(said, Ok(Answer::Claimed { .. }));
    assert!(granted(ask(old, &before, 1, false)?));

    cluster.begin_move(slot(&before), to)?;
    // A key that is there is served where it is, to its end.
    assert!(matches!(ask(old, &before, 2, false)?, Ok(Answer::InFlight { .. })));
    assert_eq!(redis::ask(old, &before, &completion(1, b"paid"))?, Said::Complete(true));
    // One that isn't: whoever asks is sent on, once.
    let call = Call::claim(&during, &claim(2, LONG));
    let sent_on = Redirect { kind: Kind::Ask, slot: slot(&before), node: address(&cluster, to) };
    assert_eq!(sent(old, &call, false)?, Some(sent_on));
    assert_eq!(sent(new, &call, false)?.map(|redirect| redirect.kind), Some(Kind::Moved));
    assert!(granted(ask(new, &during, 2, true)?));

    cluster.end_move(slot(&before), to)?;
    assert_eq!(ask(new, &before, 3, false)?, Ok(Answer::Done(b"paid".to_vec())));
    assert_eq!(redis::ask(new, &during, &completion(2, b"paid"))?, Said::Complete(true));
    assert_eq!(sent(old, &call, false)?.map(|redirect| redirect.kind), Some(Kind::Moved));
    Ok(())
}

/// With more than one: what `cluster.rs` says about it.
#[test]
fn while_a_slot_moves_and_secrets_are_rotated_claims_fail_and_afterwards_they_do_not() -> TestResult {
    let cluster = RedisCluster::start()?;
    let names = names(7)?;
    let owner = cluster.owner(slot(&names))?;
    let to = (owner + 1) % 3;
    let (old, new) = (&cluster.nodes()[owner], &cluster.nodes()[to]);
    assert!(matches!(ask(old, &names, 1, false)?, Ok(Answer::Claimed { .. })));

    cluster.begin_move(slot(&names), to)?;
    let said = ask(old, &names, 2, false)?;
    assert!(matches!(&said, Err(Failure::Refused(why)) if why.starts_with("TRYAGAIN")), "{said:?}");
    cluster.end_move(slot(&names), to)?;
    assert!(matches!(ask(new, &names, 2, false)?, Ok(Answer::InFlight { .. })));
    Ok(())
}
