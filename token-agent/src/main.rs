//! `inro-agent`: what the customer runs to obtain a certificate whose key lives on a token.
//!
//! `cli` and `gui` are the two ways to use it; `enrol`, `change_pin` and `erase` are the flows; `token` and `server` are the two worlds
//! they work with, each behind a port; `messages` holds every sentence that people read. The agent opens no port.

#[cfg(target_os = "linux")]
mod browser;
mod certificate;
mod change_pin;
mod cli;
mod config;
mod enrol;
mod erase;
mod evidence;
#[cfg(feature = "window")]
mod gui;
mod inventory;
mod messages;
mod paths;
mod route;
mod secret;
mod server;
mod token;
mod tpm;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
