//! The services behind the gateways of `integration/compose`: payments over REST, orders over gRPC and GraphQL, each with a switch that makes it sick.
//!
//! Whoever tries a gateway wants to see two things of a service: what it did, and what happens once it fails. So each one has a second port
//! that answers whatever the first one suffers:
//!
//! | request | answer |
//! |---|---|
//! | GET `/healthz` | 200: the process is there |
//! | GET `/ledger` | `{"service": "rest-eu", "asked": 7, "executed": 2, "declined": 0, "keys": {"\"k-1\"": 1}, "repeated": {}}`: how many requests came, and what was paid, by idempotency key |
//! | GET `/fault` | `{"fault": "none"}` |
//! | PUT `/fault`, body `503` | moves the switch: [`Ailment`] |
//!
//! On the first port a [`Ledger`] serves REST, an [`Upstream`] gRPC (any method is echoed, health checks are answered) or GraphQL, a
//! [`Board`] long streams.

mod ailment;
mod control;

pub use ailment::Ailment;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::board::Board;
use crate::{Answer, Grpc, Ledger, TestResult, Upstream};
use control::Control;

/// gRPC's UNAVAILABLE.
const UNAVAILABLE: u32 = 14;

/// Where a shop serves what; what has no address isn't served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Payments.
    pub rest: Option<SocketAddr>,
    /// Orders over gRPC.
    pub grpc: Option<SocketAddr>,
    /// Orders over GraphQL.
    pub graphql: Option<SocketAddr>,
    /// A board of messages, which knows no ailment.
    pub board: Option<SocketAddr>,
}

/// Running services and their switch; dropping it ends them.
#[derive(Debug)]
pub struct Shop(Arc<Control>);

/// The services of one process.
#[derive(Debug)]
struct Services {
    rest: Option<Ledger>,
    grpc: Option<Upstream>,
    graphql: Option<Upstream>,
    board: Option<Board>,
}

// === impl Shop ===

impl Shop {
    /// Starts what has an address, and the switch of it all at `control`.
    ///
    /// # Errors
    /// When something else listens at one of the addresses.
    pub fn start(name: &str, addresses: &Addresses, control: SocketAddr) -> TestResult<Self> {
        Ok(Self(control::start(name, Services::start(name, addresses)?, control)?))
    }

    /// The port of the switch.
    pub fn control(&self) -> u16 {
        self.0.port()
    }

    /// The ports of REST, gRPC and GraphQL; `None` for what isn't served.
    pub fn ports(&self) -> [Option<u16>; 3] {
        let Services { rest, grpc, graphql, .. } = self.0.services();
        [rest.as_ref().map(Ledger::port), grpc.as_ref().map(Upstream::port), graphql.as_ref().map(Upstream::port)]
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

// === impl Services ===

impl Services {
    fn start(name: &str, addresses: &Addresses) -> TestResult<Self> {
        let rest = addresses.rest.map(|address| Ledger::start_at(name, address)).transpose()?;
        let grpc = addresses.grpc.map(|address| Upstream::start_at(name, address)).transpose()?;
        let graphql = addresses.graphql.map(|address| Upstream::start_at(name, address)).transpose()?;
        if let Some(rest) = &rest {
            rest.trouble_reads(true);
        }
        if let Some(grpc) = &grpc {
            grpc.serve_grpc_health();
        }
        if let Some(graphql) = &graphql {
            graphql.set_answer(orders());
        }
        let board = addresses.board.map(Board::start_at).transpose()?;
        Ok(Self { rest, grpc, graphql, board })
    }

    /// From now on each of them suffers from this.
    async fn suffer(&self, ailment: Ailment) {
        if let Some(rest) = &self.rest {
            rest.trouble(ailment.of_payments(), ailment.percent());
            rest.delay(ailment.delay());
        }
        if let Some(grpc) = &self.grpc {
            grpc.set_grpc(if ailment == Ailment::Sick { Grpc::MessageThen(UNAVAILABLE) } else { Grpc::Ok });
            grpc.meet(ailment.of_orders()).await;
        }
        if let Some(graphql) = &self.graphql {
            graphql.set_answer(if ailment == Ailment::Sick { errors() } else { orders() });
            graphql.meet(ailment.of_orders()).await;
        }
    }

    /// Requests that came, whatever became of them: what retries cost a service.
    fn asked(&self) -> u64 {
        let rest = self.rest.as_ref().map_or(0, Ledger::asked);
        [&self.grpc, &self.graphql].into_iter().flatten().map(Upstream::hits).sum::<u64>() + rest
    }

    fn ledger(&self, name: &str) -> Value {
        let asked = self.asked();
        if let Some(board) = &self.board {
            return json!({"service": name, "asked": asked, "messages": board.count()});
        }
        let Some(ledger) = &self.rest else { return json!({"service": name, "asked": asked}) };
        json!({
            "service": name,
            "asked": asked,
            "executed": ledger.total(),
            "declined": ledger.declined(),
            "keys": ledger.executed(),
            "repeated": ledger.repeated(),
        })
    }
}

/// What GraphQL clients get, and health checks by `{__typename}`.
fn orders() -> Answer {
    Answer::json(&json!({"data": {"__typename": "Query", "orders": [{"id": 1, "what": "two apples"}]}}))
}

/// Status 200, and nothing of what was asked for.
fn errors() -> Answer {
    Answer::json(&json!({"data": null, "errors": [{"message": "the stock service is down", "path": ["orders"]}]}))
}
