//! `inro-agent`: what the customer runs to obtain a certificate whose key lives on a token.
//!
//! `cli` and `gui` are the two ways to use it; `enrol`, `renew`, `change_pin`, `unblock` and `erase` are the flows;
//! `token`, `tpm` and `server` are the worlds that they work with, each behind a port; `messages` holds every sentence
//! that people read. The agent opens no port.

#[cfg(target_os = "linux")]
mod browser;
mod certificate;
mod change_pin;
mod cli;
mod config;
mod custodian;
mod doctor;
mod enrol;
mod erase;
mod evidence;
mod farewell;
#[cfg(feature = "window")]
mod gui;
#[cfg(test)]
mod hostile;
mod inventory;
mod messages;
mod paths;
mod policy;
#[cfg(target_os = "linux")]
mod program;
mod proxy;
mod renew;
mod route;
mod secret;
mod server;
mod token;
mod tpm;
mod unblock;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
