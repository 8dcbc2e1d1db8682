//! The authority's outside: configuration, listeners, jobs, adapters and command line around `ca-core`.
//!
//! `cli` parses what is asked, [`wiring`] puts adapters behind the ports, `http` and `jobs` call use cases. Imports go
//! down that way and never sideways.

mod adapters;
mod calendar;
pub mod cli;
mod config;
mod http;
mod jobs;
mod logging;
mod mail;
mod material;
mod metrics;
mod readiness;
mod responders;
mod telemetry;
mod wiring;
