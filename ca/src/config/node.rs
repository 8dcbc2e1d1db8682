//! `[node]`: this node's name and database.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    database: Option<String>,
    postgres: Option<RawPostgres>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPostgres {
    url: String,
    password_file: Option<String>,
    #[serde(default = "default_connections")]
    connections: u32,
}

fn default_connections() -> u32 {
    9
}

/// This node.
#[derive(Debug)]
pub(crate) struct Node {
    /// In logs and metrics, and in the database's own lists of connections.
    pub(crate) name: String,
    pub(crate) database: Database,
}

/// Where the ledger is.
#[derive(Debug)]
pub(crate) enum Database {
    /// A SQLite file, for one node.
    Sqlite(PathBuf),
    /// A PostgreSQL database, for several.
    Postgres(Postgres),
}

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Its URL, without a password.
    pub(crate) url: String,
    /// The file with the password, unless it is in a password file of libpq's or none is needed.
    pub(crate) password_file: Option<PathBuf>,
    /// Connections that answer queries; one more writes.
    pub(crate) readers: u32,
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
        let database = match (self.database, self.postgres) {
            (Some(path), None) => Database::Sqlite(value::path("node.database", &path, base)?),
            (None, Some(postgres)) => Database::Postgres(postgres.validate(base)?),
            (Some(_), Some(_)) => {
                return Err(ConfigError::value(
                    "node.database",
                    "there is node.postgres as well",
                    "keep the one that this node's ledger is in",
                ));
            }
            (None, None) => {
                return Err(ConfigError::value(
                    "node.database",
                    "there is no database",
                    "name a SQLite file, or a PostgreSQL database in [node.postgres]",
                ));
            }
        };
        Ok(Node { name: self.name, database })
    }
}

impl RawPostgres {
    fn validate(self, base: &Path) -> ConfigResult<Postgres> {
        let password_file = self.password_file;
        let password_file =
            password_file.map(|file| value::path("node.postgres.password_file", &file, base)).transpose()?;
        let connections = value::within("node.postgres.connections", self.connections, 2..=500)?;
        Ok(Postgres { url: self.url, password_file, readers: connections - 1 })
    }
}

impl Database {
    /// The SQLite file, where there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}
