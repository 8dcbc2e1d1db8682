//! `inro-ca audit …`: reading the trail, and checking that nothing in it was changed.

use std::collections::BTreeMap;

use ca_core::{app::failure::Failure, domain::audit::AuditRow};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    output::{Output, table},
};
use crate::{
    config::Config,
    wiring::{self, Books, Desk},
};

/// Rows are read so many at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read the audit trail from its first row and check that each follows from the one before; then hold it against
    /// every entry of the journals that can be reached from here.
    Verify,
    /// List rows of the audit trail, oldest first.
    List {
        /// Only rows of this action, such as `certificate.issued`.
        #[arg(long)]
        action: Option<String>,
        /// Only rows about this, such as a user ID or a serial number.
        #[arg(long)]
        subject: Option<String>,
        /// Only rows after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}

#[derive(Serialize)]
struct Verified {
    rows: u64,
    head: String,
    journals: Vec<Compared>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_compared: Option<String>,
}

/// A journal held against the trail.
#[derive(Serialize)]
struct Compared {
    issuer: String,
    signer: String,
    /// Entries that were looked at.
    entries: u64,
    /// `agreed`, `unknown`, or what doesn't fit.
    agreement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// A row as it is printed.
#[derive(Serialize)]
struct RowView {
    sequence: u64,
    at: Option<Timestamp>,
    actor: String,
    action: String,
    subject: String,
    details: BTreeMap<String, String>,
    hash: String,
}

impl From<AuditRow> for RowView {
    fn from(row: AuditRow) -> Self {
        Self {
            sequence: row.sequence,
            at: Timestamp::from_millisecond(row.at_ms).ok(),
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            details: details(&row.details),
            hash: hex::encode(row.hash),
        }
    }
}

/// `name=value` lines with backslash escapes.
fn details(lines: &str) -> BTreeMap<String, String> {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), unescape(value))).collect()
}

fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(if characters.next() == Some('n') { '\n' } else { '\\' }),
            other => text.push(other),
        }
    }
    text
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Verify => {
            output.progress("reading the audit trail …");
            let whole = desk.audit.run().await?;
            let mut verified = Verified {
                rows: whole.rows,
                head: hex::encode(whole.head),
                journals: Vec::new(),
                not_compared: None,
            };
            output.progress("holding it against the journals …");
            match wiring::books(config).await {
                Ok(books) => verified.journals = compare(&books).await?,
                Err(error) => verified.not_compared = Some(format!("{error:#}")),
            }
            output.result(&verified, |out| verified.print(out))?;
            verified.judge()
        }
        Command::List { action, subject, after } => {
            let wanted = |row: &AuditRow| {
                action.as_ref().is_none_or(|action| row.action == *action)
                    && subject.as_ref().is_none_or(|subject| row.subject == *subject)
            };
            let rows = read(&desk, after, wanted).await?;
            output.result(&rows, |out| list(out, &rows))
        }
    }
}

async fn compare(books: &Books) -> Result<Vec<Compared>, CliError> {
    let mut journals = Vec::new();
    for reconcile in &books.reconcile {
        let issuer = reconcile.issuer.id();
        let mut compared = Compared {
            issuer: issuer.to_string(),
            signer: reconcile.signer.name(issuer).map_err(Failure::from)?.to_string(),
            entries: 0,
            agreement: "agreed",
            trouble: None,
        };
        match reconcile.look(true).await {
            Ok(look) => {
                compared.entries = look.entries;
                if let Some(divergence) = look.divergence {
                    (compared.agreement, compared.trouble) =
                        (divergence.code(), Some(divergence.to_string()));
                }
            }
            Err(Failure::Signer(error)) => {
                (compared.agreement, compared.trouble) = ("unknown", Some(error.to_string()));
            }
            Err(failure) => return Err(failure.into()),
        }
        journals.push(compared);
    }
    Ok(journals)
}

impl Verified {
    fn print(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        writeln!(out, "{} rows, none changed, lost or reordered; head {}", self.rows, self.head)?;
        for Compared { issuer, signer, entries, agreement, trouble } in &self.journals {
            match (*agreement, trouble) {
                (_, None) => {
                    writeln!(out, "journal of {signer} for {issuer}: {entries} entries, all anchored in it")?;
                }
                ("unknown", Some(why)) => {
                    writeln!(out, "journal of {signer} for {issuer}: not compared: {why}")?;
                }
                (_, Some(trouble)) => writeln!(out, "journal of {signer} for {issuer}: {trouble}")?,
            }
        }
        match &self.not_compared {
            Some(why) => writeln!(out, "no journal was compared: {why}"),
            None => Ok(()),
        }
    }

    fn judge(&self) -> Result<(), CliError> {
        let wrong = |journal: &&Compared| !matches!(journal.agreement, "agreed" | "unknown");
        match self.journals.iter().find(wrong) {
            Some(Compared { signer, trouble, .. }) => {
                let trouble = trouble.as_deref().unwrap_or_default();
                let why = anyhow::anyhow!("the journal of {signer} doesn't fit: {trouble}");
                Err(CliError::new(Exit::CheckFailed, why))
            }
            None => Ok(()),
        }
    }
}

async fn read(
    desk: &Desk,
    mut after: u64,
    wanted: impl Fn(&AuditRow) -> bool,
) -> Result<Vec<RowView>, CliError> {
    let mut rows = Vec::new();
    loop {
        let page = desk.audit.audit.rows_after(after, PAGE).await.map_err(Failure::from)?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = last.sequence;
        rows.extend(page.into_iter().filter(&wanted).map(RowView::from));
    }
}

fn list(out: &mut dyn std::io::Write, rows: &[RowView]) -> std::io::Result<()> {
    let heading = ["ROW", "WHEN", "WHO", "WHAT", "ABOUT", "PARTICULARS"];
    let mut lines = vec![heading.map(String::from).to_vec()];
    lines.extend(rows.iter().map(|row| {
        let particulars: Vec<String> =
            row.details.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        vec![
            row.sequence.to_string(),
            row.at.map(|at| at.to_string()).unwrap_or_default(),
            row.actor.clone(),
            row.action.clone(),
            row.subject.clone(),
            particulars.join(" "),
        ]
    }));
    table(out, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particulars_come_back_as_they_went_in() {
        let read = details("why=a\\\\b\\nc=d\nsource=127.0.0.1");
        assert_eq!(read["why"], "a\\b\nc=d");
        assert_eq!(read["source"], "127.0.0.1");
    }
}
