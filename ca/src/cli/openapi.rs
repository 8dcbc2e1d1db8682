//! `inro-ca openapi`: the document of all HTTP APIs, as the public listener serves it.

use std::io::Write;

use super::exit::CliError;
use crate::{config::Config, http::openapi};

pub(super) fn run(config: &Config) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", openapi::json(&openapi::Servers::of(config)).map_err(std::io::Error::from)?)?;
    Ok(out.flush()?)
}
