//! `inro-ca`: the certificate authority's server and command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ca::cli::main()
}
