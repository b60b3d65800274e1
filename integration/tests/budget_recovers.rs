//! What retries are for: failures that pass. The budget lets them.

mod budget;

use budget::{Story, entries, route};
use integration::{Fault, TestResult};
use serde_json::json;

const REQUESTS: usize = 1_000;

/// Requests that succeed while one attempt in ten fails.
fn successes(story: &Story) -> TestResult<usize> {
    story.orders.set(Fault::Random { percent: 10, status: 503 });
    Ok(story.many(REQUESTS)?.status(200))
}

#[test]
fn one_failure_in_ten_is_hidden_as_well_as_by_unlimited_retries() -> TestResult {
    let unlimited = Story::without_budget(&route())?;
    let best = successes(&unlimited)?;
    assert!(best >= REQUESTS * 99 / 100 && unlimited.retries() > 50, "{best}, by {} retries", unlimited.retries());

    let story = Story::on(&route(), &entries(json!({"min_retries_per_second": 1}))?.both())?;
    let good = successes(&story)?;
    assert!(good + REQUESTS / 100 >= best, "{good} of {REQUESTS} succeed, {best} with unlimited retries");
    Ok(())
}
