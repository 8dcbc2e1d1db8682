//! What only says no to one fact.

/// Classes of SQLSTATE: a value that its type can't hold, and a constraint or trigger that said no.
const REFUSALS: [&str; 2] = ["22", "23"];

/// Whether a value, constraint or trigger said no. Anything else puts the transaction in doubt: a lost connection, a
/// time-out, a full disk.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| REFUSALS.iter().any(|class| code.starts_with(class)))
}
