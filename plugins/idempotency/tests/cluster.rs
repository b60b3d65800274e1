//! Redis Cluster: the slots are Redis' own (`integration/tests/stores_cluster.rs` asks one), and only redirects that can be followed are.

use idempotency::store::redis::cluster::{Kind, SLOTS, slot_of};
use idempotency::store::redis::{Redirect, redirect, slot};
use idempotency::store::resp::{Reply, replies};
use idempotency::store::{Name, Names};
use proptest::prelude::*;

fn to(message: &str) -> Option<Redirect> {
    redirect(&Reply::Error(message.as_bytes()))
}

fn moved(slot: u16, node: &str) -> Redirect {
    Redirect { kind: Kind::Moved, slot, node: node.to_owned() }
}

/// The first is the check value of CRC-16/XMODEM in Redis Cluster's specification; the others are what redis-server 7.0 answered to
/// `CLUSTER KEYSLOT`.
#[test]
fn a_key_is_in_the_slot_where_redis_says_it_is() {
    assert_eq!(slot_of("123456789"), 0x31c3 % SLOTS);
    for (key, slot) in [
        ("", 0),
        ("foo", 12182),
        ("somekey", 11058),
        ("foo{hash_tag}", 2515),
        ("bar{hash_tag}", 2515),
        ("hash_tag", 2515),
        ("{}foo", 9500),
        ("foo{}{bar}", 8363),
        ("foo{{bar}}zap", 4015),
        ("{bar", 4015),
        ("{user1000}.following", 3443),
    ] {
        assert_eq!(slot_of(key), slot, "{key:?}");
    }
    let names = Names::from(Name::new("{user1000}.following").unwrap());
    assert_eq!(slot(&names), 3443);
}

#[test]
fn a_redirect_is_followed() {
    assert_eq!(to("MOVED 3999 127.0.0.1:6381"), Some(moved(3999, "127.0.0.1:6381")));
    let ask = to("ASK 0 redis-2.eu_west.example:65535").unwrap();
    assert_eq!((ask.kind, ask.slot, ask.node.as_str()), (Kind::Ask, 0, "redis-2.eu_west.example:65535"));
    assert!(ask.is_ask());
    assert!(!to("MOVED 16383 a:1").unwrap().is_ask());
}

/// Redis writes the address as it is; a header wants brackets.
#[test]
fn an_ipv6_node_gets_its_brackets() {
    for (said, node) in [
        ("MOVED 1 ::1:6381", "[::1]:6381"),
        ("MOVED 1 2001:db8::7:6381", "[2001:db8::7]:6381"),
        ("MOVED 1 [2001:DB8::7]:6381", "[2001:DB8::7]:6381"),
        ("MOVED 1 ::ffff:10.0.0.1:6381", "[::ffff:10.0.0.1]:6381"),
    ] {
        assert_eq!(to(said), Some(moved(1, node)), "{said}");
    }
}

#[test]
fn what_is_no_redirect_or_leads_nowhere_is_not_followed() {
    let long = format!("MOVED 1 {}:1", "a".repeat(254));
    for said in [
        "",
        "MOVED",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED 16384 a:1",
        "MOVED -1 a:1",
        "MOVED +1 a:1",
        "MOVED  1 a:1",
        "MOVED 1 a:1 ",
        "MOVED 1 a:1 b",
        "MOVED 1 a",
        "MOVED 1 a:",
        "MOVED 1 a:0",
        "MOVED 1 a:65536",
        "MOVED 1 a:+1",
        "MOVED 1 a:1x",
        // The node doesn't know its own name.
        "MOVED 1 :6381",
        "MOVED 1 ?:6381",
        "MOVED 1 a/b:1",
        "MOVED 1 a@b:1",
        "MOVED 1 a\t:1",
        "MOVED 1 a\r\nx-evil: 1:1",
        "MOVED 1 [a]:1",
        "MOVED 1 []:1",
        "MOVED 1 [ab]:1",
        "MOVED 1 [::1:1",
        "MOVED 1 ::g:1",
        "MOVED 1 ::1%eth0:1",
        "moved 1 a:1",
        "MOVEDX 1 a:1",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "ERR MOVED 1 a:1",
        &long,
    ] {
        assert_eq!(to(said), None, "{said:?}");
    }
    assert_eq!(redirect(&Reply::Simple(b"MOVED 1 a:1")), None);
    assert_eq!(redirect(&Reply::Error(b"MOVED 1 \xff:1")), None);
}

proptest! {
    /// It goes into a header of the tunnel.
    #[test]
    fn a_node_is_a_host_and_a_port_and_nothing_else(kind in "MOVED|ASK", slot in 0..20_000_u32, node in "[a-f0-9:.?@/\\[\\] _-]{0,40}", noise in "\\PC{0,60}") {
        for message in [format!("{kind} {slot} {node}"), noise] {
            let Some(redirect) = to(&message) else { continue };
            prop_assert!(redirect.slot < SLOTS);
            let (host, port) = redirect.node.rsplit_once(':').unwrap();
            prop_assert!(port.parse::<u16>().is_ok_and(|port| port > 0));
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let clean = bare.map_or(!host.contains(':'), |host| host.contains(':'));
            prop_assert!(clean && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"[]:._-".contains(&byte)), "{host}");
        }
    }

    #[test]
    fn a_hash_tag_alone_decides(tag in "[a-z0-9]{1,9}", one in "[a-z]{0,9}", other in "[a-z}]{0,9}") {
        prop_assert_eq!(slot_of(&format!("{{{tag}}}{one}")), slot_of(&tag));
        prop_assert_eq!(slot_of(&format!("{one}{{{tag}}}{other}")), slot_of(&tag));
    }
}

#[test]
fn a_redirect_in_a_pipeline_is_read_like_any_reply() {
    let read = replies(b"-MOVED 3999 127.0.0.1:6381\r\n+OK\r\n", 2);
    assert_eq!(redirect(read[0].as_ref().unwrap()), Some(moved(3999, "127.0.0.1:6381")));
    assert_eq!(redirect(read[1].as_ref().unwrap()), None);
}
