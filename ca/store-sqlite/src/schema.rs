//! The schema: created and upgraded by `inro-ca migrate` alone, and checked at each opening.
//!
//! A migration says in `schema_versions` which is the oldest program that works with what it makes, so that a running
//! program need not end before its successor migrates.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use sqlx::{
    Connection, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Why a database wasn't opened, created or upgraded.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file.
    #[error("there is no database at {}: create it with `inro-ca migrate`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file has no ledger of Inro's.
    #[error("{} is not a database of Inro's, or an empty one: run `inro-ca migrate` if it should be", path.display())]
    NotInro {
        /// The file.
        path: PathBuf,
    },
    /// An older version of Inro wrote it.
    #[error("the database's schema is version {found}, this program needs {needed}: run `inro-ca migrate`")]
    Outdated {
        /// What it is.
        found: i64,
        /// What it should be.
        needed: i64,
    },
    /// A newer version of Inro changed it in a way that this program can't work with.
    #[error(
        "the database's schema is version {found}, which doesn't work with programs of version {known} as this one: use \
         the newer program"
    )]
    Newer {
        /// What it is.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// The migration that made it isn't the one that this program knows by that number.
    #[error("the database's schema was made by a different migration {version} than this program's")]
    Altered {
        /// Its number.
        version: i64,
    },
    /// The ledger was moved to another database.
    #[error(
        "the ledger of {} was moved to {destination} at {at}: put [node.postgres] into the configuration, in the place of \
         node.database",
        path.display()
    )]
    Moved {
        /// The file.
        path: PathBuf,
        /// Where the ledger is now.
        destination: String,
        /// Since when.
        at: Timestamp,
    },
    /// Somebody has the database open who mustn't.
    #[error("{} is in use: end the node, and every command that works with it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be made.
    #[error("the database {} can't be created", path.display())]
    NotCreated {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file can't be read or written, or is not an SQLite database.
    #[error("the database {} can't be used", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A migration failed; it was rolled back.
    #[error("the database {} can't be upgraded", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MigrateError,
    },
}

/// What [`migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; `None` for a new database.
    pub from: Option<i64>,
    /// The schema's version now.
    pub to: i64,
}

/// Creates the database, readable by its owner alone, or brings it up to this program's schema. One that is ahead of this
/// program and works with it is left alone.
///
/// # Errors
/// [`OpenError`]; a migration that fails leaves the version before it.
pub async fn migrate(path: &Path) -> Result<Migrated, OpenError> {
    create(path).map_err(|source| OpenError::NotCreated { path: path.to_owned(), source })?;
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    let options = connect_options(path, Duration::from_secs(5));
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(unreadable)?;
    let from = match standing(&mut connection).await.map_err(unreadable)? {
        Standing::Ahead(version) => return Ok(Migrated { from: Some(version), to: version }),
        Standing::Current(version) | Standing::Outdated(version) => Some(version),
        Standing::Empty => None,
        Standing::Newer(found) => return Err(OpenError::Newer { found, known: latest() }),
        Standing::Altered(version) => return Err(OpenError::Altered { version }),
    };
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|source| OpenError::Migration { path: path.to_owned(), source })?;
    connection.close().await.map_err(unreadable)?;
    Ok(Migrated { from, to: latest() })
}

/// Refuses a database whose schema doesn't work with this program.
pub(crate) async fn check(path: &Path, options: &SqliteConnectOptions) -> Result<(), OpenError> {
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    if !path.try_exists().map_err(|error| unreadable(error.into()))? {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let mut connection = SqliteConnection::connect_with(options).await.map_err(unreadable)?;
    let standing = standing(&mut connection).await.map_err(unreadable)?;
    let works = matches!(standing, Standing::Current(_) | Standing::Ahead(_));
    let moved = if works { moved(&mut connection).await.map_err(unreadable)? } else { None };
    connection.close().await.map_err(unreadable)?;
    if let Some((destination, at)) = moved {
        return Err(OpenError::Moved { path: path.to_owned(), destination, at });
    }
    match standing {
        Standing::Current(_) => Ok(()),
        Standing::Ahead(found) => {
            tracing::info!(found, known = latest(), "the schema is ahead of this program and works with it");
            Ok(())
        }
        Standing::Empty => Err(OpenError::NotInro { path: path.to_owned() }),
        Standing::Outdated(found) => Err(OpenError::Outdated { found, needed: latest() }),
        Standing::Newer(found) => Err(OpenError::Newer { found, known: latest() }),
        Standing::Altered(version) => Err(OpenError::Altered { version }),
    }
}

/// Where the ledger went, and when, if it did.
async fn moved(connection: &mut SqliteConnection) -> Result<Option<(String, Timestamp)>, sqlx::Error> {
    let moved: Option<(String, i64)> =
        sqlx::query_as("SELECT destination, at FROM moved LIMIT 1").fetch_optional(connection).await?;
    Ok(moved.map(|(destination, at)| (destination, Timestamp::from_millisecond(at).unwrap_or_default())))
}

/// Whether the database's schema works with this program.
pub(crate) async fn fits(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    Ok(matches!(standing(connection).await?, Standing::Current(_) | Standing::Ahead(_)))
}

/// What every connection is opened with. A commit is on the disk before it is acknowledged (`FULL`).
pub(crate) fn connect_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(busy_timeout)
        .pragma("trusted_schema", "OFF")
}

enum Standing {
    Empty,
    Outdated(i64),
    Current(i64),
    /// Newer migrations say that they work with this program.
    Ahead(i64),
    /// They don't.
    Newer(i64),
    Altered(i64),
}

fn latest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

async fn standing(connection: &mut SqliteConnection) -> Result<Standing, sqlx::Error> {
    let is_there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
            .fetch_one(&mut *connection)
            .await?;
    if !is_there {
        return Ok(Standing::Empty);
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
    let Some((newest, _)) = applied.last() else { return Ok(Standing::Empty) };
    let mut foreign = Vec::new();
    for (version, checksum) in &applied {
        match MIGRATIONS.iter().find(|migration| migration.version == *version) {
            None => foreign.push(*version),
            Some(known) if *known.checksum != **checksum => return Ok(Standing::Altered(*version)),
            Some(_) => {}
        }
    }
    for version in &foreign {
        let works_with: Option<i64> =
            sqlx::query_scalar("SELECT works_with FROM schema_versions WHERE version = $1")
                .bind(*version)
                .fetch_optional(&mut *connection)
                .await?;
        if *version < latest() || works_with.is_none_or(|oldest| oldest > latest()) {
            return Ok(Standing::Newer(*newest));
        }
    }
    Ok(if !applied.iter().any(|(version, _)| *version == latest()) {
        Standing::Outdated(*newest)
    } else if foreign.is_empty() {
        Standing::Current(*newest)
    } else {
        Standing::Ahead(*newest)
    })
}

/// An empty file for SQLite to fill, with the rights that its companion files inherit.
fn create(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}
