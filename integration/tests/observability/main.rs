//! What an SRE loads: rules, dashboard, runbook. Each name in them exists, each alert fires when it should, each question has an answer.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod committed;
mod dashboard;
mod gateway;
mod live;
mod otel;
mod runbook;
mod scene;
