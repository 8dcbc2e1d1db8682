//! `inro-ca user …`.

use ca_core::{
    app::customers::{CodeTerms, NewUser},
    domain::{
        device::{Device, DeviceKind},
        ids::{ContractNumber, TokenSerial, UserId},
        user::{PasswordKind, Role, User, UserState},
    },
};
use clap::{Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::{
    exit::CliError,
    operator,
    output::{Output, facts, table},
    secret::Source,
    staff,
};
use crate::{
    config::Config,
    wiring::{self, Desk},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a user of a contract.
    Add {
        /// ログインID: 4 to 32 of a-z, 0-9, '-', '_', '.'; never changed, never used again.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
        /// The contract's number.
        #[arg(long, value_parser = ContractNumber::parse)]
        contract: ContractNumber,
        /// What the user may do.
        #[arg(long, value_enum)]
        role: RoleArgument,
        /// The user's name, as it will stand in certificates.
        #[arg(long)]
        name: String,
        /// Where notices go.
        #[arg(long)]
        email: Option<String>,
    },
    /// List a contract's users.
    List {
        /// The contract's number.
        #[arg(long, value_parser = ContractNumber::parse)]
        contract: ContractNumber,
    },
    /// Show a user.
    Show {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
    },
    /// Set one of a user's passwords, from a file or descriptor, or asked for twice.
    SetPassword {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
        /// Which one; only a master has a confirmation password.
        #[arg(long, value_enum)]
        kind: KindArgument,
        #[command(flatten)]
        source: Source,
    },
    /// Assign a token to a user, or take it away.
    AssignToken {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
        /// What it is: yubikey-piv, tpm, piv or pkcs11.
        #[arg(long, value_parser = device_kind, default_value = DeviceKind::YubiKeyPiv.as_str())]
        kind: DeviceKind,
        /// The serial number: a YubiKey's as printed on it; of the others as `inro-agent tokens` shows it.
        #[arg(long, value_parser = TokenSerial::parse, required_unless_present = "remove", conflicts_with = "remove")]
        serial: Option<TokenSerial>,
        /// Take the assigned token away.
        #[arg(long)]
        remove: bool,
    },
    /// Issue a one-time acquisition code in place of any before it, and show it this once.
    AcquisitionCode {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
    },
    /// Unlock a user's login after wrong passwords.
    Unlock {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
    },
    /// Suspend a user: no login, no certificate, until resumed.
    Suspend {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
    },
    /// Lift a suspension.
    Resume {
        /// The user.
        #[arg(value_parser = UserId::parse)]
        id: UserId,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleArgument {
    /// マスターユーザ, one per contract.
    Master,
    /// 一般ユーザ.
    General,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum KindArgument {
    /// ログインパスワード.
    Login,
    /// 確認用パスワード.
    Confirmation,
}

/// A user as printed.
#[derive(Serialize)]
pub(super) struct UserView {
    id: String,
    contract: String,
    role: &'static str,
    name: String,
    email: Option<String>,
    state: &'static str,
    locked_at: Option<Timestamp>,
    token_kind: Option<&'static str>,
    token_serial: Option<String>,
    registered_at: Timestamp,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            contract: user.contract.to_string(),
            role: user.role.as_str(),
            name: user.display_name.clone(),
            email: user.email.as_ref().map(ToString::to_string),
            state: user.state.as_str(),
            locked_at: user.locked_at,
            token_kind: user.assigned_device.as_ref().map(|device| device.kind.as_str()),
            token_serial: user.assigned_device.as_ref().map(|device| device.serial.to_string()),
            registered_at: user.registered_at,
        }
    }
}

impl UserView {
    pub(super) fn rows(users: &[Self]) -> Vec<Vec<String>> {
        let mut rows = vec![["USER", "ROLE", "STATE", "TOKEN", "NAME"].map(String::from).to_vec()];
        rows.extend(users.iter().map(|user| {
            let token = user.token_serial.clone().unwrap_or_else(|| "-".to_owned());
            vec![user.id.clone(), user.role.to_owned(), user.standing(), token, user.name.clone()]
        }));
        rows
    }

    fn standing(&self) -> String {
        match self.locked_at {
            Some(_) => format!("{}, locked", self.state),
            None => self.state.to_owned(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            ("user", self.id.clone()),
            ("contract", self.contract.clone()),
            ("role", self.role.to_owned()),
            ("name", self.name.clone()),
            ("e-mail", or_none(&self.email)),
            ("state", self.standing()),
            ("token", or_none(&self.token_serial)),
            ("registered", self.registered_at.to_string()),
        ]
    }
}

#[derive(Serialize)]
struct Done<'a> {
    user: &'a str,
    done: &'static str,
}

#[derive(Serialize)]
struct IssuedCodeView<'a> {
    user: &'a str,
    acquisition_code: &'a str,
    expires_at: Timestamp,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::desk(config).await.map_err(CliError::configuration)?;
    if !matches!(command, Command::List { .. } | Command::Show { .. }) {
        staff::may_change(config, &desk).await?;
    }
    match command {
        Command::Add { id, contract, role, name, email } => {
            let role = match role {
                RoleArgument::Master => Role::Master,
                RoleArgument::General => Role::General,
            };
            let new = NewUser { id, contract, role, display_name: name, email };
            let user = desk.customers.register_user(operator(), new).await?;
            show(&user, output)
        }
        Command::List { contract } => {
            let (_, users) = desk.customers.contract(&contract).await?;
            let views: Vec<UserView> = users.iter().map(UserView::from).collect();
            output.result(&views, |out| table(out, &UserView::rows(&views)))
        }
        Command::Show { id } => show(&desk.customers.user(&id).await?, output),
        Command::AcquisitionCode { id } => acquisition_code(&desk, config, &id, output).await,
        command => change(&desk, command, output).await,
    }
}

fn show(user: &User, output: Output) -> Result<(), CliError> {
    let view = UserView::from(user);
    output.result(&view, |out| facts(out, &view.facts()))
}

/// The commands that change a user and say so in a line.
async fn change(desk: &Desk, command: Command, output: Output) -> Result<(), CliError> {
    let customers = &desk.customers;
    let (id, done) = match command {
        Command::SetPassword { id, kind, source } => {
            let (kind, what) = match kind {
                KindArgument::Login => (PasswordKind::Login, "Login password"),
                KindArgument::Confirmation => (PasswordKind::Confirmation, "Confirmation password"),
            };
            let password = source.read(what)?;
            customers.set_password(operator(), &id, kind, password).await?;
            (id, "password set")
        }
        Command::AssignToken { id, kind, serial, .. } => {
            let device = serial.map(|serial| Device { kind, serial });
            customers.assign_device(operator(), &id, device.as_ref()).await?;
            (id, if device.is_some() { "token assigned" } else { "token taken away" })
        }
        Command::Unlock { id } => {
            customers.unlock(operator(), &id).await?;
            (id, "unlocked")
        }
        Command::Suspend { id } => {
            customers.set_state(operator(), &id, UserState::Suspended).await?;
            (id, "suspended")
        }
        Command::Resume { id } => {
            customers.set_state(operator(), &id, UserState::Active).await?;
            (id, "resumed")
        }
        Command::Add { .. }
        | Command::List { .. }
        | Command::Show { .. }
        | Command::AcquisitionCode { .. } => {
            unreachable!("`run` handles these itself")
        }
    };
    output.result(&Done { user: id.as_str(), done }, |out| writeln!(out, "{id}: {done}"))
}

fn device_kind(text: &str) -> Result<DeviceKind, String> {
    let names = DeviceKind::ALL.map(DeviceKind::as_str).join(", ");
    DeviceKind::parse(text).ok_or_else(|| format!("expected one of {names}"))
}

async fn acquisition_code(desk: &Desk, config: &Config, id: &UserId, output: Output) -> Result<(), CliError> {
    let lifetime = SignedDuration::try_from(config.enrolment.acquisition_code_lifetime)
        .map_err(|error| CliError::from(anyhow::Error::from(error)))?;
    let terms = CodeTerms { lifetime, attempts: config.enrolment.acquisition_code_attempts };
    let issued = desk.customers.issue_acquisition_code(operator(), id, terms).await?;
    let view = IssuedCodeView {
        user: id.as_str(),
        acquisition_code: issued.code.expose_secret(),
        expires_at: issued.expires_at,
    };
    output.result(&view, |out| {
        facts(
            out,
            &[
                ("user", id.to_string()),
                ("acquisition code", view.acquisition_code.to_owned()),
                ("valid until", view.expires_at.to_string()),
            ],
        )?;
        writeln!(out, "It is shown only this once: hand it over in a letter, not by mail.")
    })
}
