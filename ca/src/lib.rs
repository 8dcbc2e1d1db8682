//! The authority's outside: configuration, listeners, jobs, adapters and command line around `ca-core`.
//!
//! `cli` parses what is asked, [`wiring`] puts adapters behind the ports, `jobs` and `http` call use cases, `material` reads
//! the files that `config` names. Imports go down that way, floor by floor: `tests/layers.rs` knows all the floors.

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
