//! `[node]`: this node's name and database.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    database: String,
}

/// This node.
#[derive(Debug)]
pub(crate) struct Node {
    /// In logs and metrics.
    pub(crate) name: String,
    /// The SQLite file.
    pub(crate) database: PathBuf,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Node> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.bytes().all(plain) {
            return Err(ConfigError::value(
                "node.name",
                format_args!("{:?} isn't a node name", self.name),
                "use 1 to 32 of a-z, 0-9 and '-'",
            ));
        }
        Ok(Node { name: self.name, database: value::path("node.database", &self.database, base)? })
    }
}
