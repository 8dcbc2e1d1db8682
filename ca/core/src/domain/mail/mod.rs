//! Mail to a user (お知らせ, rules 6 and 9): what there is to be told, and what becomes of it.
//!
//! A mail is queued in the same commit as its cause, once for each certificate and kind (of plans: once for each change of
//! their date), and settled once: delivered, bounced or withdrawn. The stores' triggers queue what follows from a state by itself (`issued`, `revoked`,
//! `locked`), so that no way of getting there can forget it.

mod address;

use jiff::Timestamp;

pub use address::{EmailAddress, InvalidAddress};

use super::{
    ids::{IssuerId, SerialNumber, UserId},
    notice::Notice,
};

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MailKind {
    /// The renewal is open: from 40 days before the last day on.
    ExpiresIn40Days,
    /// From 10 days before the last day on.
    ExpiresIn10Days,
    /// It is the last day.
    ExpiresToday,
    /// A certificate was issued.
    Issued,
    /// A renewal took the place of the certificate before it.
    Renewed,
    /// A plan names the date on which a certificate is to be revoked.
    ToBeRevoked,
    /// That isn't planned any more, after the user was told of it.
    NotToBeRevoked,
    /// A certificate was revoked, other than by its renewal.
    Revoked,
    /// The login was locked for wrong passwords (IDロック).
    Locked,
    /// Notices go to another address from now on: told to the old one.
    EmailChanged,
    /// The code that confirms a new address: told to the new one.
    EmailCode,
}

impl MailKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ExpiresIn40Days,
        Self::ExpiresIn10Days,
        Self::ExpiresToday,
        Self::Issued,
        Self::Renewed,
        Self::ToBeRevoked,
        Self::NotToBeRevoked,
        Self::Revoked,
        Self::Locked,
        Self::EmailChanged,
        Self::EmailCode,
    ];

    /// The stable name in storage, audit rows and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExpiresIn40Days => "expires-in-40-days",
            Self::ExpiresIn10Days => "expires-in-10-days",
            Self::ExpiresToday => "expires-today",
            Self::Issued => "issued",
            Self::Renewed => "renewed",
            Self::ToBeRevoked => "to-be-revoked",
            Self::NotToBeRevoked => "not-to-be-revoked",
            Self::Revoked => "revoked",
            Self::Locked => "locked",
            Self::EmailChanged => "email-changed",
            Self::EmailCode => "email-code",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it says what is planned for a certificate: then each change of the plans is a mail of its own.
    pub fn is_of_plans(self) -> bool {
        matches!(self, Self::ToBeRevoked | Self::NotToBeRevoked)
    }

    /// The notice of a certificate's end that this kind of mail carries.
    pub fn notice(self) -> Option<Notice> {
        match self {
            Self::ExpiresIn40Days => Some(Notice::RenewalOpen),
            Self::ExpiresIn10Days => Some(Notice::Urgent),
            Self::ExpiresToday => Some(Notice::LastDay),
            _ => None,
        }
    }
}

impl From<Notice> for MailKind {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::RenewalOpen => Self::ExpiresIn40Days,
            Notice::Urgent => Self::ExpiresIn10Days,
            Notice::LastDay => Self::ExpiresToday,
        }
    }
}

/// The number of a mail in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailId(pub u64);

impl std::fmt::Display for MailId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a mail got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailState {
    /// It waits for its next attempt.
    Queued,
    /// A mail server took it.
    Delivered,
    /// It was refused for good, or tried for long enough: for the branch to look at.
    Bounced,
    /// What it says was no longer so.
    Withdrawn,
}

impl MailState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Delivered, Self::Bounced, Self::Withdrawn];

    /// The stable name in storage and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A mail as the outbox has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMail {
    /// Its number.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// Who is told.
    pub user: UserId,
    /// The certificate that it is about.
    pub certificate: Option<(IssuerId, SerialNumber)>,
    /// Where it goes: the address when it was queued. `None` once it was settled and the user was removed.
    pub recipient: Option<EmailAddress>,
    /// When its cause was committed.
    pub queued_at: Timestamp,
    /// How far it got.
    pub state: MailState,
    /// Attempts that began.
    pub attempts: u32,
    /// When the next attempt is due, of a queued one.
    pub next_attempt_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// What the mail server said last, or why it couldn't be asked.
    pub answer: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in MailKind::ALL {
            assert_eq!(MailKind::parse(kind.as_str()), Some(kind));
            assert_eq!(kind.notice().map_or(kind, MailKind::from), kind);
        }
        for state in MailState::ALL {
            assert_eq!(MailState::parse(state.as_str()), Some(state));
        }
    }
}
