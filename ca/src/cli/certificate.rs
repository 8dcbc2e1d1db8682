//! `inro-ca certificate …`.

use ca_core::{
    app::{certificates::Shown, revoke::RevokeError},
    domain::{
        certificate::{CertificateRecord, CertificateState},
        ids::{ContractNumber, IssuerId, SerialNumber, UserId},
        revocation::{Revocation, RevocationReason},
    },
    ports::store::RevokeOutcome,
};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, facts, table},
    staff,
};
use crate::{
    config::Config,
    wiring::{self, Desk},
};

/// Rows are read so many at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List certificates and open intents in the order of issuance.
    List {
        /// Only this user's.
        #[arg(long, value_parser = UserId::parse)]
        user: Option<UserId>,
        /// Only this contract's.
        #[arg(long, value_parser = ContractNumber::parse, conflicts_with = "user")]
        contract: Option<ContractNumber>,
    },
    /// Show a certificate with the evidence that it was issued on.
    Show {
        /// Its serial number, in lower-case hexadecimal digits.
        #[arg(value_parser = SerialNumber::parse)]
        serial: SerialNumber,
    },
    /// Revoke a certificate, for good. OCSP says so at once, the next CRL within seconds.
    Revoke {
        /// Its serial number, in lower-case hexadecimal digits.
        #[arg(value_parser = SerialNumber::parse)]
        serial: SerialNumber,
        /// The reason, by its name in RFC 5280: unspecified, keyCompromise, affiliationChanged, superseded,
        /// cessationOfOperation, privilegeWithdrawn.
        #[arg(long, value_parser = reason)]
        reason: RevocationReason,
        /// Where there are members of staff, who revoke at the console: why it is done here. It stands in the audit trail.
        #[arg(long, value_name = "REASON")]
        break_glass: Option<String>,
    },
}

/// A reason by its name in RFC 5280.
pub(super) fn reason(text: &str) -> Result<RevocationReason, String> {
    RevocationReason::parse(text).ok_or_else(|| {
        let names: Vec<&str> = RevocationReason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("choose one of {}", names.join(", "))
    })
}

/// A certificate as it is printed.
#[derive(Serialize)]
struct CertificateView {
    issuer: String,
    serial: String,
    user: String,
    contract: String,
    state: &'static str,
    token_kind: &'static str,
    token_serial: String,
    assurance: &'static str,
    not_before: Timestamp,
    not_after: Timestamp,
    issued_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    reason: Option<&'static str>,
    intent: String,
}

impl From<&CertificateRecord> for CertificateView {
    fn from(record: &CertificateRecord) -> Self {
        let mut view = Self {
            issuer: record.issuer.to_string(),
            serial: record.serial.to_string(),
            user: record.user.to_string(),
            contract: record.contract.to_string(),
            state: "",
            token_kind: record.device.kind.as_str(),
            token_serial: record.device.serial.to_string(),
            assurance: record.assurance.as_str(),
            not_before: record.not_before,
            not_after: record.not_after,
            issued_at: None,
            confirmed_at: None,
            revoked_at: None,
            reason: None,
            intent: record.intent.to_string(),
        };
        match &record.state {
            CertificateState::Intended => view.state = "intended",
            CertificateState::Abandoned => view.state = "abandoned",
            CertificateState::Issued { at, confirmed_at, .. } => {
                view.state = if record.is_unconfirmed_renewal() { "unconfirmed" } else { "issued" };
                view.issued_at = Some(*at);
                view.confirmed_at = *confirmed_at;
            }
            CertificateState::Revoked { at, reason, .. } => {
                view.state = "revoked";
                view.revoked_at = Some(*at);
                view.reason = Some(reason.as_str());
            }
        }
        view
    }
}

#[derive(Serialize)]
struct ShownView {
    #[serde(flatten)]
    certificate: CertificateView,
    pem: Option<String>,
    evidence: Option<EvidenceView>,
}

#[derive(Serialize)]
struct EvidenceView {
    format: String,
    verdict: String,
    policy: String,
    policy_version: u32,
    judged_at: Timestamp,
    decoded: Vec<String>,
}

#[derive(Serialize)]
struct RevokedView<'a> {
    serial: String,
    revoked_at: Timestamp,
    reason: &'a str,
    already: bool,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::desk(config).await.map_err(CliError::configuration)?;
    let issuer = &config.customer_issuer().id;
    match command {
        Command::List { user, contract } => list(&desk, issuer, user, contract, output).await,
        Command::Show { serial } => match desk.certificates.show(issuer, &serial).await? {
            Some(shown) => show(&shown, output),
            None => Err(CliError::not_found(format_args!("there is no certificate {serial}"))),
        },
        Command::Revoke { serial, reason, break_glass } => {
            match break_glass {
                Some(why) => {
                    desk.customers.note(operator(), "certificate.break-glass", &serial, &why).await?;
                }
                None => staff::may_change(config, &desk).await?,
            }
            revoke(&desk, issuer, &serial, reason, output).await
        }
    }
}

async fn list(
    desk: &Desk,
    issuer: &IssuerId,
    user: Option<UserId>,
    contract: Option<ContractNumber>,
    output: Output,
) -> Result<(), CliError> {
    let mut records = Vec::new();
    if let Some(user) = &user {
        records = desk.certificates.of_user(user).await?;
        records.reverse();
    } else {
        loop {
            let after = records.last().map(|record: &CertificateRecord| record.serial.clone());
            let page = desk.certificates.list(issuer, after.as_ref(), PAGE).await?;
            let last = page.len() < PAGE as usize;
            records.extend(page);
            if last {
                break;
            }
            output.progress(&format!("{} certificates …", records.len()));
        }
    }
    let wanted = |record: &&CertificateRecord| contract.as_ref().is_none_or(|c| record.contract == *c);
    let views: Vec<CertificateView> = records.iter().filter(wanted).map(CertificateView::from).collect();
    output.result(&views, |out| {
        let heading = ["SERIAL", "USER", "CONTRACT", "STATE", "TOKEN", "VALID UNTIL"];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            vec![
                view.serial.clone(),
                view.user.clone(),
                view.contract.clone(),
                view.state.to_owned(),
                view.token_serial.clone(),
                view.not_after.to_string(),
            ]
        }));
        table(out, &rows)
    })
}

fn show(shown: &Shown, output: Output) -> Result<(), CliError> {
    let certificate = CertificateView::from(&shown.record);
    let pem = shown.record.der().map(pem).transpose()?;
    let evidence = shown.evidence.as_ref().map(|evidence| EvidenceView {
        format: evidence.format.clone(),
        verdict: evidence.verdict.clone(),
        policy: evidence.policy.name.to_string(),
        policy_version: evidence.policy.version,
        judged_at: evidence.judged_at,
        decoded: evidence.decoded.lines().map(ToOwned::to_owned).collect(),
    });
    let view = ShownView { certificate, pem, evidence };
    output.result(&view, |out| {
        let certificate = &view.certificate;
        let or_none = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let mut lines = vec![
            ("serial", certificate.serial.clone()),
            ("issuer", certificate.issuer.clone()),
            ("user", certificate.user.clone()),
            ("contract", certificate.contract.clone()),
            ("state", certificate.state.to_owned()),
            ("token", format!("{} {}", certificate.token_kind, certificate.token_serial)),
            ("assurance", certificate.assurance.to_owned()),
            ("valid from", certificate.not_before.to_string()),
            ("valid until", certificate.not_after.to_string()),
            ("issued", or_none(certificate.issued_at)),
            ("confirmed", or_none(certificate.confirmed_at)),
            ("revoked", or_none(certificate.revoked_at)),
            ("reason", certificate.reason.unwrap_or("-").to_owned()),
            ("intent", certificate.intent.clone()),
        ];
        if let Some(evidence) = &view.evidence {
            lines.push(("evidence", format!("{}, {}", evidence.format, evidence.verdict)));
            lines.push(("policy", format!("{}/{}", evidence.policy, evidence.policy_version)));
            lines.extend(evidence.decoded.iter().map(|line| ("", line.clone())));
        }
        facts(out, &lines)?;
        write!(out, "{}", view.pem.as_deref().unwrap_or_default())
    })
}

/// A certificate as PEM.
pub(super) fn pem(der: &[u8]) -> Result<String, CliError> {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der)
        .map_err(|error| CliError::from(anyhow::anyhow!("{error}")))
}

async fn revoke(
    desk: &Desk,
    issuer: &IssuerId,
    serial: &SerialNumber,
    reason: RevocationReason,
    output: Output,
) -> Result<(), CliError> {
    let outcome = desk.revoke.by_serial(operator(), issuer, serial, reason).await;
    let outcome = outcome.map_err(|error| match error {
        RevokeError::Failure(failure) => CliError::from(failure),
        refused => CliError::new(Exit::Refused, refused),
    })?;
    let (revocation, already): (Revocation, bool) = match outcome {
        RevokeOutcome::Revoked(revocation) => (revocation, false),
        RevokeOutcome::Already(revocation) => (revocation, true),
        RevokeOutcome::Unknown => {
            return Err(CliError::not_found(format_args!("there is no certificate {serial}")));
        }
    };
    let view = RevokedView {
        serial: serial.to_string(),
        revoked_at: revocation.at,
        reason: revocation.reason.as_str(),
        already,
    };
    output.result(&view, |out| {
        let word = if already { "was already revoked" } else { "is revoked" };
        writeln!(out, "{serial} {word} since {}, {}", revocation.at, revocation.reason.as_str())
    })
}
