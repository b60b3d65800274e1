//! How fast a GraphQL answer is looked at, natively: 1 MiB of a list of orders, in pieces as a proxy hands them over.

use std::time::Instant;

use protocol_health::graphql::{Codes, Scan, verdict};
use sdk_shim::outcome::Outcome;
use serde_json::json;

use crate::stats::{Estimate, median};
use crate::verdict::{Bound, Verdict};

/// Bytes.
const ANSWER: usize = 1 << 20;
const PIECE: usize = 16 * 1024;
const ROUNDS: usize = 101;
/// MB per second.
const PROMISED: f64 = 300.0;

/// Measures, and judges by the promise: the median, and the fifth slowest and fastest of the rounds.
pub(crate) fn measure() -> Verdict {
    let (answer, codes) = (answer(), Codes::default());
    let mut speeds: Vec<f64> = (0..ROUNDS).map(|_| speed(&answer, &codes)).collect();
    speeds.sort_by(f64::total_cmp);
    let measured = Estimate { value: median(&speeds), low: speeds[4], high: speeds[ROUNDS - 5] };
    let promise = "GraphQL scanner, 1 MiB natively".into();
    Verdict { promise, unit: "MB/s", bound: Bound::AtLeast(PROMISED), measured }
}

/// Orders, with texts that have escapes and brackets in them.
fn answer() -> Vec<u8> {
    let order = |n: usize| json!({"id": n, "note": "two \"apples\" [and] {a pear}", "lines": [{"sku": "a-1", "price": 1.5, "tags": null}]});
    let mut orders = Vec::new();
    let mut size = 0;
    while size < ANSWER {
        let order = order(orders.len());
        size += order.to_string().len() + 1;
        orders.push(order);
    }
    json!({"data": {"orders": orders}}).to_string().into_bytes()
}

fn speed(answer: &[u8], codes: &Codes) -> f64 {
    let (began, mut scan) = (Instant::now(), Scan::new(usize::MAX));
    answer.chunks(PIECE).for_each(|piece| scan.feed(piece, codes));
    assert_eq!(verdict(200, &scan.end()), Outcome::Ok);
    // Far below 2^52 bytes.
    #[allow(clippy::cast_precision_loss)]
    let bytes = answer.len() as f64;
    bytes / began.elapsed().as_secs_f64() / 1e6
}
