//! The availability objective, and how fast its error budget burns (Site Reliability Workbook, ch. 5: several windows, several rates).
//!
//! What a client sees as the service's fault counts: the service failed, was too late or couldn't be reached; Holdfast refused in its place; a pool was
//! full. What is the caller's own doing doesn't, nor do replays.

use super::labels::{CAUSE, OUTCOME, PLUGIN, REGION, ROUTE};
use super::rules::Recording;
use super::table::{REJECTIONS, REQUESTS, UPSTREAM_ERRORS};

/// The share of requests that may fail: an objective of 99.9 %.
pub const ERROR_BUDGET: &str = "0.001";

/// Both windows of each rate at which the budget may burn.
pub const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// The recorded share of failed requests in a window.
pub fn error_ratio(window: &str) -> String {
    format!("holdfast:errors:ratio_rate{window}")
}

/// Each window's share.
pub fn recordings() -> Vec<Recording> {
    WINDOWS.map(|window| Recording::new(&error_ratio(window), ratio(window))).into()
}

/// Burns `factor` times as fast as the budget allows, over the long window and still now.
pub fn burns(factor: &str, long: &str, short: &str) -> String {
    let [long, short] = [long, short].map(error_ratio);
    format!("({long} > {factor} * {ERROR_BUDGET} and {short} > {factor} * {ERROR_BUDGET})")
}

/// A share of 0 where nothing failed: the counters of failures don't exist before the first one.
fn ratio(window: &str) -> String {
    let total = format!("sum by ({REGION}, {ROUTE}) (rate({REQUESTS}[{window}]))");
    let failed = format!(
        "sum by ({REGION}, {ROUTE}) (\n    rate({REQUESTS}{{{OUTCOME}=~\"timeout|server_fault|unreachable\"}}[{window}])\n    \
         or rate({REJECTIONS}{{{PLUGIN}=~\"circuit-breaker|retry-budget\"}}[{window}])\n    \
         or rate({REJECTIONS}{{{PLUGIN}=\"idempotency\",{CAUSE}=\"store\"}}[{window}])\n    \
         or rate({UPSTREAM_ERRORS}{{{CAUSE}=\"pool_overflow\"}}[{window}])\n  )"
    );
    format!("(\n  {failed}\n  or 0 * {total}\n)\n/ ({total} > 0)")
}
