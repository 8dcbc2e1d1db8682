//! Mail: the job that sends it, what the command line does about it, and changes of addresses.

use std::sync::Arc;

use anyhow::Context;
use ca_core::app::{
    change_email::{CODE_LIFETIME, ChangeEmail},
    mail_desk::MailDesk,
    queue_notices::QueueNotices,
    send_mail::{DeliveryTerms, SendMail},
};
use jiff::SignedDuration;

use super::{adapters::Adapters, ledger};
use crate::{
    adapters::smtp::SmtpMailer,
    config::{self, Config},
    jobs::{Leader, Mailing, Outgoing},
};

/// The mail server of the configuration, where there is one. Connects to nobody yet.
///
/// # Errors
/// When a file can't be used; the message names the key.
pub(crate) fn mailer(config: &Config) -> anyhow::Result<Option<SmtpMailer>> {
    let Some(mail) = &config.mail else { return Ok(None) };
    let file = mail.login.as_ref().map(|(_, file)| file);
    let password = file.map(|file| ledger::password(file)).transpose().context("mail.password_file")?;
    SmtpMailer::new(mail, password).map(Some)
}

/// The job, with which node leads it.
pub(super) fn mailing(config: &Config, adapters: &Adapters) -> anyhow::Result<(Mailing, Leader)> {
    let outgoing = match config.mail.as_ref().zip(mailer(config)?) {
        Some((mail, mailer)) => Some(Outgoing {
            notices: QueueNotices {
                outbox: adapters.store.clone(),
                clock: adapters.clock.clone(),
                issuers: vec![config.customer_issuer().id.clone()],
            },
            send: SendMail {
                outbox: adapters.store.clone(),
                mailer: Arc::new(mailer),
                clock: adapters.clock.clone(),
                terms: terms(mail)?,
            },
        }),
        None => None,
    };
    let (outbox, clock) = (adapters.store.clone(), adapters.clock.clone());
    Ok((Mailing { outbox, clock, outgoing }, adapters.leader(config, "mail".to_owned())))
}

fn terms(mail: &config::Mail) -> anyhow::Result<DeliveryTerms> {
    Ok(DeliveryTerms {
        first_retry: SignedDuration::try_from(mail.first_retry)?,
        longest_retry: SignedDuration::try_from(mail.longest_retry)?,
        give_up: SignedDuration::try_from(mail.give_up)?,
        code_lifetime: CODE_LIFETIME,
        // An attempt is over within the time that the mail server has, and settled soon after.
        lost: SignedDuration::try_from(mail.timeout * 2)?,
    })
}

/// Changes of addresses: without a mail server nothing could confirm one.
pub(super) fn change_email(config: &Config, adapters: &Adapters) -> Option<ChangeEmail> {
    config.mail.as_ref()?;
    Some(ChangeEmail {
        emails: adapters.store.clone(),
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords: adapters.passwords.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        attempts: adapters.attempts.clone(),
        lock_at: config.login.lock_at,
    })
}

pub(super) fn desk(adapters: &Adapters) -> MailDesk {
    MailDesk { outbox: adapters.store.clone(), clock: adapters.clock.clone() }
}

/// Opens the ledger for `inro-ca mail`.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn mail_desk(config: &Config) -> anyhow::Result<MailDesk> {
    Ok(desk(&Adapters::open(config).await?))
}
