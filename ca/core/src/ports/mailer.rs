//! Delivery of mail.

use async_trait::async_trait;

use super::outbox::ClaimedMail;

/// Why a mail wasn't taken.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// No mail can be sent at all now: the server can't be reached, isn't the one it should be, or doesn't admit us.
    #[error("the mail server can't be used: {0}")]
    Unavailable(String),
    /// This mail can't be delivered now.
    #[error("the mail server asks to try again later: {0}")]
    Later(String),
    /// This mail will never be delivered.
    #[error("the mail server refused the mail: {0}")]
    Refused(String),
}

/// A mail server.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands the mail over; returns what the server answered. Each attempt for the same mail has the same Message-ID
    /// (RFC 5322, 3.6.4), so that a repeat after a lost answer can be recognised.
    ///
    /// # Errors
    /// [`MailerError`].
    async fn deliver(&self, mail: &ClaimedMail) -> Result<String, MailerError>;
    /// There is nothing more to deliver for now: connections are closed.
    async fn rest(&self);
}
