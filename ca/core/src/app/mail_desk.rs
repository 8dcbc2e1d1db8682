//! What the branch and operations do about mail: look at what waits and what bounced, and try again.

use std::sync::Arc;

use super::{
    failure::{Failure, carries_failure},
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        mail::{MailId, MailState, OutboxMail},
    },
    ports::{
        clock::Clock,
        outbox::{Backlog, MailList, OutboxStore},
    },
};

/// The use cases.
pub struct MailDesk {
    /// The outbox.
    pub outbox: Arc<dyn OutboxStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Why a mail isn't tried again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is none with this number.
    #[error("there is no mail {0}")]
    Unknown(MailId),
    /// It didn't bounce.
    #[error("mail {id} is {}: only a bounced one is tried again", state.as_str())]
    NotBounced {
        /// Which mail.
        id: MailId,
        /// What it is.
        state: MailState,
    },
    /// It held a code, which is gone, or its user was removed.
    #[error("mail {0} can't be sent again: its code or its address is gone; the user asks for a new code")]
    Gone(MailId),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(RetryError);

impl MailDesk {
    /// At most `limit` mails of a list.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn list(&self, list: &MailList, limit: u32) -> Result<Vec<OutboxMail>, Failure> {
        Ok(self.outbox.mails(list, limit).await?)
    }

    /// What isn't finished.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn backlog(&self) -> Result<Backlog, Failure> {
        Ok(self.outbox.mail_backlog().await?)
    }

    /// Queues a bounced mail anew, to the address that its user has now.
    ///
    /// # Errors
    /// [`RetryError`].
    pub async fn retry(&self, by: Actor, id: MailId) -> Result<OutboxMail, RetryError> {
        let now = self.clock.now();
        let mail = self.outbox.mail(id).await?.ok_or(RetryError::Unknown(id))?;
        if mail.state != MailState::Bounced {
            return Err(RetryError::NotBounced { id, state: mail.state });
        }
        let row =
            event(now, by, "mail.retried", &mail.user).with("mail", id).with("kind", mail.kind.as_str());
        if !self.outbox.retry_mail(id, now, row).await? {
            return Err(RetryError::Gone(id));
        }
        Ok(mail)
    }
}
