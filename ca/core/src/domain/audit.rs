//! The audit trail: a row for every decision, hash-chained, so that a changed, lost or reordered row shows.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// A place in the trail: a row's number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPosition {
    /// Counts from 1 without gaps; 0 before the first row.
    pub sequence: u64,
    /// The row's hash.
    pub hash: [u8; 32],
}

impl AuditPosition {
    /// Before the first row.
    pub const GENESIS: Self = Self { sequence: 0, hash: [0; 32] };
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was decided, as a stable dotted name such as `certificate.issued` or `enrolment.refused`.
    pub action: &'static str,
    /// What it was about, such as a user ID or a serial number.
    pub subject: String,
    /// Particulars as `name=value` pairs, without secrets.
    pub details: Vec<(&'static str, String)>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A customer's user, by user ID as claimed; the action says whether it was authenticated.
    User(String),
    /// An operator at the command line, by the account's name.
    Operator(String),
    /// A member of the bank's staff, at the console.
    Staff(String),
    /// One of the bank's registered machines, by the name that the configuration gives it.
    Machine(String),
    /// The authority itself: a job, a recovery.
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::Staff(id) => write!(f, "staff:{id}"),
            Self::Machine(name) => write!(f, "machine:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// A row as it is stored and as [`verify`] reads it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Counts from 1 without gaps, per node.
    pub sequence: u64,
    /// When, in milliseconds since 1970-01-01T00:00Z.
    pub at_ms: i64,
    /// [`Actor`] as text; in this and the next texts `\\`, `\n` and `\0` stand for backslash, line feed and NUL, which a
    /// hostile client may have put there and not every database can hold.
    pub actor: String,
    /// [`AuditEvent::action`].
    pub action: String,
    /// [`AuditEvent::subject`].
    pub subject: String,
    /// [`AuditEvent::details`], a `name=value` a line.
    pub details: String,
    /// SHA-256 over the previous row's hash and this row.
    pub hash: [u8; 32],
}

impl AuditRow {
    /// The row that follows `previous`.
    pub fn following(previous: AuditPosition, event: &AuditEvent) -> Self {
        let details: Vec<String> =
            event.details.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let mut row = Self {
            sequence: previous.sequence + 1,
            at_ms: event.at.as_millisecond(),
            actor: escape(&event.actor.to_string()),
            action: event.action.to_owned(),
            subject: escape(&event.subject),
            details: details.join("\n"),
            hash: AuditPosition::GENESIS.hash,
        };
        row.hash = row.chained(&previous.hash);
        row
    }

    /// Its place.
    pub fn position(&self) -> AuditPosition {
        AuditPosition { sequence: self.sequence, hash: self.hash }
    }

    /// The hash that this row must have after a row with the hash `previous`.
    pub fn chained(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"inro-audit-v1");
        hash.update(previous);
        hash.update(self.sequence.to_be_bytes());
        hash.update(self.at_ms.to_be_bytes());
        for text in [&self.actor, &self.action, &self.subject, &self.details] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\0', "\\0")
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// A row is missing or out of order.
    #[error("row {expected} is missing: row {found} stands in its place")]
    Gap {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A row was changed.
    #[error("row {sequence} was changed: its hash doesn't follow from the row before it")]
    Changed {
        /// Its number.
        sequence: u64,
    },
}

/// Checks `row` after `previous` and returns what the next one is checked against.
///
/// # Errors
/// [`BrokenChain`] names the first row that doesn't fit.
pub fn verify(previous: AuditPosition, row: &AuditRow) -> Result<AuditPosition, BrokenChain> {
    if row.sequence != previous.sequence + 1 {
        return Err(BrokenChain::Gap { expected: previous.sequence + 1, found: row.sequence });
    }
    if row.hash != row.chained(&previous.hash) {
        return Err(BrokenChain::Changed { sequence: row.sequence });
    }
    Ok(row.position())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(previous: AuditPosition, subject: &str) -> AuditRow {
        AuditRow::following(
            previous,
            &AuditEvent {
                at: Timestamp::UNIX_EPOCH,
                actor: Actor::System,
                action: "test.happened",
                subject: subject.to_owned(),
                details: vec![("why", "a\nb=c".to_owned())],
            },
        )
    }

    #[test]
    fn what_a_database_may_not_hold_is_written_out() {
        let row = row(AuditPosition::GENESIS, "a\0b\\0");
        assert_eq!(row.subject, r"a\0b\\0");
        assert_eq!(row.details, r"why=a\nb=c");
    }

    #[test]
    fn a_changed_a_missing_and_a_swapped_row_are_named() {
        let first = row(AuditPosition::GENESIS, "one");
        let second = row(first.position(), "two");
        let third = row(second.position(), "three");
        let after_first = verify(AuditPosition::GENESIS, &first).expect("the first row");
        assert_eq!(verify(after_first, &second), Ok(second.position()));

        let changed = AuditRow { subject: "tvo".to_owned(), ..second.clone() };
        assert_eq!(verify(after_first, &changed), Err(BrokenChain::Changed { sequence: 2 }));
        assert_eq!(verify(after_first, &third), Err(BrokenChain::Gap { expected: 2, found: 3 }));
        assert_eq!(verify(AuditPosition::GENESIS, &second), Err(BrokenChain::Gap { expected: 1, found: 2 }));
    }
}
