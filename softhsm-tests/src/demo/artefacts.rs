//! What the story leaves for other people's software, and what OpenSSL says of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use super::PEOPLE;
use crate::{
    bank::{Bank, Urls, fetch},
    openssl::{openssl, openssl_with_input, verify},
    wait::awaited,
};

/// `summary.json`.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Users whose certificates are good.
    pub good: Vec<&'static str>,
    /// Users whose certificates are revoked.
    pub revoked: Vec<&'static str>,
    /// Where the listeners are.
    pub urls: Urls,
}

impl Summary {
    /// Of the story's end.
    pub fn of(bank: &Bank) -> Self {
        let [master, general, revoked] = &PEOPLE;
        Self { good: vec![master.id, general.id], revoked: vec![revoked.id], urls: bank.urls() }
    }
}

/// Keeps the certificate that the agent printed.
pub(super) fn keep_certificate(bank: &Bank, user: &str, printed: &Value) -> Result<()> {
    let pem = printed.pointer("/certificate/pem").or(printed.get("pem")).and_then(Value::as_str);
    let pem = pem.with_context(|| format!("the agent printed no certificate: {printed}"))?;
    fs::create_dir_all(bank.path("users")).context("making the folder for certificates")?;
    fs::write(certificate(bank, user), pem).context("keeping a certificate")
}

fn certificate(bank: &Bank, user: &str) -> PathBuf {
    bank.path(format!("users/{user}.pem"))
}

/// Waits until the published CRL has the user's certificate.
pub(super) fn wait_for_crl(bank: &Bank, user: &str) -> Result<()> {
    let path = certificate(bank, user);
    let serial = openssl(&["x509", "-noout", "-serial", "-in", &path.to_string_lossy()])?;
    let line = format!("Serial Number: {}", serial.trim().trim_start_matches("serial="));
    let crl = || {
        let crl = crl(bank, "customer-0")?;
        let text = openssl_with_input(&["crl", "-inform", "DER", "-noout", "-text"], &crl)?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&text).into_owned())
    };
    let shows = |crl: &Result<String>| crl.as_ref().map_or(true, |text| text.contains(&line));
    awaited("a CRL with the revoked certificate", crl, shows)?.map(drop)
}

fn crl(bank: &Bank, name: &str) -> Result<Vec<u8>> {
    let url = format!("{}/crl/{name}.crl", bank.urls().validation);
    let response = fetch(&url)?;
    ensure!(response.status == 200, "{url} answers {}", response.status);
    Ok(response.body)
}

/// Asks the OCSP responder with openssl about a user and keeps its response: without a nonce, so that anybody can check
/// it later.
pub(super) fn keep_ocsp(bank: &Bank, user: &str) -> Result<()> {
    let path = bank.path(format!("ocsp-{user}.der"));
    let (issuing, leaf) = (bank.path("ceremony/issuing.pem"), certificate(bank, user));
    let text = openssl(&[
        "ocsp",
        "-no_nonce",
        "-issuer",
        &issuing.to_string_lossy(),
        "-CAfile",
        &bank.path("ceremony/root.pem").to_string_lossy(),
        "-cert",
        &leaf.to_string_lossy(),
        "-url",
        &format!("{}/ocsp", bank.urls().validation),
        "-respout",
        &path.to_string_lossy(),
    ])?;
    let expected = if Summary::of(bank).revoked.contains(&user) { "revoked" } else { "good" };
    ensure!(text.contains(&format!(": {expected}")), "OCSP doesn't say {expected} of {user}: {text}");
    Ok(())
}

/// Collects what is left, and has OpenSSL verify every user against CRLs of the whole chain.
pub(super) fn check(bank: &Bank) -> Result<()> {
    for name in ["root.pem", "issuing.pem", "transcript.json"] {
        fs::copy(bank.path("ceremony").join(name), bank.path(name))
            .with_context(|| format!("keeping {name}"))?;
    }
    for (name, kept) in [("root", "root.crl"), ("customer-0", "issuing.crl")] {
        fs::write(bank.path(kept), crl(bank, name)?).with_context(|| format!("keeping {kept}"))?;
    }
    let crls = bank.path("desk/crls.pem");
    fs::write(&crls, pem(&bank.path("root.crl"))? + &pem(&bank.path("issuing.crl"))?)
        .context("keeping CRLs")?;
    for person in &PEOPLE {
        let revoked = Summary::of(bank).revoked.contains(&person.id);
        match (strictly(bank, &crls, person.id), revoked) {
            (Ok(()), false) => {}
            (Err(error), true) if format!("{error:#}").contains("certificate revoked") => {}
            (Ok(()), true) => bail!("openssl still accepts {}", person.id),
            (Err(error), _) => return Err(error.context(format!("openssl refuses {}", person.id))),
        }
    }
    let summary = serde_json::to_string_pretty(&Summary::of(bank)).context("composing the summary")?;
    fs::write(bank.path("summary.json"), summary + "\n").context("keeping the summary")
}

fn strictly(bank: &Bank, crls: &Path, user: &str) -> Result<()> {
    let crls = crls.to_string_lossy();
    let options = ["-x509_strict", "-crl_check_all", "-CRLfile", &crls];
    verify(&options, &bank.path("root.pem"), &[&bank.path("issuing.pem")], &certificate(bank, user))
}

fn pem(crl: &Path) -> Result<String> {
    openssl(&["crl", "-inform", "DER", "-in", &crl.to_string_lossy()])
}
