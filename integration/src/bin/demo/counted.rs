//! What Holdfast itself counted, as Prometheus would read it from Envoy: the tables that an SRE looks at first.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use integration::envoy::Prometheus;

use crate::report::grouped;

const REQUESTS: &str = "holdfast_requests_total";
const ATTEMPTS: &str = "holdfast_attempts_total";

/// Requests and attempts of each route, and what the requests came to.
pub(crate) fn tables(page: &Prometheus) -> String {
    let routes = values(page, REQUESTS, "route");
    let mut text = format!("{:<24}{:>12}{:>12}{:>16}\n", "route", "requests", "attempts", "amplification");
    for route in &routes {
        let labels = [("route", route.as_str())];
        let (requests, attempts) = (page.sum(REQUESTS, &labels), page.sum(ATTEMPTS, &labels));
        // Nothing was asked of a route without requests.
        let ratio = if requests > 0.0 { attempts / requests } else { 0.0 };
        let _ = writeln!(text, "{route:<24}{:>12}{:>12}{ratio:>16.2}", whole(requests), whole(attempts));
    }
    let outcomes = values(page, REQUESTS, "outcome");
    let _ = write!(text, "\n{:<24}", "outcome");
    for outcome in &outcomes {
        let _ = write!(text, "{outcome:>14}");
    }
    text.push('\n');
    for route in &routes {
        let _ = write!(text, "{route:<24}");
        for outcome in &outcomes {
            let count = page.sum(REQUESTS, &[("route", route), ("outcome", outcome)]);
            let _ = write!(text, "{:>14}", whole(count));
        }
        text.push('\n');
    }
    text
}

/// The values of a label, each once.
fn values(page: &Prometheus, name: &str, label: &str) -> BTreeSet<String> {
    page.series(name).filter_map(|series| series.labels.get(label).cloned()).collect()
}

/// A counter, which is whole and not negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> String {
    grouped(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_retried_is_amplified() {
        let page = "holdfast_requests_total{route=\"pay\",outcome=\"ok\"} 1500\nholdfast_requests_total{route=\"pay\",outcome=\"timeout\"} 500\n\
            holdfast_attempts_total{route=\"pay\",outcome=\"ok\"} 5000\n";
        let text = tables(&Prometheus::parse(page));
        assert!(text.contains("pay                            2,000       5,000            2.50"), "{text}");
        assert!(text.lines().last().is_some_and(|line| line.contains("1,500") && line.ends_with("500")), "{text}");
    }
}
