//! `inro-hsm`: ceremonies, the signer and its workers.

use std::process::ExitCode;

fn main() -> ExitCode {
    hsm_config::cli::run()
}
