//! The mail server, by SMTP (RFC 5321) over TLS that is always verified.
//!
//! One connection is kept while there is something to deliver. What the server says to the connection, to who we are and to
//! the sender is about the server ([`MailerError::Unavailable`]): it never makes a user's mail bounce. Only its answers to
//! the recipient and to the content do.

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use ca_core::{
    domain::mail::OutboxMail,
    ports::{
        mailer::{Mailer, MailerError},
        outbox::ClaimedMail,
    },
};
use lettre::{
    Address, Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::ClientId,
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    config::{self, MailTls},
    logging::chain,
    mail::{Letterhead, letter},
};

/// Answers that are about who we are, wherever they come (RFC 4954, 6).
const ABOUT_US: [u16; 4] = [421, 530, 535, 538];

/// The mail server.
pub(crate) struct SmtpMailer {
    server: String,
    port: u16,
    starttls: bool,
    tls: TlsParameters,
    login: Option<(String, SecretString)>,
    from: Address,
    head: Letterhead,
    patience: Duration,
    connection: Mutex<Option<AsyncSmtpConnection>>,
}

impl SmtpMailer {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// When a file can't be used; the message names the key.
    pub(crate) fn new(mail: &config::Mail, password: Option<SecretString>) -> anyhow::Result<Self> {
        let login = mail.login.as_ref().map(|(user, _)| user.clone()).zip(password);
        let from = mail.from.as_str().parse().context("mail.from")?;
        Ok(Self {
            server: mail.server.clone(),
            port: mail.port,
            starttls: mail.tls == MailTls::Starttls,
            tls: tls(mail)?,
            login,
            from,
            head: Letterhead { bank: mail.bank.clone(), contact: mail.contact.clone() },
            patience: mail.timeout,
            connection: Mutex::default(),
        })
    }

    /// Connects and logs in, and nothing else.
    ///
    /// # Errors
    /// Why no mail can be sent.
    pub(crate) async fn check(&self) -> Result<(), MailerError> {
        let mut connection = self.within(self.connect()).await?;
        // It was all there; how it says good-bye is no matter.
        let _ = timeout(self.patience, connection.quit()).await;
        Ok(())
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, MailerError>> + Send,
    ) -> Result<T, MailerError> {
        timeout(self.patience, work).await.unwrap_or_else(|_| {
            Err(MailerError::Unavailable(format!("no answer within {} seconds", self.patience.as_secs())))
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailerError> {
        let hello = ClientId::Domain(self.from.domain().to_owned());
        let implicit = (!self.starttls).then(|| self.tls.clone());
        let address = (self.server.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.patience), &hello, implicit, None)
                .await
                .map_err(|error| unavailable(&error))?;
        if self.starttls {
            connection.starttls(self.tls.clone(), &hello).await.map_err(|error| unavailable(&error))?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .await
                .map_err(|error| unavailable(&error))?;
        }
        Ok(connection)
    }

    /// The connection that is left from the mail before, if it still lives, or a new one.
    async fn connected(&self, kept: Option<AsyncSmtpConnection>) -> Result<AsyncSmtpConnection, MailerError> {
        if let Some(mut connection) = kept
            && !connection.has_broken()
            && connection.test_connected().await
        {
            return Ok(connection);
        }
        self.connect().await
    }

    /// Writes the mail down, the same octets for each attempt.
    fn message(&self, claimed: &ClaimedMail) -> Result<(Address, Vec<u8>), MailerError> {
        let defect = |what: &str, error: &dyn std::fmt::Display| {
            MailerError::Refused(format!("it can't be written ({what}): {error}"))
        };
        let mail = &claimed.mail;
        let recipient = mail.recipient.as_ref().ok_or_else(|| defect("recipient", &"there is none"))?;
        let to: Address = recipient.as_str().parse().map_err(|error| defect("recipient", &error))?;
        let letter = letter(&self.head, claimed);
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let message = Message::builder()
            .from(Mailbox::new(Some(self.head.bank.clone()), self.from.clone()))
            .to(Mailbox::new(None, to.clone()))
            .date(mail.queued_at.into())
            .message_id(Some(message_id(mail, &self.from)))
            .subject(letter.subject)
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body)
            .map_err(|error| defect("message", &error))?;
        Ok((to, message.formatted()))
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: Address,
        octets: &[u8],
    ) -> Result<String, MailerError> {
        let from = Mail::new(Some(self.from.clone()), Vec::new());
        connection.command(from).await.map_err(|error| unavailable(&error))?;
        connection.command(Rcpt::new(to, Vec::new())).await.map_err(|error| answered(&error))?;
        connection.command(Data).await.map_err(|error| answered(&error))?;
        let accepted = connection.message(octets).await.map_err(|error| answered(&error))?;
        let words: Vec<&str> = accepted.message().collect();
        Ok(format!("{} {}", accepted.code(), words.join(" ")))
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn deliver(&self, claimed: &ClaimedMail) -> Result<String, MailerError> {
        let (to, octets) = self.message(claimed)?;
        let mut place = self.connection.lock().await;
        // Taken out of its place: a connection on which something stayed unsaid is never used again.
        let kept = place.take();
        // A TLS handshake's state is large: on the heap, as it may be waited for long.
        let attempt = Box::pin(async {
            let mut connection = self.connected(kept).await?;
            let outcome = self.hand_over(&mut connection, to, &octets).await;
            let usable = match &outcome {
                Ok(_) => true,
                Err(MailerError::Unavailable(_)) => false,
                Err(MailerError::Later(_) | MailerError::Refused(_)) => {
                    connection.command(Rset).await.is_ok()
                }
            };
            Ok((outcome, usable.then_some(connection)))
        });
        let (outcome, connection) = self.within(attempt).await?;
        *place = connection;
        outcome
    }

    async fn rest(&self) {
        if let Some(mut connection) = self.connection.lock().await.take() {
            let _ = timeout(self.patience, connection.quit()).await;
        }
    }
}

/// Of one mail always the same, and of no other.
fn message_id(mail: &OutboxMail, from: &Address) -> String {
    format!("<inro.{}.{}@{}>", mail.id, mail.queued_at.as_millisecond(), from.domain())
}

fn tls(mail: &config::Mail) -> anyhow::Result<TlsParameters> {
    let shown = mail.roots.display();
    let pem = std::fs::read(&mail.roots)
        .with_context(|| format!("mail.roots: can't read {shown}; name a file of certificates, PEM"))?;
    let roots = Certificate::from_pem(&pem)
        .with_context(|| format!("mail.roots: {shown} doesn't hold certificates, PEM"))?;
    TlsParameters::builder(mail.server.clone())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(roots)
        .build()
        .with_context(|| format!("mail.roots: a certificate in {shown} can't be used"))
}

fn unavailable(error: &Error) -> MailerError {
    MailerError::Unavailable(chain(error))
}

/// What an answer to the recipient or the content means.
fn answered(error: &Error) -> MailerError {
    let text = chain(error);
    match error.status().and_then(|code| code.to_string().parse().ok()) {
        None => MailerError::Unavailable(text),
        Some(code) if ABOUT_US.contains(&code) => MailerError::Unavailable(text),
        Some(_) if error.is_permanent() => MailerError::Refused(text),
        Some(_) => MailerError::Later(text),
    }
}
