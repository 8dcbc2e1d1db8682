//! What only says no to one fact.

/// Primary result code of a constraint or trigger that said no.
const SQLITE_CONSTRAINT: i32 = 19;

/// Whether a constraint or trigger said no. Anything else puts the transaction in doubt: SQLite rolls back by itself on a
/// full disk, an I/O error or when out of memory.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == SQLITE_CONSTRAINT)
}
