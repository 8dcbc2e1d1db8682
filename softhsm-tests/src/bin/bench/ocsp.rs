//! `ocsp_cached` and `ocsp_signed`: responses a second over plain HTTP.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use softhsm_tests::{
    bank::{Bank, fetch},
    openssl::openssl,
};

use super::{Figure, baseline, enrol::User, load::requests_per_second};

/// GET of a response that is ready, against nginx serving the same octets as a file.
pub(crate) fn cached(bank: &Bank, users: &[User], seconds: u64) -> Result<Figure> {
    let request = request(bank, users, "-no_nonce")?;
    let path: String = BASE64_STANDARD.encode(request).chars().map(escape).collect();
    let url = format!("{}/ocsp/{path}", bank.urls().validation);
    let response = fetch(&url)?;
    ensure!(response.status == 200, "the responder answers {}", response.status);
    let nginx = baseline::Nginx::serving(&bank.path("nginx"), &response.body)?;
    let theirs = requests_per_second(&nginx.url(), seconds, None)?;
    let ours = requests_per_second(&url, seconds, None)?;
    Ok(Figure::new("ocsp_cached", "responses/s", ours, ("nginx, the same response as a file", theirs)))
}

fn escape(character: char) -> String {
    match character {
        '+' => "%2B".to_owned(),
        '/' => "%2F".to_owned(),
        '=' => "%3D".to_owned(),
        other => other.to_string(),
    }
}

/// POST with a nonce, signed on demand, against raw signatures by the same key.
pub(crate) fn signed(bank: &Bank, users: &[User], seconds: u64) -> Result<Figure> {
    let mut octets = String::new();
    for octet in request(bank, users, "-nonce")? {
        write!(octets, "\\{octet:03}")?;
    }
    let script = bank.path("post.lua");
    let text = format!(
        "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/ocsp-request\"\nwrk.body = \"{octets}\"\n"
    );
    fs::write(&script, text).context("writing wrk's script")?;
    let url = format!("{}/ocsp", bank.urls().validation);
    let theirs = baseline::raw_signatures_per_second(bank, seconds)?;
    let ours = requests_per_second(&url, seconds, Some(&script))?;
    Ok(Figure::new("ocsp_signed", "responses/s", ours, ("raw C_Sign, P-256, one process", theirs)))
}

fn request(bank: &Bank, users: &[User], nonce: &str) -> Result<Vec<u8>> {
    let user = users.first().context("no users")?;
    let list = bank.operator(&["certificate", "list", "--user", &user.id])?;
    let serial = list.pointer("/0/serial").and_then(serde_json::Value::as_str).context("no certificate")?;
    let (issuer, out) = (bank.path("ceremony/issuing.pem"), bank.path("request.der"));
    openssl(&[
        "ocsp",
        "-issuer",
        &issuer.to_string_lossy(),
        "-serial",
        &format!("0x{serial}"),
        nonce,
        "-reqout",
        &out.to_string_lossy(),
    ])?;
    fs::read(&out).context("reading openssl's request")
}
