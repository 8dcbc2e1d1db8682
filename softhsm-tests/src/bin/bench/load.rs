//! HTTP load on the validation listener by `wrk`, on this machine only.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use softhsm_tests::process::run;

/// Requests a second that `url` answers, over 16 connections; with `script`, as that Lua script asks.
///
/// # Errors
/// When wrk isn't installed or any response isn't a success.
pub(crate) fn requests_per_second(url: &str, seconds: f64, script: Option<&Path>) -> Result<f64> {
    ensure!(
        url.starts_with("http://localhost:") || url.starts_with("http://127.0.0.1:"),
        "{url} is elsewhere"
    );
    let mut command = Command::new("wrk");
    command.args(["-t2", "-c16", &format!("-d{:.0}s", seconds.ceil())]);
    if let Some(script) = script {
        command.arg("-s").arg(script);
    }
    let report = run(command.arg(url)).context("wrk (install the package wrk)")?;
    ensure!(!report.contains("Non-2xx"), "not every request to {url} succeeded:\n{report}");
    let line = report.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|rate| rate.trim().parse().ok()).with_context(|| format!("wrk says no rate:\n{report}"))
}
