//! `inro-ca token …`: the tokens that the bank bought, handed out and got back.

mod custody;
mod list_file;

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context;
use ca_core::{
    app::inventory::{InventoryError, KnownTokens, Line, LineProblem, Moved},
    domain::{
        device::{Device, DeviceKind},
        ids::{ContractNumber, TokenSerial},
        policy::{TokenRecord, TokenState},
    },
    ports::inventory::TokenFilter,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, facts, table},
};
use crate::{
    config::Config,
    wiring::{self, InventoryDesk},
};

/// Lines of a bad list that are named; there may be as many as the list has.
const NAMED_LINES: usize = 50;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register the tokens of a vendor's list (CSV), all of them or none.
    Import {
        /// The list: with a heading that names a serial number's column, or one serial number a line.
        file: PathBuf,
        /// What kind of device it lists; without it YubiKeys, or TPMs where the heading speaks of endorsement keys.
        #[arg(long, value_parser = kind)]
        kind: Option<DeviceKind>,
        /// Their model, where the list has no column for it.
        #[arg(long)]
        model: Option<String>,
        /// Leave tokens as they are that are registered already, instead of refusing the list.
        #[arg(long)]
        skip_known: bool,
    },
    /// List the inventory.
    List {
        /// Only in this state.
        #[arg(long, value_parser = ["in-stock", "handed-out", "lost", "broken", "replaced", "returned", "retired"])]
        state: Option<String>,
        /// Only what this contract has.
        #[arg(long, value_parser = ContractNumber::parse)]
        contract: Option<ContractNumber>,
    },
    /// Show a token.
    Show(One),
    /// Hand tokens out to a contract.
    HandOut {
        /// The contract's number.
        #[arg(value_parser = ContractNumber::parse)]
        contract: ContractNumber,
        #[command(flatten)]
        tokens: Many,
    },
    /// Tokens came back from the customer.
    Return(Many),
    /// Put tokens that came back, or were mended, into the stock again.
    Restock(Many),
    /// Tokens are lost or stolen. What stands on them is revoked at once.
    Lost(Many),
    /// Tokens don't work any more. What stands on them is revoked.
    Broken(Many),
    /// Others took their place. What stands on them is revoked.
    Replaced(Many),
    /// Tokens are destroyed or given away, for good.
    Retire(Many),
    /// The keys that PUKs are kept under.
    #[command(subcommand)]
    Custody(custody::Command),
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The serial number; for a TPM SHA-256 of its endorsement key, 64 hexadecimal digits.
    #[arg(value_parser = TokenSerial::parse)]
    serial: TokenSerial,
    /// The kind of device.
    #[arg(long, value_parser = kind, default_value = "yubikey-piv")]
    kind: DeviceKind,
}

#[derive(Debug, Args)]
pub(super) struct Many {
    /// Serial numbers; for TPMs SHA-256 of their endorsement keys.
    #[arg(value_parser = TokenSerial::parse, required = true)]
    serials: Vec<TokenSerial>,
    /// The kind of device.
    #[arg(long, value_parser = kind, default_value = "yubikey-piv")]
    kind: DeviceKind,
    /// A note for the audit trail.
    #[arg(long)]
    note: Option<String>,
}

fn kind(text: &str) -> Result<DeviceKind, String> {
    DeviceKind::parse(text).ok_or_else(|| "write yubikey-piv, tpm, piv or pkcs11".to_owned())
}

/// A token as it is printed.
#[derive(Serialize)]
struct TokenView {
    kind: &'static str,
    serial: String,
    model: Option<String>,
    state: &'static str,
    contract: Option<String>,
    user: Option<String>,
    registered_at: Timestamp,
    changed_at: Timestamp,
}

impl From<&TokenRecord> for TokenView {
    fn from(token: &TokenRecord) -> Self {
        let contract = match &token.state {
            TokenState::HandedOut { contract } => Some(contract.to_string()),
            _ => None,
        };
        Self {
            kind: token.device.kind.as_str(),
            serial: token.device.serial.to_string(),
            model: token.model.clone(),
            // What stands with the user is part of the state for people.
            state: if token.user.is_some() { "assigned" } else { token.state.as_str() },
            contract,
            user: token.user.as_ref().map(ToString::to_string),
            registered_at: token.registered_at,
            changed_at: token.changed_at,
        }
    }
}

#[derive(Serialize)]
struct ImportedView {
    registered: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct MovedView {
    kind: &'static str,
    serial: String,
    before: &'static str,
    state: &'static str,
    /// The user whom it was taken away from.
    taken_from: Option<String>,
    /// Certificates on it that were revoked for it.
    revoked: Vec<String>,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    if let Command::Custody(command) = command {
        return custody::run(command, config, output).await;
    }
    let desk = wiring::inventory_desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Import { file, kind, model, skip_known } => {
            let source = file.display().to_string();
            let lines = list_file::read(&file, kind, model.as_deref())
                .with_context(|| source.clone())
                .map_err(|error| CliError { exit: Exit::Refused, error })?;
            output.progress(&format!("{} tokens in {source} …", lines.len()));
            import(&desk, &source, lines, skip_known, output).await
        }
        Command::List { state, contract } => list(&desk, state.as_deref(), contract, output).await,
        Command::Show(One { serial, kind }) => show(&desk, Device { kind, serial }, output).await,
        Command::HandOut { contract, tokens } => {
            put(&desk, tokens, &TokenState::HandedOut { contract }, output).await
        }
        Command::Return(tokens) => put(&desk, tokens, &TokenState::Returned, output).await,
        Command::Restock(tokens) => put(&desk, tokens, &TokenState::InStock, output).await,
        Command::Lost(tokens) => put(&desk, tokens, &TokenState::Lost, output).await,
        Command::Broken(tokens) => put(&desk, tokens, &TokenState::Broken, output).await,
        Command::Replaced(tokens) => put(&desk, tokens, &TokenState::Replaced, output).await,
        // Before the inventory is opened.
        Command::Custody(_) => Ok(()),
        Command::Retire(tokens) => put(&desk, tokens, &TokenState::Retired, output).await,
    }
}

async fn import(
    desk: &InventoryDesk,
    source: &str,
    lines: Vec<Line>,
    skip_known: bool,
    output: Output,
) -> Result<(), CliError> {
    let known = if skip_known { KnownTokens::Skip } else { KnownTokens::Refuse };
    let imported = desk.inventory.import(operator(), source, lines, known).await?;
    let view = ImportedView { registered: imported.registered, skipped: imported.skipped };
    output.result(&view, |out| {
        writeln!(out, "{} tokens are registered, {} were already", view.registered, view.skipped)
    })
}

async fn list(
    desk: &InventoryDesk,
    state: Option<&str>,
    contract: Option<ContractNumber>,
    output: Output,
) -> Result<(), CliError> {
    let names = ["in-stock", "handed-out", "lost", "broken", "replaced", "returned", "retired"];
    let state = state.and_then(|state| names.into_iter().find(|name| *name == state));
    let mut views = Vec::new();
    let filter = match (contract, state) {
        (Some(contract), _) => TokenFilter::With(contract),
        (None, Some(state)) => TokenFilter::InState(state),
        (None, None) => TokenFilter::All,
    };
    let mut take = |token: TokenRecord| {
        if state.is_none_or(|state| state == token.state.as_str()) {
            views.push(TokenView::from(&token));
        }
    };
    desk.inventory.each(&filter, &mut take).await?;
    output.result(&views, |out| {
        let mut rows =
            vec![["KIND", "SERIAL", "STATE", "CONTRACT", "USER", "MODEL"].map(String::from).to_vec()];
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        rows.extend(views.iter().map(|view| {
            vec![
                view.kind.to_owned(),
                view.serial.clone(),
                view.state.to_owned(),
                or_none(&view.contract),
                or_none(&view.user),
                or_none(&view.model),
            ]
        }));
        table(out, &rows)
    })
}

async fn show(desk: &InventoryDesk, device: Device, output: Output) -> Result<(), CliError> {
    let view = TokenView::from(&desk.inventory.show(&device).await?);
    output.result(&view, |out| {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        facts(
            out,
            &[
                ("kind", view.kind.to_owned()),
                ("serial", view.serial.clone()),
                ("model", or_none(&view.model)),
                ("state", view.state.to_owned()),
                ("contract", or_none(&view.contract)),
                ("user", or_none(&view.user)),
                ("registered", view.registered_at.to_string()),
                ("changed", view.changed_at.to_string()),
            ],
        )
    })
}

/// Moves each token by itself; the first that can't be moved ends it, and says which it was.
async fn put(desk: &InventoryDesk, tokens: Many, next: &TokenState, output: Output) -> Result<(), CliError> {
    let by = operator();
    let mut views = Vec::with_capacity(tokens.serials.len());
    for serial in tokens.serials {
        let device = Device { kind: tokens.kind, serial };
        let moved = desk.inventory.put(&by, &device, next, tokens.note.as_deref()).await?;
        views.push(moved_view(&moved));
    }
    output.result(&views, |out| {
        for view in &views {
            writeln!(out, "{} {}: {} → {}", view.kind, view.serial, view.before, view.state)?;
            if let Some(user) = &view.taken_from {
                writeln!(out, "  it was taken away from {user}")?;
            }
            for serial in &view.revoked {
                writeln!(out, "  certificate {serial} on it is revoked")?;
            }
        }
        Ok(())
    })
}

fn moved_view(moved: &Moved) -> MovedView {
    let left = moved.before.user.as_ref().filter(|_| !matches!(moved.state, TokenState::HandedOut { .. }));
    MovedView {
        kind: moved.before.device.kind.as_str(),
        serial: moved.before.device.serial.to_string(),
        before: moved.before.state.as_str(),
        state: moved.state.as_str(),
        taken_from: left.map(ToString::to_string),
        revoked: moved.revoked.iter().map(|revocation| revocation.serial.to_string()).collect(),
    }
}

impl From<InventoryError> for CliError {
    fn from(error: InventoryError) -> Self {
        let exit = match &error {
            InventoryError::UnknownToken(_) | InventoryError::UnknownContract => Exit::NotFound,
            InventoryError::Lines(problems) => {
                return Self::new(Exit::Refused, anyhow::anyhow!("{error}:{}", named(problems)));
            }
            InventoryError::Empty
            | InventoryError::TooLong { .. }
            | InventoryError::NotPossible { .. }
            | InventoryError::AssignedElsewhere(_)
            | InventoryError::Note(_) => Exit::Refused,
            InventoryError::Overtaken => Exit::Unavailable,
            InventoryError::Failure(_) => Exit::Failed,
        };
        match error {
            InventoryError::Failure(failure) => failure.into(),
            error => Self::new(exit, error),
        }
    }
}

/// A line for each line of the list that is in the way.
fn named(problems: &[(Line, LineProblem)]) -> String {
    let mut text = String::new();
    for (line, problem) in problems.iter().take(NAMED_LINES) {
        let serial = &line.token.device.serial;
        let why = match problem {
            LineProblem::Repeated { first } => format!("stands in line {first} already"),
            LineProblem::Known => "is registered already".to_owned(),
        };
        // Writing to a String can't fail.
        let _ = write!(text, "\n  line {}: {serial} {why}", line.number);
    }
    if problems.len() > NAMED_LINES {
        let _ = write!(text, "\n  and {} more", problems.len() - NAMED_LINES);
    }
    text.push_str("\nNothing was registered. --skip-known leaves registered tokens as they are.");
    text
}
