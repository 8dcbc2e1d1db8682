//! `inro-agent`: what the customer runs to obtain a certificate whose key lives on a token.
//!
//! `cli` reads the command and shows results; `enrol` and `erase` are the flows; `token` and `server` are the two worlds
//! they work with, each behind a port; `messages` holds every sentence that people read. The agent opens no port.

mod certificate;
mod cli;
mod config;
mod enrol;
mod erase;
mod messages;
mod paths;
mod secret;
mod server;
mod token;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
