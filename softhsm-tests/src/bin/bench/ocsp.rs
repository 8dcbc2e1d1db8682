//! `ocsp_cached` and `ocsp_signed`: responses a second over plain HTTP.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, fetch},
    openssl::openssl,
};

use super::{
    Lab,
    baseline::{self, RawKey},
    figure::{Better, Figure, Round},
    load::requests_per_second,
    population::Population,
};

const ROUNDS: usize = 2;

/// GET of a response that is ready, against nginx serving the same octets as a file.
pub(crate) fn cached(lab: &Lab) -> Result<Vec<Figure>> {
    let bank = lab.bank()?;
    let request = request(lab, bank, "-no_nonce")?;
    let path: String = BASE64_STANDARD.encode(request).chars().map(escape).collect();
    let url = format!("{}/ocsp/{path}", bank.urls().validation);
    let response = fetch(&url)?;
    ensure!(response.status == 200, "the responder answers {}", response.status);
    let nginx = baseline::Nginx::serving(&bank.path("nginx"), &response.body)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let baseline = requests_per_second(&nginx.url(), lab.seconds(), None)?;
        rounds.push(Round { ours: requests_per_second(&url, lab.seconds(), None)?, baseline });
    }
    let unit = ("responses/s", Better::Higher);
    Ok(vec![Figure::of("ocsp_cached", unit, rounds, "nginx, the same response as a file").reaching(0.6)])
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
pub(crate) fn signed(lab: &Lab) -> Result<Vec<Figure>> {
    let bank = lab.bank()?;
    let mut octets = String::new();
    for octet in request(lab, bank, "-nonce")? {
        write!(octets, "\\{octet:03}")?;
    }
    let script = bank.path("post.lua");
    let text = format!(
        "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/ocsp-request\"\nwrk.body = \"{octets}\"\n"
    );
    fs::write(&script, text).context("writing wrk's script")?;
    let url = format!("{}/ocsp", bank.urls().validation);
    let key = RawKey::ocsp(bank);
    let threads = key.best_threads()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let baseline = key.signatures_per_second(threads, lab.seconds())?;
        rounds.push(Round { ours: requests_per_second(&url, lab.seconds(), Some(&script))?, baseline });
    }
    let name = format!("raw C_Sign, p256, one process, {threads} threads");
    let figure = Figure::of("ocsp_signed", ("responses/s", Better::Higher), rounds, name).reaching(0.25);
    Ok(vec![figure.with_note(key.note_of_one_thread(lab.seconds())?)])
}

/// For the certificate of the last user, who gets one where there is none yet.
fn request(lab: &Lab, bank: &Bank, nonce: &str) -> Result<Vec<u8>> {
    let population = lab.population()?;
    let index = population.tokens.len() - 1;
    let user = Population::user(index);
    let certificates = || bank.operator(&["certificate", "list", "--user", &user]);
    let mut list = certificates()?;
    if list.pointer("/0/serial").is_none() {
        let token = &population.tokens[index].soft;
        let answer = EnrolmentClient::new(bank)?.enroll(&user, token, &format!("bench-key-{user}-0000"))?;
        answer.ok().context("no certificate")?;
        list = certificates()?;
    }
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
