//! The bank's files: PINs, server certificate, attestation roots, and the three configurations.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result};

use super::{Bank, CONFIRMATION_PASSWORD, LOGIN_PASSWORD, Options, desk::TOKEN_PIN, machine};
use crate::{hsm::Hsm, soft_pki::SoftAuthority, virtual_yubikey::AttestationRoots};

pub(super) fn write(bank: &Bank, options: &Options, root: &Hsm, online: &Hsm) -> Result<()> {
    secrets(bank)?;
    server_certificate(bank)?;
    attestation_roots(bank)?;
    let values = values(bank, options, root, online);
    put(&bank.path("ceremony.toml"), &fill(include_str!("templates/ceremony.toml"), &values))?;
    put(&bank.path("signer.toml"), &fill(include_str!("templates/signer.toml"), &values))?;
    let machines = machine::write(bank, &options.machines)?;
    let authority = fill(include_str!("templates/inro.toml"), &values) + &machines;
    put(&bank.path("inro.toml"), &adjusted(&authority, options)?)
}

impl Bank {
    /// Takes these makers' roots in the place of its own, before anything runs: banks that trust the same roots take the
    /// same tokens.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn trust(&mut self, roots: AttestationRoots) -> Result<()> {
        self.attestation = roots;
        attestation_roots(self)
    }
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A file that its owner alone can read.
fn put_secret(path: &Path, text: &str) -> Result<()> {
    fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .with_context(|| format!("writing {}", path.display()))
}

fn secrets(bank: &Bank) -> Result<()> {
    let random = || hex::encode(rand::random::<[u8; 8]>());
    for name in ["root-so-pin", "root-pin", "online-so-pin", "online-pin"] {
        put_secret(&bank.secret(name), &random())?;
    }
    put_secret(&bank.secret("login"), LOGIN_PASSWORD)?;
    put_secret(&bank.secret("confirmation"), CONFIRMATION_PASSWORD)?;
    put_secret(&bank.secret("token-pin"), TOKEN_PIN)
}

fn server_certificate(bank: &Bank) -> Result<()> {
    let authority = SoftAuthority::new("Example server authority")?;
    put(&bank.path("tls/ca.pem"), authority.certificate())?;
    let server = authority.server(&["localhost", "127.0.0.1"])?;
    put(&bank.path("tls/server.pem"), &server.certificate)?;
    put_secret(&bank.path("tls/server.key"), server.key.trim_end())
}

fn attestation_roots(bank: &Bank) -> Result<()> {
    let roots = bank.attestation();
    let folder = bank.path("attestation");
    roots.save(&folder).context("saving the attestation roots")?;
    put(&folder.join("first-root.pem"), &roots.first.root_pem()?)?;
    put(&folder.join("second-root.pem"), &roots.second.root_pem()?)?;
    put(&folder.join("intermediates.pem"), &roots.second.intermediates_pem()?)
}

/// A bank without adjustments keeps the template's comments.
fn adjusted(text: &str, options: &Options) -> Result<String> {
    let Some(adjust) = options.adjust else { return Ok(text.to_owned()) };
    let mut table: toml::Table = toml::from_str(text).context("reading the template of inro.toml")?;
    adjust(&mut table);
    toml::to_string(&table).context("composing inro.toml")
}

/// The templates' placeholders and what stands for them.
fn values(bank: &Bank, options: &Options, root: &Hsm, online: &Hsm) -> Vec<(&'static str, String)> {
    let urls = bank.urls();
    let port = |url: &str| url.rsplit(':').next().unwrap_or_default().to_owned();
    vec![
        ("module", online.module().display().to_string()),
        ("root_environment", root.environment_toml()),
        ("online_environment", online.environment_toml()),
        ("vendor", options.token.vendor().to_owned()),
        ("root_algorithm", options.root_algorithm.to_owned()),
        ("issuing_algorithm", options.issuing_algorithm.to_owned()),
        ("uid", rustix::process::getuid().as_raw().to_string()),
        // In the arc for documentation (RFC 5612).
        ("attested_pin", "1.3.6.1.4.1.32473.1.1".to_owned()),
        ("attested", "1.3.6.1.4.1.32473.1.2".to_owned()),
        ("asserted", "1.3.6.1.4.1.32473.1.3".to_owned()),
        ("public_port", port(&urls.public)),
        ("client_port", port(&urls.client)),
        ("validation_port", port(&urls.validation)),
        ("ops_port", port(&urls.ops)),
        ("staff_port", port(&urls.staff)),
        ("public_url", urls.public),
        ("client_url", urls.client),
        ("validation_url", urls.validation),
    ]
}

fn fill(template: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}
