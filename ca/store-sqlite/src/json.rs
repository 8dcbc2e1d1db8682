//! Facts as the argument of a statement.

use serde::Serialize;

/// The argument of a `json_each` statement.
pub(crate) fn json<T: Serialize>(rows: impl Iterator<Item = T>) -> Result<String, sqlx::Error> {
    serde_json::to_string(&rows.collect::<Vec<T>>()).map_err(|error| sqlx::Error::Encode(error.into()))
}
