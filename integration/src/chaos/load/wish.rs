//! Who wants what: the same for the same number, in every run.

use std::time::Duration;

use sdk_shim::random::{SplitMix64, below};

use super::super::Kind;
use super::nodes::Node;
use crate::Call;
use crate::client::grpc_call;

/// Enough for a canary that gets a few of a hundred.
const USERS: u64 = 600;
/// Longer than the gateways' own.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A request to be.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) user: u64,
    /// The gateway of the first attempt.
    pub(super) node: usize,
    /// A payment that is sent to two gateways at the same time.
    pub(super) at_both: bool,
    /// A payment that is sent to the other one again, after its answer.
    pub(super) again: bool,
}

// === impl Wish ===

impl Wish {
    /// Of ten requests four read, two pay, two call gRPC and two ask GraphQL.
    pub(super) fn nth(number: u32) -> Self {
        let mut draw = SplitMix64::new(u64::from(number));
        let kind = match number % 10 {
            0 | 3 | 6 | 8 => Kind::Read,
            1 | 5 => Kind::Pay,
            2 | 7 => Kind::Grpc,
            _ => Kind::Graphql,
        };
        let (user, node) = (below(draw.draw(), USERS), usize::from(below(draw.draw(), 2) == 1));
        let lot = if kind == Kind::Pay { below(draw.draw(), 4) } else { 0 };
        Self { number, kind, user, node, at_both: lot == 1, again: lot == 2 }
    }

    /// Four of five users may be served by either region; each tenth must be served in eu, or in us.
    pub(super) fn residency(&self) -> &'static str {
        match self.user % 10 {
            0 => "eu",
            1 => "us",
            _ => "any",
        }
    }

    pub(super) fn stays(&self) -> Option<String> {
        Some(self.residency()).filter(|region| *region != "any").map(str::to_owned)
    }

    pub(super) fn call(&self, node: &Node, key: Option<&str>) -> Call {
        let call = match self.kind {
            Kind::Read => Call::get(node.port(), "/orders"),
            Kind::Pay => Call::post(node.port(), "/payments", br#"{"pay": "10 EUR"}"#),
            Kind::Grpc => grpc_call(node.port(), "/shop.Orders/Get", b"\x08\x07"),
            Kind::Graphql => Call::get(node.port(), "/graphql?query=%7Borders%7D"),
        };
        let call = call.address(node.address()).timeout(TIMEOUT);
        let call = call.header("x-user-id", format!("user-{}", self.user)).header("x-data-region", self.residency());
        match key {
            Some(key) => call.header("content-type", "application/json").header("idempotency-key", key),
            None => call,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(wanted: impl Fn(&Wish) -> bool) -> usize {
        (0..1_000).map(Wish::nth).filter(|wish| wanted(wish)).count()
    }

    #[test]
    fn every_kind_has_its_share_at_both_gateways() {
        assert_eq!(Kind::ALL.map(|kind| count(|wish| wish.kind == kind)), [400, 200, 200, 200]);
        assert!((400..600).contains(&count(|wish| wish.node == 0)));
        let movers = count(|wish| wish.stays().is_none());
        assert!((750..850).contains(&movers), "{movers}");
    }

    #[test]
    fn payments_are_repeated_and_nothing_else_is() {
        assert!(count(|wish| wish.at_both) > 30 && count(|wish| wish.again) > 30);
        assert_eq!(count(|wish| (wish.at_both || wish.again) && wish.kind != Kind::Pay), 0);
        assert_eq!(count(|wish| wish.at_both && wish.again), 0);
    }
}
