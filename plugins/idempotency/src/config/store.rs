//! `store`, and the secrets that it needs.

use super::small;
use crate::policy::{Kind, Login, Remote, Store};
use core::time::Duration;
use sdk_shim::common::{Secret, read_secret};
use sdk_shim::config::{Bounds, Reader};
use sdk_shim::json::Value;

/// Old, new, and two of a change that was stopped half way.
const MOST_SECRETS: usize = 4;
const SECRETS: &str = "{\"env\": \"NAME\"}, or {\"literal\": \"...\"} with \"insecure_literal\": true";
const KINDS: &str = "\"memory\", \"redis\", \"memcached\", \"webdis\"";
const USERNAME: &str = "1 to 128 bytes";
pub(super) const CLUSTER: &str = "1 to 128 visible ASCII characters";

/// What `kind` says.
#[derive(Clone, Copy)]
enum Word {
    Memory,
    Remote(Kind),
    Unknown,
}

/// `None` where it is missing or its kind is unknown; that is a fault.
pub(super) fn read(read: &mut Reader<'_>, insecure_literal: bool) -> Option<Store> {
    if read.raw("store").is_none_or(Value::is_null) {
        read.fault("store", "nothing", format!("an object with a \"kind\": {KINDS}"));
    }
    read.object("store", |read| fields(read, insecure_literal)).flatten()
}

/// In place of none.
pub(super) fn placeholder() -> Store {
    Store::Remote(Remote {
        kind: Kind::Webdis,
        cluster: String::new(),
        timeout: Duration::ZERO,
        cluster_mode: false,
        max_new_connections: 0,
        accept_eviction: false,
        login: Login::default(),
    })
}

fn fields(read: &mut Reader<'_>, insecure_literal: bool) -> Option<Store> {
    let words = [
        ("memory", Word::Memory),
        ("redis", Word::Remote(Kind::Redis)),
        ("memcached", Word::Remote(Kind::Memcached)),
        ("webdis", Word::Remote(Kind::Webdis)),
    ];
    let kind = read.word("kind", Word::Unknown, &words);
    if !read.has("kind") {
        read.fault("kind", "nothing", KINDS);
    }
    let accept_eviction = read.bool("accept_eviction", false);
    match kind {
        Word::Memory => Some(memory(read, accept_eviction)),
        Word::Remote(kind) => {
            let remote = remote(read, kind, accept_eviction, insecure_literal);
            check(read, &remote);
            Some(Store::Remote(remote))
        }
        // Whichever was meant, its fields are known, and their faults are told.
        Word::Unknown => {
            memory(read, accept_eviction);
            remote(read, Kind::Redis, accept_eviction, insecure_literal);
            None
        }
    }
}

/// Bytes of a sealed status and some headers.
const LEAST_PER_SLOT: u64 = 256;

fn memory(read: &mut Reader<'_>, accept_eviction: bool) -> Store {
    let slots = small(read, "slots", 4_096, Bounds::new(1, 1 << 20));
    let max_bytes = read.integer("max_bytes", 64 << 20, Bounds::new(1 << 10, 4 << 30));
    if max_bytes < u64::from(slots) * LEAST_PER_SLOT {
        let allowed = format!("at least {LEAST_PER_SLOT} for each of the {slots} slots");
        read.fault("max_bytes", max_bytes.to_string(), allowed);
    }
    Store::Memory { slots, max_bytes, accept_eviction }
}

fn remote(read: &mut Reader<'_>, kind: Kind, accept_eviction: bool, insecure_literal: bool) -> Remote {
    Remote {
        kind,
        cluster: read.text("cluster", "", CLUSTER, is_cluster),
        timeout: read.duration(
            "timeout",
            Duration::from_millis(250),
            Bounds::new(Duration::from_millis(10), Duration::from_secs(10)),
        ),
        cluster_mode: read.bool("cluster_mode", false),
        max_new_connections: small(read, "max_new_connections", 200, Bounds::new(1, 10_000)),
        accept_eviction,
        login: Login {
            username: read.text("username", "", USERNAME, |name| (1..=128).contains(&name.len())),
            password: read.object("password", |read| read_secret(read, insecure_literal)).flatten(),
            database: small(read, "database", 0, Bounds::new(0, 65_535)),
        },
    }
}

fn check(read: &mut Reader<'_>, remote: &Remote) {
    if !read.has("cluster") {
        read.fault("cluster", "nothing", "what the proxy calls the store: a cluster's name, or \"host:port\" in Kong");
    }
    if remote.cluster_mode && remote.kind != Kind::Redis {
        read.fault("cluster_mode", format!("true with {}", remote.kind.as_str()), "true with \"redis\" only");
    }
    for field in ["username", "password", "database"] {
        if remote.kind != Kind::Redis && read.has(field) {
            read.fault(field, format!("something with {}", remote.kind.as_str()), "something with \"redis\" only");
        }
    }
    if read.has("username") && !read.has("password") {
        read.fault("username", "a name without a password", "both, or a password alone");
    }
    if remote.cluster_mode && remote.login.database > 0 {
        read.fault("database", remote.login.database.to_string(), "0: a Redis Cluster has no other");
    }
    if remote.kind == Kind::Memcached && !remote.accept_eviction {
        let allowed = "true: memcached evicts records when it is full, and then their requests run again";
        read.fault("accept_eviction", "false with memcached", allowed);
    }
}

pub(super) fn is_cluster(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// As many as the store needs. Their lengths are known to a host only: [`crate::policy::Policy::secrets`].
pub(super) fn secrets(read: &mut Reader<'_>, store: Option<&Store>, insecure_literal: bool) -> Vec<Secret> {
    let given = read.raw("secret").map(|list| list.as_array().map_or(1, Vec::len));
    if matches!(store, Some(Store::Memory { .. })) {
        if given.is_some() {
            read.fault("secret", "a secret with a store in memory", "nothing: that one makes a secret of its own");
        }
        return Vec::new();
    }
    let kind = store.and_then(|store| if let Store::Remote(remote) = store { Some(remote.kind) } else { None });
    let most = if kind == Some(Kind::Memcached) { 1 } else { MOST_SECRETS };
    match given {
        None if store.is_some() => read.fault("secret", "nothing", format!("a list; each item {SECRETS}")),
        Some(count) if count == 0 || count > most => {
            let why = if most == 1 { ": memcached can't look up two names at once" } else { "" };
            read.fault("secret", format!("{count} secrets"), format!("1 to {most}{why}"));
        }
        _ => {}
    }
    let secrets = read.objects("secret", SECRETS, |read| read_secret(read, insecure_literal));
    let secrets: Vec<Secret> = secrets.into_iter().flatten().collect();
    // With one missing the others' places would be wrong in what a host finds.
    if Some(secrets.len()) == given { secrets } else { Vec::new() }
}
