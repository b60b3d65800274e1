//! `resolve`: one script on the store settles the run that was looked at, or does nothing.

use super::answer::{Draft, random, sealed, sealed_for, secrets};
use super::proof::{Proof, prove};
use super::store::{Question, Store};
use super::verbs::{names, view};
use super::view::{View, printable, utc};
use super::{Answer, End, Resolve};
use idempotency::protocol::{Owner, Settled};
use idempotency::store::redis::settle::Seen;
use idempotency::store::redis::{Call, indexed, settle};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// The longest reason, in characters.
const MAX_REASON: usize = 200;
/// A released record and its tombstone stay that long, as after a gateway's own release: longer than anything can be under way.
const TOMBSTONE: Duration = Duration::from_secs(15 * 60);
/// As long as the plugin may be told to remember a key.
const MAX_KEEP: Duration = Duration::from_secs(720 * 60 * 60);

/// Settles a run. Everything that can be wrong with the wish is told before the store is asked.
pub(super) fn resolve(wish: &Resolve) -> Result<Answer, String> {
    let draft = Draft::read(wish)?;
    let secrets = draft.as_ref().map(|_| secrets(&wish.secret_env)).transpose()?;
    if wish.reason.chars().count() > MAX_REASON || wish.reason.chars().any(char::is_control) {
        return Err(format!("--reason: one line of at most {MAX_REASON} characters"));
    }
    if wish.keep > MAX_KEEP {
        return Err("--keep: at most 720h, as the plugin's ttl".to_owned());
    }
    let mut store = wish.place.open()?;
    let view = view(&mut store, &wish.place.namespace, &wish.id)?;
    let seen = match uncertain(&view, wish.fence) {
        Ok(seen) => seen,
        Err(why) => return Ok(refused(wish, &view, &why)),
    };
    let mut proof = None;
    let answer = match (&draft, &secrets) {
        (Some(draft), Some(secrets)) => {
            let stored = draft.stored(wish.end, seen.fence);
            let (answer, found) = if let Some(request) = &wish.request {
                let names = names(request, &wish.place.namespace, secrets)?;
                (sealed_for(&stored, &seen.name, &names, secrets)?, Proof::Opens)
            } else if secrets.iter().count() > 1 && !wish.trust_secret {
                return Err("nothing in the record tells which of these secrets made its name, and under another one no gateway opens the answer, ever: say --key-env and --path of the request, as for `find` (--trust-secret goes by the order)".to_owned());
            } else {
                (sealed(&stored, &seen.name, &view.names, secrets)?, prove(&mut store, secrets, &seen.name)?)
            };
            if let (Proof::Closed(tried), false) = (found, wish.trust_secret) {
                return Err(format!(
                    "{} opens none of {tried} answers in this store: no gateway would open what it seals. Is it another environment's? (--trust-secret goes on)",
                    wish.secret_env.join(", ")
                ));
            }
            proof = Some(found);
            Some((Owner(random()?), answer))
        }
        _ => None,
    };
    let keep = if answer.is_some() { wish.keep } else { TOMBSTONE };
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let word = format!("{} {}", wish.end.as_str(), wish.reason);
    let call = Call::settle(&seen.name, seen.owner, keep, word.trim_end(), answer);
    let settled = store.ask(&Question::from(&call), settle::settled);
    match settled.map_err(|why| format!("{why}; it may be settled or not: `holdfastctl idempotency show` tells"))? {
        Settled::Yes { now } => Ok(done(&mut store, wish, &view, seen, now, proof)),
        Settled::Running { .. } | Settled::MovedOn => {
            Ok(refused(wish, &view, "it has moved on in between: another run has taken it, or it has ended"))
        }
    }
}

/// The run that may be settled, or why there is none.
fn uncertain(view: &View, fence: Option<u64>) -> Result<&Seen, String> {
    let seen = view.seen().filter(|_| view.stage() == "uncertain").ok_or_else(|| view.stage_in_words())?;
    let noted = view.line.as_ref().map(|line| line.fence);
    match fence.or(noted) {
        Some(wanted) if wanted != seen.fence => Err(format!(
            "it has moved on: the run is {} now, not {wanted}; ask the service about that one, and say --fence {}",
            seen.fence, seen.fence
        )),
        _ => Ok(seen),
    }
}

fn refused(wish: &Resolve, view: &View, why: &str) -> Answer {
    let text = format!("{} is left alone: {why}\n", printable(&wish.id));
    let value = json!({"id": wish.id, "resolved": false, "why": why, "stage": view.stage(), "fence": view.fence()});
    (value, text, ExitCode::FAILURE)
}

/// The line for the records of whoever did it. The index is help: it decides nothing that its line couldn't be taken away.
fn done(store: &mut Store, wish: &Resolve, view: &View, seen: &Seen, now: u64, proof: Option<Proof>) -> Answer {
    let unindex = Call::unindex(&wish.place.namespace, &view.names);
    let tidied = store.ask(&Question::from(&unindex), indexed);
    let (route, tenant) = view.line.as_ref().map_or(("", ""), |line| (&line.route, &line.tenant));
    let proved = proof.map(|proof| proof == Proof::Opens);
    let value = json!({
        "id": wish.id, "resolved": true, "as": wish.end.as_str(), "fence": seen.fence, "at": now, "route": route, "tenant": tenant,
        "reason": wish.reason, "secret_proved": proved, "index": tidied.as_ref().err(),
    });
    let audit = format!(
        "{} resolved as={} id={} fence={} route={:?} tenant={:?} reason={:?}",
        utc(now),
        wish.end.as_str(),
        seen.name.as_str(),
        seen.fence,
        printable(route),
        printable(tenant),
        wish.reason,
    );
    let next = match wish.end {
        End::Release => "its client's next repeat runs",
        End::Done | End::Failed => "its client's next repeat is answered",
    };
    let unproved = "the store has no answer that would tell whether the secret is the gateways': if a repeat gets 409 unknown, it isn't";
    let left = tidied.err().map(|why| format!("its line stays in the index: {why}"));
    let lines = [Some(audit), Some(next.to_owned()), (proved == Some(false)).then(|| unproved.to_owned()), left];
    let text = lines.into_iter().flatten().fold(String::new(), |text, line| format!("{text}{line}\n"));
    (value, text, ExitCode::SUCCESS)
}
