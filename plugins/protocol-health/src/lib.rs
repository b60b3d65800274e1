//! Protocol health: what a call came to, whatever it was spoken in.
//!
//! A gateway that sees HTTP statuses only believes a GraphQL service that answers `200 {"errors":[…]}`, and a gRPC service that answers `200` and
//! `grpc-status: 14` in its trailers, to be well: nothing is ejected, nothing fails over. Here are the readers that know better. They take
//! bytes as they come, keep a bounded few of them, and say what they found; the adapter that asks them on a proxy isn't built yet.
//!
//! | to find | look in |
//! |---|---|
//! | a GraphQL answer's top level, and what it means | [`graphql`] |
//! | the status in a gRPC-Web body | [`grpc_web`] |
//! | how long a gRPC client waits | [`grpc_timeout`] |

pub mod graphql;
pub mod grpc_timeout;
pub mod grpc_web;
