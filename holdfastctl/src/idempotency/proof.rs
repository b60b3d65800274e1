//! Whether a secret is the gateways': one that isn't makes an answer that no gateway opens, and that can't be taken back.
//!
//! Nothing in an uncertain record tells. But a store has other answers, each sealed under the secret that made its name: one that opens is a proof, and
//! several none of which does are a reason to stop.

use super::index::failure;
use super::store::{Question, Store};
use idempotency::seal::{OVERHEAD, open};
use idempotency::secret::Secrets;
use idempotency::store::resp::Reply;
use idempotency::store::{Failure, Name};

/// Pages of keys that are looked through, and keys on each.
const PAGES: usize = 100;
const PAGE: &str = "100";
/// Answers that are tried.
const TRIES: usize = 20;
/// The longest of them.
const LONGEST: i64 = 64 << 10;
/// How names begin.
const NAMES: &str = "{[0-9a-f][0-9a-f][0-9a-f][0-9a-f]}*";

/// What the answers in the store say of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// One opens.
    Opens,
    /// There is none to try.
    NothingToTry,
    /// So many were tried, and none opens.
    Closed(usize),
}

/// Tries answers on the node that has this record.
pub(super) fn prove(store: &mut Store, secrets: &Secrets, name: &Name) -> Result<Proof, String> {
    let (mut cursor, mut tried) = ("0".to_owned(), 0);
    for _ in 0..PAGES {
        let (next, keys) =
            store.ask(&Question::new(&["SCAN", &cursor, "MATCH", NAMES, "COUNT", PAGE], name.as_str()), page)?;
        for key in keys {
            let Some(blob) = answer(store, &key, name)? else { continue };
            if open(secrets, secrets.iter().map(|_| key.as_str()), &blob).is_some() {
                return Ok(Proof::Opens);
            }
            tried += 1;
            if tried == TRIES {
                return Ok(Proof::Closed(tried));
            }
        }
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    Ok(if tried == 0 { Proof::NothingToTry } else { Proof::Closed(tried) })
}

/// A record's sealed answer, if it has one that isn't long. Whatever else has such a name is none.
fn answer(store: &mut Store, key: &str, near: &Name) -> Result<Option<Vec<u8>>, String> {
    let length = store.ask(&Question::new(&["HSTRLEN", key, "a"], near.as_str()), |reply| {
        Ok(if let Reply::Integer(length) = reply { *length } else { 0 })
    })?;
    let fits = length <= LONGEST && usize::try_from(length).is_ok_and(|length| length > OVERHEAD);
    if !fits {
        return Ok(None);
    }
    store.ask(&Question::new(&["HGET", key, "a"], near.as_str()), |reply| {
        Ok(if let Reply::Bulk(answer) = reply { Some(answer.to_vec()) } else { None })
    })
}

fn page(reply: &Reply<'_>) -> Result<(String, Vec<String>), Failure> {
    let Reply::Array(parts) = reply else { return Err(failure(reply)) };
    let [Reply::Bulk(cursor), Reply::Array(keys)] = parts.as_slice() else { return Err(Failure::Unexpected) };
    let text =
        |reply: &Reply<'_>| if let Reply::Bulk(bytes) = reply { String::from_utf8(bytes.to_vec()).ok() } else { None };
    let cursor = String::from_utf8(cursor.to_vec()).map_err(|_| Failure::Unexpected)?;
    Ok((cursor, keys.iter().filter_map(text).collect()))
}
