//! What idempotency keys cost.
//!
//! | part | question | where |
//! |---|---|---|
//! | costs | CPU time of a request that isn't theirs, in the no-op module's | [`costs`] |
//! | fingerprint | CPU time of a JSON body of 4 KiB in a claim | [`fingerprint`] |
//! | latency | how much longer a claimed request takes, one at a time | [`latency`] |
//! | throughput | claimed requests per second, 256 at a time | [`throughput`] |
//!
//! The rules are those of the whole bench: one Envoy serves all that is compared, on a listener each; short visits in a shuffled order, round after
//! round; what counts is the difference, or the quotient, within a round. Every request has a key of its own, so each is claimed, run and stored.

mod clients;
mod costs;
mod fingerprint;
mod latency;
mod message;
mod service;
mod site;
mod throughput;

use anyhow::{Result, ensure};
use integration::{Wasm, config};
use serde_json::{Value, json};

use crate::Figures;
use crate::args::Args;
use crate::load::Loader;
use crate::stats::SplitMix;

/// What `--only` may name.
const PARTS: [&str; 4] = ["costs", "fingerprint", "latency", "throughput"];

/// All parts that are wanted.
pub(crate) fn all(args: &Args, loader: &Loader) -> Result<Figures> {
    let mut figures = Figures::default();
    ensure!(PARTS.iter().any(|part| part.contains(&args.only)), "--only {:?} is none of {PARTS:?}", args.only);
    let wanted = |part: &str| part.contains(&args.only);
    if wanted("costs") {
        costs::measure(args, loader, &mut figures)?;
    }
    if wanted("fingerprint") {
        fingerprint::measure(args, &mut figures)?;
    }
    if wanted("latency") {
        latency::measure(args, &mut figures)?;
    }
    if wanted("throughput") {
        throughput::measure(args, &mut figures)?;
    }
    Ok(figures)
}

/// The entry of a build of the plugin, on a store and with further settings. Its VM is its own.
pub(crate) fn plugin(build: Wasm, instance: &str, store: &Value, change: &Value) -> Wasm {
    let secret = json!({"secret": [{"literal": "the secret of the bench"}], "insecure_literal": true});
    let secret = if store["kind"] == "memory" { json!({}) } else { secret };
    let basic = json!({"instance": instance, "headers_stop_iteration": true, "store": store});
    let settings = [basic, secret, change.clone()].into_iter().fold(json!({}), config::patch);
    build.vm_id(&format!("idempotency-{instance}")).stop_iteration(true).config(&settings)
}

/// The numbers below `count`, shuffled.
fn shuffled(count: usize, random: &mut SplitMix) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    random.shuffle(&mut order);
    order
}
