//! The outbox in memory.

use jiff::Timestamp;

use super::{MemoryStore, State};
use crate::domain::{
    ids::{IssuerId, SerialNumber, UserId},
    mail::{EmailAddress, MailId, MailKind, MailState, OutboxMail},
};

/// A mail, with what is not shown of it.
#[derive(Clone, Debug)]
pub(super) struct OutboxRow {
    pub(super) mail: OutboxMail,
    pub(super) code: Option<String>,
}

impl MemoryStore {
    /// Kinds and users of all mail, in the order in which it was queued.
    pub fn mail(&self) -> Vec<(MailKind, UserId)> {
        self.read().outbox.iter().map(|row| (row.mail.kind, row.mail.user.clone())).collect()
    }
}

impl State {
    /// Queues a mail to the user's address of this moment; without one there is nobody to tell. A second one of the same
    /// kind about the same certificate is none.
    pub(super) fn enqueue(
        &mut self,
        kind: MailKind,
        user: &UserId,
        certificate: Option<(&IssuerId, &SerialNumber)>,
        at: Timestamp,
    ) {
        let Some(address) = self.users.get(user).and_then(|row| row.user.email.clone()) else { return };
        let certificate = certificate.map(|(issuer, serial)| (issuer.clone(), serial.clone()));
        let told = |row: &OutboxRow| row.mail.kind == kind && row.mail.certificate == certificate;
        if certificate.is_some() && self.outbox.iter().any(told) {
            return;
        }
        self.put(kind, user, certificate, address, None, at);
    }

    pub(super) fn put(
        &mut self,
        kind: MailKind,
        user: &UserId,
        certificate: Option<(IssuerId, SerialNumber)>,
        recipient: EmailAddress,
        code: Option<String>,
        at: Timestamp,
    ) {
        let mail = OutboxMail {
            id: MailId(self.outbox.iter().map(|row| row.mail.id.0).max().unwrap_or_default() + 1),
            kind,
            user: user.clone(),
            certificate,
            recipient: Some(recipient),
            queued_at: at,
            state: MailState::Queued,
            attempts: 0,
            next_attempt_at: at,
            settled_at: None,
            answer: None,
        };
        self.outbox.push(OutboxRow { mail, code });
    }
}
