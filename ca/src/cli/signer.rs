//! `inro-ca signer …`: the signers that the ledger knows, and retiring one that never comes back.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use ca_core::{
    app::{failure::Failure, retire_signer::RetireError},
    domain::ids::{IssuerId, SignerName},
    ports::store::SignerRecord,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, table},
};
use crate::{
    config::Config,
    wiring::{self, Books},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the signers that the ledger knows.
    List,
    /// Retire a signer whose host never comes back.
    Retire(Retire),
}

/// What is in its journal and not yet in the ledger is taken over from a copy of the journal, if there is one. What it
/// may have signed besides is revoked. Its name can't be used again.
#[derive(Args, Debug)]
pub(super) struct Retire {
    /// The signer's name.
    #[arg(value_parser = SignerName::parse)]
    name: SignerName,
    /// Whose signer it is, where there are several issuers.
    #[arg(long, value_parser = IssuerId::parse)]
    issuer: Option<IssuerId>,
    /// A copy of its journal, as `inro-hsm journal show --json --limit 1000000000 COPY` prints it.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The label of the issuing key in that signer's configuration, if it isn't the one of this node's.
    #[arg(long, requires = "journal")]
    key: Option<String>,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct SignerView {
    issuer: String,
    name: String,
    journal: String,
    this_node: bool,
    reconciled_entry: u64,
    accepted_to_entry: u64,
    retired_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct RetiredView {
    issuer: String,
    name: String,
    adopted: Vec<String>,
    orphans: Vec<String>,
    restored_revocations: Vec<String>,
    revoked: Vec<String>,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let books = wiring::books(config).await.map_err(CliError::configuration)?;
    match command {
        Command::List => list(&books, output).await,
        Command::Retire(retire) => retire.run(&books, config, output).await,
    }
}

async fn list(books: &Books, output: Output) -> Result<(), CliError> {
    let mut views = Vec::new();
    for reconcile in &books.reconcile {
        let issuer = reconcile.issuer.id();
        let here = reconcile.signer.name(issuer).map_err(Failure::from)?;
        let known = books.signers().signers(issuer).await.map_err(Failure::from)?;
        views.extend(known.into_iter().map(|known| SignerView {
            issuer: issuer.to_string(),
            this_node: known.name == here,
            name: known.name.to_string(),
            journal: known.journal.to_string(),
            reconciled_entry: known.reconciled.map_or(0, |reconciled| reconciled.sequence),
            accepted_to_entry: known.anchors_accepted_to,
            retired_at: known.retired_at,
        }));
    }
    output.result(&views, |out| {
        let heading = ["ISSUER", "SIGNER", "HERE", "RECONCILED UP TO ENTRY", "RETIRED"];
        let mut rows = vec![heading.map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            vec![
                view.issuer.clone(),
                view.name.clone(),
                if view.this_node { "yes" } else { "no" }.to_owned(),
                view.reconciled_entry.to_string(),
                view.retired_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            ]
        }));
        table(out, &rows)
    })
}

impl Retire {
    async fn run(self, books: &Books, config: &Config, output: Output) -> Result<(), CliError> {
        let issuer = self.issuer.clone().unwrap_or_else(|| config.customer_issuer().id.clone());
        let reconcile = books.of(&issuer);
        let reconcile = reconcile
            .ok_or_else(|| CliError::not_found(format_args!("no issuer {issuer} is configured here")))?;
        if reconcile.signer.name(&issuer).map_err(Failure::from)? == self.name
            && reconcile.signer.journal(&issuer).await.is_ok()
        {
            let why = anyhow::anyhow!(
                "the signer {} runs, and its journal can be read: a signer is retired when it never comes back",
                self.name
            );
            return Err(CliError::new(Exit::Refused, why));
        }
        let retire = books.retire(&issuer);
        let (known, intents) = retire.prepare(&self.name).await?;
        let copy = self.copy(books, config, &known).map_err(|error| CliError::new(Exit::Failed, error))?;
        self.confirm(intents.len())?;
        let retired = retire.run(operator(), &self.name, copy.as_ref()).await?;
        let copied = retired.copy.unwrap_or_default();
        let serials =
            |list: &[ca_core::domain::ids::SerialNumber]| list.iter().map(ToString::to_string).collect();
        let view = RetiredView {
            issuer: issuer.to_string(),
            name: self.name.to_string(),
            adopted: serials(&copied.adopted),
            orphans: serials(&copied.orphans),
            restored_revocations: serials(&copied.restored),
            revoked: serials(&retired.revoked),
        };
        output.result(&view, |out| {
            writeln!(out, "{} is retired; its name can't be used again", view.name)?;
            for (what, serials) in [
                ("taken over from the copy", &view.adopted),
                ("orphan of the copy", &view.orphans),
                ("revocation entered again from the copy", &view.restored_revocations),
                ("revoked, because it may have been signed", &view.revoked),
            ] {
                serials.iter().try_for_each(|serial| writeln!(out, "  {serial}  {what}"))?;
            }
            Ok(())
        })
    }

    fn copy(
        &self,
        books: &Books,
        config: &Config,
        known: &SignerRecord,
    ) -> anyhow::Result<Option<ca_core::app::reconcile::Reconcile>> {
        let Some(file) = &self.journal else { return Ok(None) };
        let configured = config.issuers.iter().find(|issuer| issuer.id == known.issuer);
        let configured = configured.map(|issuer| issuer.issuing_key.as_str()).unwrap_or_default();
        books.with_copy(known, file, self.key.as_deref().unwrap_or(configured)).map(Some)
    }

    fn confirm(&self, intents: usize) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        let what = match &self.journal {
            Some(_) => "those that the copy doesn't have are revoked",
            None => "without a copy of its journal all of them are revoked",
        };
        if !io::stdin().is_terminal() {
            let why = anyhow::anyhow!("nobody can be asked here: add --yes to retire {} ({what})", self.name);
            return Err(CliError::new(Exit::Refused, why));
        }
        let mut out = io::stderr().lock();
        write!(
            out,
            "{intents} intents of {} are open; {what}.\nIts name can never be used again. Type the name to go on: ",
            self.name
        )?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if answer.trim() == self.name.as_str() {
            return Ok(());
        }
        Err(CliError::new(Exit::Refused, anyhow::anyhow!("nothing was changed")))
    }
}

impl From<RetireError> for CliError {
    fn from(error: RetireError) -> Self {
        match error {
            RetireError::Unknown(_) => Self::new(Exit::NotFound, error),
            RetireError::Already(_) | RetireError::Copy(_) => Self::new(Exit::Refused, error),
            RetireError::Failure(failure) => failure.into(),
        }
    }
}
