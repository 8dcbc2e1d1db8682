//! `inro-ca reconcile …`: what ledger and journals say of each other, and accepting that a ledger was restored.

use ca_core::{
    app::{
        failure::Failure,
        reconcile::{Reconcile, accept::AcceptError, look::Look},
    },
    domain::{
        anchor::{Divergence, Loss},
        audit::AuditRow,
        ids::{IssuerId, SignerName},
        ocsp::LedgerStatus,
    },
    ports::store::Orphan,
};
use clap::Subcommand;
use der::Decode;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::Output,
};
use crate::{
    config::Config,
    wiring::{self, Books},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Hold ledger and journals against each other, and say what to do. Changes nothing.
    Status,
    /// Accept that the ledger was restored from a backup and lost what came after it. Issuing goes on then.
    Accept {
        /// The issuer.
        #[arg(long, value_parser = IssuerId::parse)]
        issuer: IssuerId,
        /// The signer, by its name.
        #[arg(long, value_parser = SignerName::parse)]
        signer: SignerName,
        /// Why the ledger was restored, for the auditors.
        #[arg(long)]
        reason: String,
    },
}

/// How ledger and journal agree while the signer can't be asked.
const UNKNOWN: &str = "unknown";

#[derive(Serialize)]
struct Status {
    agreed: bool,
    issuers: Vec<IssuerStatus>,
}

#[derive(Serialize)]
struct IssuerStatus {
    issuer: String,
    signer: String,
    /// `agreed`, `unknown` when the signer can't be asked, or a divergence's code.
    agreement: &'static str,
    explanation: String,
    next_step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalView>,
    ledger_row: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<LostView>,
    restored_revocations: Vec<RestoredView>,
    orphans: Vec<OrphanView>,
    other_signers: Vec<OtherSigner>,
}

#[derive(Serialize)]
struct JournalView {
    entries: u64,
    reconciled_entry: u64,
    furthest_ledger_row: u64,
}

#[derive(Serialize)]
struct LostView {
    after_row: u64,
    up_to_row: u64,
    journal_entries: u64,
    certificates: u64,
    revocations: u64,
    crls: u64,
}

#[derive(Serialize)]
struct RestoredView {
    serial: String,
    audit_row: u64,
}

#[derive(Serialize)]
struct OrphanView {
    serial: String,
    subject: String,
    not_after: Timestamp,
    signer: String,
    journal_entry: u64,
    revoked: bool,
}

#[derive(Serialize)]
struct OtherSigner {
    signer: String,
    reconciled_entry: u64,
    retired_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct AcceptedView {
    issuer: String,
    signer: String,
    lost_after_row: u64,
    lost_up_to_row: u64,
    accepted_to_entry: u64,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let books = wiring::books(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Status => status(&books, output).await,
        Command::Accept { issuer, signer, reason } => {
            let reconcile = books.of(&issuer);
            let reconcile = reconcile
                .ok_or_else(|| CliError::not_found(format_args!("no issuer {issuer} is configured here")))?;
            accept(reconcile, &signer, &reason, output).await
        }
    }
}

async fn accept(
    reconcile: &Reconcile,
    signer: &SignerName,
    reason: &str,
    output: Output,
) -> Result<(), CliError> {
    output.progress("taking over what the journal still knows …");
    let accepted = reconcile.accept(operator(), signer, reason).await?;
    let Loss { common, furthest, last_entry, .. } = accepted.loss;
    let view = AcceptedView {
        issuer: reconcile.issuer.id().to_string(),
        signer: signer.to_string(),
        lost_after_row: common.map_or(0, |common| common.sequence),
        lost_up_to_row: furthest.sequence,
        accepted_to_entry: last_entry,
    };
    output.result(&view, |out| {
        writeln!(
            out,
            "accepted: the ledger lost what stood after row {} of its audit trail, up to row {} at least; a running node \
             goes on issuing within seconds",
            view.lost_after_row, view.lost_up_to_row
        )
    })
}

async fn status(books: &Books, output: Output) -> Result<(), CliError> {
    output.progress("holding ledger and journals against each other …");
    let mut issuers = Vec::new();
    for reconcile in &books.reconcile {
        issuers.push(of_issuer(books, reconcile).await?);
    }
    let status = Status { agreed: issuers.iter().all(|issuer| issuer.agreement == "agreed"), issuers };
    output.result(&status, |out| status.issuers.iter().try_for_each(|issuer| print(out, issuer)))?;
    if status.agreed {
        return Ok(());
    }
    // A signer that can't be asked agrees with nothing, and disagrees neither.
    if status.issuers.iter().all(|issuer| ["agreed", UNKNOWN].contains(&issuer.agreement)) {
        return Err(CliError::new(Exit::Unavailable, anyhow::anyhow!("not every signer can be asked")));
    }
    Err(CliError::new(Exit::CheckFailed, anyhow::anyhow!("a ledger and a journal don't agree")))
}

async fn of_issuer(books: &Books, reconcile: &Reconcile) -> Result<IssuerStatus, CliError> {
    let issuer = reconcile.issuer.id();
    let here = reconcile.signer.name(issuer).map_err(Failure::from)?;
    let others = books.signers().signers(issuer).await.map_err(Failure::from)?.into_iter();
    let others = others.filter(|known| known.name != here).map(|known| OtherSigner {
        signer: known.name.to_string(),
        reconciled_entry: known.reconciled.map_or(0, |reconciled| reconciled.sequence),
        retired_at: known.retired_at,
    });
    let mut status = IssuerStatus {
        issuer: issuer.to_string(),
        signer: here.to_string(),
        agreement: UNKNOWN,
        explanation: String::new(),
        next_step: String::new(),
        journal: None,
        ledger_row: None,
        lost: None,
        restored_revocations: Vec::new(),
        orphans: orphans(books, reconcile).await?,
        other_signers: others.collect(),
    };
    match reconcile.look(false).await {
        Ok(look) => status.found(&look, reconcile).await?,
        Err(Failure::Signer(error)) => {
            status.explanation = format!("the signer can't be asked: {error}");
            "Start the signer, then look again.".clone_into(&mut status.next_step);
        }
        Err(failure) => return Err(failure.into()),
    }
    Ok(status)
}

impl IssuerStatus {
    async fn found(&mut self, look: &Look, reconcile: &Reconcile) -> Result<(), CliError> {
        let reconciled = look.known.as_ref().and_then(|known| known.reconciled);
        self.journal = Some(JournalView {
            entries: look.journal.last.map_or(0, |last| last.sequence),
            reconciled_entry: reconciled.map_or(0, |reconciled| reconciled.sequence),
            furthest_ledger_row: look.journal.audit.map_or(0, |audit| audit.sequence),
        });
        self.ledger_row = Some(look.ledger.sequence);
        let Some(divergence) = &look.divergence else {
            self.agreement = "agreed";
            "ledger and journal agree".clone_into(&mut self.explanation);
            let open = self.orphans.iter().filter(|orphan| !orphan.revoked).count();
            self.next_step = match open {
                0 => "Nothing is to be done.".to_owned(),
                count => format!("Decide about the {count} orphans: {ORPHANS}"),
            };
            return Ok(());
        };
        self.agreement = divergence.code();
        self.explanation = format!("{divergence}; nothing is issued");
        self.next_step = next_step(divergence, &self.issuer, &self.signer);
        if let Divergence::Ledger(loss) = divergence {
            let after_row = loss.common.map_or(0, |common| common.sequence);
            self.lost = Some(LostView {
                after_row,
                up_to_row: loss.furthest.sequence,
                journal_entries: loss.entries,
                certificates: look.lost.certificates,
                revocations: look.lost.revocations,
                crls: look.lost.crls,
            });
            let restored = reconcile.restored_since(after_row).await?;
            let view = |row: AuditRow| RestoredView { serial: row.subject, audit_row: row.sequence };
            self.restored_revocations = restored.into_iter().map(view).collect();
        }
        Ok(())
    }
}

const ORPHANS: &str = "each was signed, and the ledger has no record of who asked for it. They are good for nothing as \
                       they are. Their holders enrol again; revoke them with `inro-ca certificate revoke`.";

fn next_step(divergence: &Divergence, issuer: &str, signer: &str) -> String {
    match divergence {
        Divergence::Ledger(_) => format!(
            "If you restored this ledger from a backup: start every node that uses it, let each look here, then run\n  \
             inro-ca reconcile accept --issuer {issuer} --signer {signer} --reason \"…\"\nIf nobody did, somebody \
             changed the database: stop the node, keep copies of database and journal, and report an incident. Don't \
             accept it."
        ),
        Divergence::JournalReplaced
        | Divergence::JournalBehind { .. }
        | Divergence::JournalDiffers { .. } => format!(
            "Stop the signer {signer}, put its whole journal back from the copy off the host, and start it: they agree \
             again by themselves. If no copy is whole, give the signer a new name, with the best copy as its journal or \
             an empty one, then run `inro-ca signer retire {signer}`. See backup.md."
        ),
        Divergence::Retired { .. } => {
            format!("The name {signer} isn't used again: give the signer a new name and an empty journal.")
        }
    }
}

async fn orphans(books: &Books, reconcile: &Reconcile) -> Result<Vec<OrphanView>, CliError> {
    let issuer = reconcile.issuer.id();
    let mut views = Vec::new();
    for orphan in books.certificates().orphans(issuer).await.map_err(Failure::from)? {
        let status = reconcile.revocations.status(issuer, &orphan.serial).await.map_err(Failure::from)?;
        views.push(OrphanView {
            subject: subject(&orphan),
            serial: orphan.serial.to_string(),
            not_after: orphan.not_after,
            signer: orphan.signer.to_string(),
            journal_entry: orphan.position.sequence,
            revoked: matches!(status, LedgerStatus::Revoked(_)),
        });
    }
    Ok(views)
}

fn subject(orphan: &Orphan) -> String {
    let certificate = x509_cert::Certificate::from_der(&orphan.der);
    certificate.map_or_else(|_| "?".to_owned(), |read| read.tbs_certificate().subject().to_string())
}

fn print(out: &mut dyn std::io::Write, status: &IssuerStatus) -> std::io::Result<()> {
    writeln!(out, "{} with the signer {}: {}", status.issuer, status.signer, status.agreement)?;
    writeln!(out, "  {}", status.explanation)?;
    if let Some(journal) = &status.journal {
        let row = status.ledger_row.unwrap_or_default();
        writeln!(
            out,
            "  the journal has {} entries, of which {} are reconciled, and reaches row {} of the audit trail; the trail \
             has {row} rows",
            journal.entries, journal.reconciled_entry, journal.furthest_ledger_row
        )?;
    }
    if let Some(lost) = &status.lost {
        writeln!(
            out,
            "  lost: rows {} to {} at least; the journal still has {} certificates, {} revocations and {} CRLs of that \
             time",
            lost.after_row + 1,
            lost.up_to_row,
            lost.certificates,
            lost.revocations,
            lost.crls
        )?;
        writeln!(out, "  revocations entered again since: {}", status.restored_revocations.len())?;
    }
    for orphan in &status.orphans {
        let state = if orphan.revoked { "revoked" } else { "blocked" };
        writeln!(
            out,
            "  orphan {} ({state}): {}, entry {} of {}, until {}",
            orphan.serial, orphan.subject, orphan.journal_entry, orphan.signer, orphan.not_after
        )?;
    }
    for other in &status.other_signers {
        let state = match other.retired_at {
            Some(at) => format!("retired at {at}"),
            None => format!("another node's, reconciled there up to entry {}", other.reconciled_entry),
        };
        writeln!(out, "  signer {}: {state}", other.signer)?;
    }
    writeln!(out, "  next: {}", status.next_step)
}

impl From<AcceptError> for CliError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::OtherSigner { .. }
            | AcceptError::Agreed
            | AcceptError::Journal(_)
            | AcceptError::NoReason => Self::new(Exit::Refused, error),
            AcceptError::Failure(failure) => failure.into(),
        }
    }
}
