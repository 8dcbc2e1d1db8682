//! `inro-ca doctor`: looks at everything that serving needs and says what is wrong, with the remedy. `serve` refuses to
//! start on the same findings.

use anyhow::{Context, anyhow, bail};
use ca_core::{
    domain::ocsp::Responder,
    ports::{
        clock::Clock as _,
        signer::{Signer, SignerError},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    config::warnings,
    exit::{CliError, Exit},
    output::Output,
};
use crate::{
    adapters::clock::SystemClock,
    config::{self, Config},
    http::tls::CurrentIdentity,
    jobs::{MACHINE_ALARM, SERVER_ALARM},
    material::{self, IssuerMaterial, Material},
    wiring::{self, Adapters},
};

/// A staff CA's CRL that lapses so soon wants a ceremony; the alert sounds as early.
const STAFF_CRL_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A responder's certificate that ends so soon wasn't renewed when it should have been.
const RESPONDER_SOON: SignedDuration = SignedDuration::from_hours(24);

#[derive(Serialize)]
struct Finding {
    what: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl Finding {
    fn of<T>(what: impl Into<String>, result: &anyhow::Result<T>) -> Self {
        let trouble = result.as_ref().err().map(|error| format!("{error:#}"));
        Self { what: what.into(), ok: trouble.is_none(), trouble }
    }
}

#[derive(Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
    warnings: Vec<&'static str>,
}

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let findings = examine(config, output).await;
    let healthy = findings.iter().all(|finding| finding.ok);
    let report = Report { healthy, findings, warnings: warnings(config) };
    output.result(&report, |out| {
        for warning in &report.warnings {
            writeln!(out, "warning  {warning}")?;
        }
        for finding in &report.findings {
            match &finding.trouble {
                None => writeln!(out, "ok       {}", finding.what)?,
                Some(trouble) => writeln!(out, "TROUBLE  {}: {trouble}", finding.what)?,
            }
        }
        Ok(())
    })?;
    if report.healthy {
        return Ok(());
    }
    Err(CliError::new(Exit::CheckFailed, anyhow!("the doctor found trouble")))
}

async fn examine(config: &Config, output: Output) -> Vec<Finding> {
    output.progress("looking at files, database and signers …");
    let mut findings = vec![Finding::of("configuration file", &anyhow::Ok(()))];
    let material = material::load(config);
    findings.push(Finding::of("certificates, CRL, trust anchors and calendar", &material));
    findings.push(Finding::of("server certificate and key", &server(config, SystemClock.now())));
    let adapters = Adapters::open(config).await;
    findings.push(Finding::of("database and its schema", &adapters));
    findings.extend(custody(config).await);
    let (Ok(material), Ok(adapters)) = (&material, &adapters) else { return findings };
    let profile = wiring::check_profile(config, material);
    findings.push(Finding::of("issuers, their policies and where they publish", &profile));
    let now = adapters.now();
    for (machine, _) in &material.machines {
        let lasts = lasts(machine.registered.not_after, now, MACHINE_ALARM);
        let remedy = "have its authority issue a new one, and name it under certificate";
        let lasts = lasts.with_context(|| format!("machine.{}.certificate: {remedy}", machine.id));
        findings.push(Finding::of(format!("certificate of the machine {}", machine.id), &lasts));
    }
    if let Some(crl) = &material.staff_crl {
        let remedy = "staff.crl: hold a ceremony for the next one, and replace the file";
        let lasts = lasts(crl.next_update, now, STAFF_CRL_SOON).context(remedy);
        findings.push(Finding::of("the staff CA's CRL", &lasts));
    }
    findings.push(Finding::of(
        "the root's CRL isn't older than what was served",
        &root_crl(material, adapters).await,
    ));
    findings.extend(responders(config, adapters).await);
    findings.extend(mail(config).await);
    for (issuer, files) in config.issuers.iter().zip(&material.issuers) {
        let what = format!("keys of the signer {} against the certificates of {}", issuer.signer, issuer.id);
        findings.push(Finding::of(what, &prove(issuer, files, adapters).await.map_err(|e| e.error)));
        let signs = adapters.signers.healthy(&issuer.id).await;
        let signs = signs.with_context(|| format!("look at `inro-hsm` and its log for {}", issuer.signer));
        findings.push(Finding::of(format!("the signer {} signs", issuer.signer), &signs));
    }
    findings
}

/// The certificate that browsers, agents and machines see.
fn server(config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let identity = material::server_identity(&config.tls)?;
    CurrentIdentity::new(&identity)?;
    let good = identity.valid_at(now).and_then(|()| lasts(identity.validity()?.not_after, now, SERVER_ALARM));
    good.context("tls.certificate_file: put a renewed one in its place, with its key")
}

async fn root_crl(material: &Material, adapters: &Adapters) -> anyhow::Result<()> {
    match wiring::root_crls(material, adapters)?.judge(&material.root_crl).await? {
        Some(unfit) => {
            Err(unfit).context("validation.root_crl: the newer one is served; put it back in its place")
        }
        None => Ok(()),
    }
}

/// The certificates that OCSP is answered with: each should have been renewed long before its end.
async fn responders(config: &Config, adapters: &Adapters) -> Vec<Finding> {
    let what = "OCSP responders' certificates";
    let in_use = wiring::responders_in_use(config, adapters).await;
    let Ok(in_use) = &in_use else { return vec![Finding::of(what, &in_use)] };
    let of = |(issuer, responder): (&config::Issuer, &Responder)| {
        let remedy = "the job that renews it fails: see the log, and `inro-ca responder renew`";
        let lasts = lasts(responder.not_after(), adapters.now(), RESPONDER_SOON).context(remedy);
        Finding::of(format!("OCSP responder's certificate of {}", issuer.id), &lasts)
    };
    config.issuers.iter().zip(in_use).map(of).collect()
}

/// Whether every PUK that is kept can be had, where any are.
async fn custody(config: &Config) -> Option<Finding> {
    config.token_custody.as_ref()?;
    let look = async {
        let desk = wiring::custody_desk(config).await?;
        let census = desk.reseal.census().await?;
        match census.iter().find(|(version, _)| !desk.keys.versions().any(|known| known == *version)) {
            Some((version, kept)) => bail!(
                "token_custody.key_file: {kept} PUKs are kept under version {version}, which isn't in it; put that line back"
            ),
            None => Ok(()),
        }
    };
    Some(Finding::of("custody of PUKs", &look.await))
}

/// Whether the mail server can be used, where one is configured.
async fn mail(config: &Config) -> Option<Finding> {
    let mail = config.mail.as_ref()?;
    let what = format!("mail server {}:{}", mail.server, mail.port);
    let usable = match wiring::mailer(config) {
        Ok(Some(mailer)) => mailer.check().await.map_err(anyhow::Error::new),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    Some(Finding::of(what, &usable.context("mail: users are told nothing until it can be used")))
}

/// Whether a certificate is good for some time still.
fn lasts(not_after: Timestamp, now: Timestamp, at_least: SignedDuration) -> anyhow::Result<()> {
    let left = not_after.duration_since(now);
    match left.as_hours() / 24 {
        _ if left.is_negative() => bail!("it expired at {not_after}"),
        days if left < at_least => bail!("it expires in {days} days, at {not_after}"),
        _ => Ok(()),
    }
}

/// Proves that each issuer's signer has the keys of the configured certificates.
///
/// # Errors
/// `Configuration` when a key isn't the certificate's, `Unavailable` when the signer doesn't answer.
pub(super) async fn prove_keys(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
) -> Result<(), CliError> {
    for (issuer, files) in config.issuers.iter().zip(&material.issuers) {
        prove(issuer, files, adapters).await?;
    }
    Ok(())
}

async fn prove(issuer: &config::Issuer, files: &IssuerMaterial, adapters: &Adapters) -> Result<(), CliError> {
    let (issuing, ocsp) = adapters.signers.certificates(&issuer.id).await.map_err(|error| {
        let exit = match error {
            SignerError::Refused { .. } => Exit::Configuration,
            SignerError::Unavailable(_) | SignerError::LockedOut(_) => Exit::Unavailable,
        };
        let remedy = format!(
            "issuer.{}: the signer {} at {} doesn't answer as it should; start it, or correct signer, signer_socket, \
             issuing_key and ocsp_key",
            issuer.id,
            issuer.signer,
            issuer.signer_socket.display()
        );
        CliError { exit, error: anyhow::Error::new(error).context(remedy) }
    })?;
    for (key, label, ours, theirs) in [
        ("certificate", &issuer.issuing_key, &files.certificate, &issuing),
        ("ocsp_certificate", &issuer.ocsp_key, &files.ocsp_certificate, &ocsp),
    ] {
        let same = material::public_key(ours)? == material::public_key(theirs)?;
        if !same {
            return Err(CliError::configuration(anyhow!(
                "issuer.{}.{key}: its key isn't the signer's key {label:?}; name the certificate that belongs to it",
                issuer.id
            )));
        }
    }
    Ok(())
}
