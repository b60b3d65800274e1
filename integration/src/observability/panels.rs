//! What the dashboard shows.

mod look;
mod panel;
mod requests;
mod services;

pub use look::Look;
pub use panel::{Panel, Query, Row};

/// All of it, from the client's side down to the node's.
pub fn rows() -> Vec<Row> {
    vec![
        Row { title: "What clients see, by route and protocol", panels: requests::clients() },
        Row { title: "Retries: attempts per request, and the budget", panels: requests::retries() },
        Row { title: "Circuit breakers", panels: requests::breakers() },
        Row { title: "What Holdfast refuses, and would refuse", panels: requests::refusals() },
        Row { title: "Idempotency", panels: services::idempotency() },
        Row { title: "Health of services, as protocol-health judges them", panels: services::health() },
        Row { title: "Pools, queues and TLS", panels: services::pools() },
        Row { title: "Streams and bytes", panels: requests::traffic() },
        Row { title: "The nodes themselves", panels: services::nodes() },
    ]
}
