//! The ledger as tables, to be moved from one engine to another: rows as they are kept, whatever they mean.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreResult;

/// What a column holds. All may be missing where the schema lets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed number of 64 bits.
    Integer,
    /// Yes or no.
    Flag,
    /// Text without NUL.
    Text,
    /// Octets.
    Octets,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// None.
    Missing,
    /// Of [`Kind::Integer`].
    Integer(i64),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Octets`].
    Octets(Vec<u8>),
}

/// A table of the ledger, the same in every engine.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How many columns, from the first, make its primary key.
    pub key: usize,
    /// Its columns with what they hold, the key's first.
    pub columns: &'static [(&'static str, Kind)],
}

/// A table's values in the order of its columns.
pub type Row = Vec<Cell>;

/// Rows in the order of their keys.
#[async_trait]
pub trait ReadTables: Send {
    /// At most `limit` rows with a key after `after`, which has a cell for each column of the key.
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> StoreResult<Vec<Row>>;
}

/// A ledger that is left. Nobody else can use it while this lives.
#[async_trait]
pub trait LedgerSource: ReadTables {
    /// From now on no node starts on it: it says where the ledger went.
    async fn mark_moved(&mut self, destination: &str, at: Timestamp) -> StoreResult<()>;
}

/// A ledger that is filled, in one transaction: dropped before its commit, nothing was written.
#[async_trait]
pub trait LedgerTarget: ReadTables {
    /// Adds rows.
    async fn insert(&mut self, table: &'static Table, rows: &[Row]) -> StoreResult<()>;
    /// Makes all of it durable.
    async fn commit(&mut self) -> StoreResult<()>;
}

use Kind::{Flag, Integer, Octets, Text};

/// Every table that belongs to the ledger, each after those that it refers to. Leases belong to the nodes.
pub const TABLES: &[Table] = &[
    Table {
        name: "contracts",
        key: 1,
        columns: &[("number", Text), ("name", Text), ("general_users", Integer), ("registered_at", Integer)],
    },
    Table {
        name: "users",
        key: 1,
        columns: &[
            ("id", Text),
            ("contract", Text),
            ("role", Text),
            ("display_name", Text),
            ("email", Text),
            ("state", Text),
            ("device_kind", Text),
            ("device_serial", Text),
            ("locked_at", Integer),
            ("registered_at", Integer),
        ],
    },
    Table {
        name: "acquisition_codes",
        key: 1,
        columns: &[
            ("user_id", Text),
            ("sha256", Octets),
            ("expires_at", Integer),
            ("attempts_left", Integer),
        ],
    },
    Table {
        name: "passwords",
        key: 2,
        columns: &[("user_id", Text), ("kind", Text), ("phc", Text), ("initial", Flag)],
    },
    Table {
        name: "wrong_passwords",
        key: 2,
        columns: &[("user_id", Text), ("kind", Text), ("in_a_row", Integer)],
    },
    Table {
        name: "enrolments",
        key: 1,
        columns: &[
            ("id", Octets),
            ("idempotency_key", Text),
            ("user_id", Text),
            ("device_kind", Text),
            ("device_serial", Text),
            ("binding", Text),
            ("challenge", Octets),
            ("bearer_sha256", Octets),
            ("expires_at", Integer),
            ("opened_at", Integer),
            ("refused_code", Text),
            ("refused_detail", Text),
            ("ak_name", Octets),
            ("renews", Octets),
        ],
    },
    Table {
        name: "evidence",
        key: 1,
        columns: &[
            ("enrolment", Octets),
            ("format", Text),
            ("csr", Octets),
            ("challenge", Octets),
            ("challenge_signature", Octets),
            ("predecessor_signature", Octets),
            ("policy_name", Text),
            ("policy_version", Integer),
            ("trust_version", Integer),
            ("verdict", Text),
            ("decoded", Text),
            ("judged_at", Integer),
        ],
    },
    Table {
        name: "evidence_parts",
        key: 2,
        columns: &[("enrolment", Octets), ("position", Integer), ("part", Octets)],
    },
    Table {
        name: "certificates",
        key: 1,
        columns: &[
            ("id", Integer),
            ("intent", Octets),
            ("issuer", Text),
            ("signer", Text),
            ("serial", Octets),
            ("user_id", Text),
            ("device_kind", Text),
            ("device_serial", Text),
            ("assurance", Text),
            ("public_key_sha256", Octets),
            ("not_before", Integer),
            ("not_after", Integer),
            ("renews", Octets),
            ("abandoned_at", Integer),
            ("revoked", Flag),
            ("issued_at", Integer),
            ("journal_sequence", Integer),
            ("journal_hash", Octets),
            ("confirmed_at", Integer),
            ("tbs", Octets),
            ("der", Octets),
        ],
    },
    Table {
        name: "orphans",
        key: 2,
        columns: &[
            ("issuer", Text),
            ("serial", Octets),
            ("signer", Text),
            ("journal_sequence", Integer),
            ("journal_hash", Octets),
            ("intent", Octets),
            ("not_after", Integer),
            ("found_at", Integer),
            ("der", Octets),
        ],
    },
    Table {
        name: "responders",
        key: 1,
        columns: &[
            ("intent", Octets),
            ("issuer", Text),
            ("signer", Text),
            ("serial", Octets),
            ("public_key_sha256", Octets),
            ("not_before", Integer),
            ("not_after", Integer),
            ("abandoned_at", Integer),
            ("issued_at", Integer),
            ("journal_sequence", Integer),
            ("journal_hash", Octets),
            ("tbs", Octets),
            ("der", Octets),
        ],
    },
    Table {
        name: "revocations",
        key: 2,
        columns: &[
            ("issuer", Text),
            ("serial", Octets),
            ("number", Integer),
            ("at", Integer),
            ("reason", Integer),
            ("not_after", Integer),
        ],
    },
    Table {
        name: "outbox",
        key: 1,
        columns: &[
            ("id", Integer),
            ("kind", Text),
            ("user_id", Text),
            ("issuer", Text),
            ("serial", Octets),
            ("recipient", Text),
            ("code", Text),
            ("queued_at", Integer),
            ("state", Text),
            ("attempts", Integer),
            ("next_attempt_at", Integer),
            ("settled_at", Integer),
            ("answer", Text),
        ],
    },
    Table {
        name: "email_changes",
        key: 1,
        columns: &[
            ("user_id", Text),
            ("email", Text),
            ("sha256", Octets),
            ("expires_at", Integer),
            ("attempts_left", Integer),
        ],
    },
    Table {
        name: "trust_versions",
        key: 1,
        columns: &[
            ("version", Integer),
            ("staged_by", Text),
            ("staged_at", Integer),
            ("approved_by", Text),
            ("approved_at", Integer),
            ("first_signature", Octets),
            ("second_signature", Octets),
            ("bundle", Octets),
        ],
    },
    Table {
        name: "trust_staged",
        key: 1,
        columns: &[
            ("version", Integer),
            ("staged_by", Text),
            ("staged_at", Integer),
            ("first_signature", Octets),
            ("bundle", Octets),
        ],
    },
    Table {
        name: "rejudgements",
        key: 1,
        columns: &[
            ("id", Integer),
            ("planned_by", Text),
            ("planned_at", Integer),
            ("basis", Text),
            ("judged", Integer),
            ("revoke_at", Integer),
            ("reason", Integer),
        ],
    },
    Table {
        name: "rejudged_certificates",
        key: 3,
        columns: &[
            ("rejudgement", Integer),
            ("issuer", Text),
            ("serial", Octets),
            ("user_id", Text),
            ("code", Text),
            ("detail", Text),
        ],
    },
    Table {
        name: "rejudgement_ends",
        key: 1,
        columns: &[("rejudgement", Integer), ("ended", Text), ("at", Integer)],
    },
    Table { name: "issuers", key: 1, columns: &[("issuer", Text), ("last_crl_number", Integer)] },
    Table {
        name: "signers",
        key: 2,
        columns: &[
            ("issuer", Text),
            ("name", Text),
            ("journal", Octets),
            ("reconciled_sequence", Integer),
            ("reconciled_hash", Octets),
            ("revocations_to", Integer),
            ("anchors_accepted_to", Integer),
            ("introduced_at", Integer),
            ("retired_at", Integer),
        ],
    },
    Table {
        name: "crls",
        key: 1,
        columns: &[
            ("issuer", Text),
            ("number", Integer),
            ("this_update", Integer),
            ("next_update", Integer),
            ("listed_from", Integer),
            ("entries", Integer),
            ("der", Octets),
        ],
    },
    Table {
        name: "sessions",
        key: 1,
        columns: &[
            ("token_sha256", Octets),
            ("csrf_sha256", Octets),
            ("user_id", Text),
            ("issuer", Text),
            ("serial", Octets),
            ("opened_at", Integer),
            ("last_used_at", Integer),
        ],
    },
    Table {
        name: "logins",
        key: 1,
        columns: &[("id", Integer), ("user_id", Text), ("at", Integer), ("issuer", Text), ("serial", Octets)],
    },
    Table {
        name: "staff",
        key: 1,
        columns: &[
            ("id", Text),
            ("name", Text),
            ("roles", Text),
            ("state", Text),
            ("key_sha256", Octets),
            ("admitted_at", Integer),
            ("certificate", Octets),
        ],
    },
    Table {
        name: "staff_sessions",
        key: 1,
        columns: &[
            ("token_sha256", Octets),
            ("csrf_sha256", Octets),
            ("member", Text),
            ("key_sha256", Octets),
            ("opened_at", Integer),
            ("last_used_at", Integer),
        ],
    },
    Table {
        name: "approvals",
        key: 1,
        columns: &[
            ("id", Integer),
            ("request", Octets),
            ("kind", Text),
            ("subject", Text),
            ("detail", Text),
            ("reason", Text),
            ("asked_by", Text),
            ("asked_at", Integer),
            ("expires_at", Integer),
            ("attachment", Octets),
        ],
    },
    Table {
        name: "approval_ends",
        key: 1,
        columns: &[("approval", Octets), ("outcome", Text), ("ended_by", Text), ("ended_at", Integer)],
    },
    Table {
        name: "policies",
        key: 2,
        columns: &[
            ("name", Text),
            ("version", Integer),
            ("number", Integer),
            ("reason", Text),
            ("set_by", Text),
            ("set_at", Integer),
            ("document", Text),
        ],
    },
    Table {
        name: "policy_assignments",
        key: 1,
        columns: &[
            ("number", Integer),
            ("contract", Text),
            ("policy", Text),
            ("reason", Text),
            ("assigned_by", Text),
            ("assigned_at", Integer),
        ],
    },
    Table {
        name: "tokens",
        key: 2,
        columns: &[
            ("kind", Text),
            ("serial", Text),
            ("model", Text),
            ("state", Text),
            ("contract", Text),
            ("registered_at", Integer),
            ("changed_at", Integer),
        ],
    },
    Table {
        name: "puks",
        key: 1,
        columns: &[
            ("deposit", Octets),
            ("device_kind", Text),
            ("device_serial", Text),
            ("user_id", Text),
            ("key_version", Integer),
            ("nonce", Octets),
            ("sealed", Octets),
            ("deposited_at", Integer),
            ("confirmed_at", Integer),
        ],
    },
    Table {
        name: "unblockings",
        key: 1,
        columns: &[
            ("id", Octets),
            ("number", Integer),
            ("idempotency_key", Text),
            ("user_id", Text),
            ("device_kind", Text),
            ("device_serial", Text),
            ("bearer_sha256", Octets),
            ("asked_at", Integer),
            ("expires_at", Integer),
            ("stage", Text),
            ("decided_by", Text),
            ("decided_at", Integer),
        ],
    },
    Table {
        name: "audit",
        key: 1,
        columns: &[
            ("sequence", Integer),
            ("at", Integer),
            ("actor", Text),
            ("action", Text),
            ("subject", Text),
            ("details", Text),
            ("hash", Octets),
        ],
    },
];

/// Tables of the schema that aren't moved: what the engine's own schema is, and who leads at the moment.
pub const NOT_MOVED: &[&str] = &["_sqlx_migrations", "schema_versions", "leases", "moved"];

/// Says what a schema with these tables and columns has that [`TABLES`] lacks, or the other way round.
///
/// # Errors
/// With the name of the table.
pub fn check_schema(found: &[(String, Vec<String>)]) -> Result<(), String> {
    for (name, columns) in found.iter().filter(|(name, _)| !NOT_MOVED.contains(&name.as_str())) {
        let known = TABLES.iter().find(|table| table.name == name);
        let known = known.ok_or_else(|| format!("the table {name} isn't one that is moved"))?;
        let mut expected: Vec<&str> = known.columns.iter().map(|(column, _)| *column).collect();
        let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        expected.sort_unstable();
        columns.sort_unstable();
        if columns != expected {
            return Err(format!("the table {name} has other columns than those that are moved"));
        }
    }
    match TABLES.iter().find(|table| !found.iter().any(|(name, _)| name == table.name)) {
        Some(table) => Err(format!("the table {} isn't there", table.name)),
        None => Ok(()),
    }
}
