//! `inro-ca mail …`: what waits to be delivered, what bounced, and trying again.

use ca_core::{
    app::mail_desk::RetryError,
    domain::{
        ids::UserId,
        mail::{MailId, OutboxMail},
    },
    ports::outbox::MailList,
};
use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, facts, table},
};
use crate::{config::Config, wiring};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List mails: bounced ones, the latest first; queued ones, the oldest first; or a user's.
    List {
        /// Which ones.
        #[arg(long, value_enum, default_value_t = Which::Bounced, conflicts_with = "user")]
        state: Which,
        /// All of this user's, the latest first.
        #[arg(long, value_parser = UserId::parse, value_name = "USER")]
        user: Option<UserId>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// Queue a bounced mail anew, to the address that its user has now.
    Retry {
        /// The mail's number.
        id: u64,
    },
    /// Say how many mails wait, since when, and how many bounced.
    Status,
    /// Connect to the mail server and log in, and nothing else.
    Check,
}

/// Which mails are listed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Which {
    /// Refused for good, or given up.
    Bounced,
    /// Waiting to be delivered.
    Queued,
}

#[derive(Serialize)]
struct MailView {
    id: u64,
    kind: &'static str,
    user: String,
    serial: Option<String>,
    recipient: Option<String>,
    state: &'static str,
    attempts: u32,
    queued_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    answer: Option<String>,
}

impl From<&OutboxMail> for MailView {
    fn from(mail: &OutboxMail) -> Self {
        Self {
            id: mail.id.0,
            kind: mail.kind.as_str(),
            user: mail.user.to_string(),
            serial: mail.certificate.as_ref().map(|(_, serial)| serial.to_string()),
            recipient: mail.recipient.as_ref().map(ToString::to_string),
            state: mail.state.as_str(),
            attempts: mail.attempts,
            queued_at: mail.queued_at,
            next_attempt_at: mail.settled_at.is_none().then_some(mail.next_attempt_at),
            settled_at: mail.settled_at,
            answer: mail.answer.clone(),
        }
    }
}

#[derive(Serialize)]
struct StatusView {
    /// Whether there is a section [mail].
    configured: bool,
    queued: u64,
    oldest: Option<Timestamp>,
    bounced: u64,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    if matches!(command, Command::Check) {
        return check(config, output).await;
    }
    let desk = wiring::mail_desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::List { state, user, limit } => {
            let list = match (user, state) {
                (Some(user), _) => MailList::OfUser(user),
                (None, Which::Bounced) => MailList::Bounced,
                (None, Which::Queued) => MailList::Queued,
            };
            let mails = desk.list(&list, limit).await?;
            let views: Vec<MailView> = mails.iter().map(MailView::from).collect();
            output.result(&views, |out| table(out, &rows(&views)))
        }
        Command::Retry { id } => {
            let mail = desk.retry(operator(), MailId(id)).await?;
            let view = MailView::from(&mail);
            output.result(&view, |out| {
                let outcome = "queued anew; it goes out within seconds".to_owned();
                facts(out, &[("mail", id.to_string()), ("user", view.user.clone()), ("outcome", outcome)])
            })
        }
        Command::Status => {
            let backlog = desk.backlog().await?;
            let view = StatusView {
                configured: config.mail.is_some(),
                queued: backlog.queued,
                oldest: backlog.oldest,
                bounced: backlog.bounced,
            };
            output.result(&view, |out| {
                let server = if view.configured { "configured" } else { "none: there is no section [mail]" };
                let oldest = view.oldest.map(|at| format!(", the oldest since {at}")).unwrap_or_default();
                facts(
                    out,
                    &[
                        ("mail server", server.to_owned()),
                        ("queued", format!("{}{oldest}", view.queued)),
                        ("bounced", view.bounced.to_string()),
                    ],
                )
            })
        }
        Command::Check => Ok(()),
    }
}

async fn check(config: &Config, output: Output) -> Result<(), CliError> {
    let mailer = wiring::mailer(config).map_err(CliError::configuration)?;
    let (Some(mailer), Some(mail)) = (mailer, &config.mail) else {
        let missing = anyhow::anyhow!("mail: there is no such section; users are told on the home page only");
        return Err(CliError::configuration(missing));
    };
    mailer.check().await.map_err(|error| CliError::new(Exit::Unavailable, error))?;
    let server = format!("{}:{}", mail.server, mail.port);
    output.result(&server, |out| writeln!(out, "{server} can be used"))
}

fn rows(views: &[MailView]) -> Vec<Vec<String>> {
    let head = ["MAIL", "STATE", "KIND", "USER", "ADDRESS", "QUEUED", "ATTEMPTS", "ANSWER"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(views.iter().map(|view| {
        vec![
            view.id.to_string(),
            view.state.to_owned(),
            view.kind.to_owned(),
            view.user.clone(),
            view.recipient.clone().unwrap_or_default(),
            view.queued_at.to_string(),
            view.attempts.to_string(),
            view.answer.clone().unwrap_or_default(),
        ]
    }));
    rows
}

impl From<RetryError> for CliError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Failure(failure) => failure.into(),
            RetryError::Unknown(_) => Self::new(Exit::NotFound, error),
            RetryError::NotBounced { .. } | RetryError::Gone(_) => Self::new(Exit::Refused, error),
        }
    }
}
