//! A maker of TPMs: swtpm-localca with a root of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::Swtpm;
use crate::{openssl::openssl, process::run};

/// A maker. Its first TPM brings its root into being.
#[derive(Debug)]
pub struct TpmMaker {
    directory: PathBuf,
}

impl TpmMaker {
    /// A maker whose keys are kept in `directory`.
    ///
    /// # Errors
    /// When its configuration can't be written or it can't make its root.
    pub fn new(directory: &Path) -> Result<Self> {
        let authority = directory.join("authority");
        fs::create_dir_all(&authority).with_context(|| format!("making {}", authority.display()))?;
        let maker = Self { directory: directory.to_owned() };
        let shown = authority.display();
        maker.write(
            "localca.conf",
            &format!(
                "statedir = {shown}\nsigningkey = {shown}/signkey.pem\nissuercert = {shown}/issuercert.pem\n\
                 certserial = {shown}/certserial\n"
            ),
        )?;
        maker.write(
            "localca.options",
            "--platform-manufacturer Example\n--platform-version 1\n--platform-model Rig\n",
        )?;
        let folder = directory.display();
        maker.write(
            "setup.conf",
            &format!(
                "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {folder}/localca.conf\n\
                 create_certs_tool_options = {folder}/localca.options\nactive_pcr_banks = sha256\n"
            ),
        )?;
        maker.setup(&directory.join("first"), true)?;
        maker.allow_crls()?;
        Ok(maker)
    }

    /// swtpm-localca's issuing certificate only signs certificates: another one of the same name and key signs CRLs too.
    fn allow_crls(&self) -> Result<()> {
        self.write(
            "authority/issuer.ext",
            "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n\
             subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n",
        )?;
        let at = |name: &str| self.directory.join("authority").join(name).display().to_string();
        let (certificate, request) = (at("issuercert.pem"), at("issuer.csr"));
        let (root, key) = (at("swtpm-localca-rootca-cert.pem"), at("swtpm-localca-rootca-privkey.pem"));
        openssl(&[
            "x509",
            "-x509toreq",
            "-in",
            &certificate,
            "-signkey",
            &at("signkey.pem"),
            "-out",
            &request,
        ])?;
        let sign = ["x509", "-req", "-in", &request, "-CA", &root, "-CAkey", &key, "-days", "3650"];
        let more = ["-set_serial", "4711", "-extfile", &at("issuer.ext"), "-out", &certificate];
        openssl(&[&sign[..], &more[..]].concat())?;
        Ok(())
    }

    /// A CRL of the maker, PEM, that takes these serial numbers (hexadecimal) back.
    ///
    /// # Errors
    /// When openssl can't make it.
    pub fn crl(&self, serials: &[&str]) -> Result<Vec<u8>> {
        let line = |serial: &&str| format!("R\t491231235959Z\t260101000000Z\t{serial}\tunknown\t/CN=TPM\n");
        let index: String = serials.iter().map(line).collect();
        self.write("authority/index.txt", &index)?;
        let folder = self.directory.join("authority").display().to_string();
        self.write(
            "authority/crl.conf",
            &format!(
                "[ca]\ndefault_ca = maker\n[maker]\ndatabase = {folder}/index.txt\ndefault_md = sha256\n\
                 default_crl_days = 30\ncrl_extensions = version_2\n[version_2]\nauthorityKeyIdentifier = keyid\n"
            ),
        )?;
        let at = |name: &str| format!("{folder}/{name}");
        let (config, crl) = (at("crl.conf"), at("crl.pem"));
        let (certificate, key) = (at("issuercert.pem"), at("signkey.pem"));
        openssl(&[
            "ca",
            "-gencrl",
            "-config",
            &config,
            "-cert",
            &certificate,
            "-keyfile",
            &key,
            "-out",
            &crl,
        ])?;
        fs::read(&crl).with_context(|| format!("reading {crl}"))
    }

    /// A new TPM in this directory, with power. Its RSA endorsement key has a certificate of the maker.
    ///
    /// # Errors
    /// When it can't be made or started.
    pub fn tpm(&self, directory: &Path) -> Result<Swtpm> {
        self.setup(directory, true)?;
        Swtpm::power_up(directory)
    }

    /// The same as some firmware TPMs are: without endorsement keys and certificates.
    ///
    /// # Errors
    /// When it can't be made or started.
    pub fn tpm_without_certificate(&self, directory: &Path) -> Result<Swtpm> {
        self.setup(directory, false)?;
        Swtpm::power_up(directory)
    }

    /// PEM file of its root.
    pub fn root(&self) -> PathBuf {
        self.directory.join("authority/swtpm-localca-rootca-cert.pem")
    }

    /// PEM file of what stands between its root and the endorsement certificates.
    pub fn intermediates(&self) -> PathBuf {
        self.directory.join("authority/issuercert.pem")
    }

    fn setup(&self, directory: &Path, certificate: bool) -> Result<()> {
        let state = directory.join("state");
        fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
        let mut command = Command::new("swtpm_setup");
        command.args(["--tpm2", "--overwrite", "--tpmstate"]).arg(&state);
        command.arg("--config").arg(self.directory.join("setup.conf"));
        if certificate {
            command.arg("--create-ek-cert");
        }
        run(&mut command).map(drop).context("making a TPM")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}
