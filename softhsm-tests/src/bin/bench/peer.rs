//! Peers on the same machine in the same run: cfssl, which signs with a key in a file and keeps no ledger.
//!
//! step-ca is not among them: Debian 12 has its libraries (`golang-github-smallstep-certificates-dev` 0.19.0, with PKCS#11) but
//! neither the program nor its `main`, and they bring 168 packages with them.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use rcgen::PKCS_ECDSA_P256_SHA256;
use serde_json::json;
use softhsm_tests::{
    openssl::openssl,
    ports::PortLease,
    process::{Process, run},
};

use super::load::requests_per_second;

const CONFIGURATION: &str =
    r#"{"signing": {"default": {"usages": ["signing", "client auth"], "expiry": "8760h"}}}"#;

/// A running cfssl with a P-256 key.
pub(crate) struct Cfssl {
    _process: Process,
    port: PortLease,
    script: std::path::PathBuf,
}

impl Cfssl {
    /// Starts it in `folder`; `None` where it isn't installed.
    pub(crate) fn start(folder: &Path) -> Result<Option<Self>> {
        if run(Command::new("cfssl").arg("version")).is_err() {
            return Ok(None);
        }
        fs::create_dir_all(folder).context("making cfssl's folder")?;
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let (key, certificate) = (path("ca.key"), path("ca.pem"));
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key])?;
        let subject = ["-subj", "/CN=cfssl", "-days", "30", "-addext", "keyUsage=critical,keyCertSign"];
        openssl(&[&["req", "-x509", "-new", "-key", &key, "-out", &certificate][..], &subject].concat())?;
        fs::write(path("config.json"), CONFIGURATION).context("writing cfssl's configuration")?;
        let port = PortLease::one()?;
        let mut command = Command::new("cfssl");
        command.args(["serve", "-address", "127.0.0.1", "-port", &port.port().to_string(), "-loglevel", "4"]);
        command
            .args(["-ca", &certificate, "-ca-key", &key, "-config", &path("config.json")])
            .current_dir(folder);
        let mut process = Process::spawn("cfssl", &mut command, folder)?;
        process.wait_for_listener(port.address(), Duration::from_secs(20))?;
        let script = folder.join("post.lua");
        fs::write(&script, Self::script()?).context("writing wrk's script")?;
        Ok(Some(Self { _process: process, port, script }))
    }

    /// A request to sign, as a script for wrk.
    fn script() -> Result<String> {
        let key = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "somebody");
        let request = parameters.serialize_request(&key)?.pem()?.replace("\r\n", "\n");
        let body = json!({ "certificate_request": request, "hosts": ["example.com"] }).to_string();
        Ok(format!(
            "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = [==[{body}]==]\n"
        ))
    }

    /// Certificates a second.
    pub(crate) fn certificates_per_second(&self, seconds: f64) -> Result<f64> {
        let url = format!("http://{}/api/v1/cfssl/sign", self.port.address());
        requests_per_second(&url, seconds, Some(&self.script))
    }
}
