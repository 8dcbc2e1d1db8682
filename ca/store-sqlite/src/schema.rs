//! The schema: created and upgraded by `inro-ca migrate` alone, and checked at each opening.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

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
    /// A newer version of Inro wrote it.
    #[error(
        "the database's schema is version {found}, this program knows {known} at most: use the newer program"
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

/// Creates the database, readable by its owner alone, or brings it up to this program's schema.
///
/// # Errors
/// [`OpenError`]; a migration that fails leaves the version before it.
pub async fn migrate(path: &Path) -> Result<Migrated, OpenError> {
    create(path).map_err(|source| OpenError::NotCreated { path: path.to_owned(), source })?;
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    let options = connect_options(path, Duration::from_secs(5));
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(unreadable)?;
    let applied = applied(&mut connection).await.map_err(unreadable)?;
    let from = match standing(&applied) {
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

/// Refuses a database whose schema isn't exactly this program's.
pub(crate) async fn check(path: &Path, options: &SqliteConnectOptions) -> Result<(), OpenError> {
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    if !path.try_exists().map_err(|error| unreadable(error.into()))? {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let mut connection = SqliteConnection::connect_with(options).await.map_err(unreadable)?;
    let applied = applied(&mut connection).await.map_err(unreadable)?;
    connection.close().await.map_err(unreadable)?;
    match standing(&applied) {
        Standing::Current(_) => Ok(()),
        Standing::Empty => Err(OpenError::NotInro { path: path.to_owned() }),
        Standing::Outdated(found) => Err(OpenError::Outdated { found, needed: latest() }),
        Standing::Newer(found) => Err(OpenError::Newer { found, known: latest() }),
        Standing::Altered(version) => Err(OpenError::Altered { version }),
    }
}

/// Whether the database's schema is exactly this program's.
pub(crate) async fn is_current(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    Ok(matches!(standing(&applied(connection).await?), Standing::Current(_)))
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
    Newer(i64),
    Altered(i64),
}

fn latest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Versions and checksums of the migrations that made the database, in order.
async fn applied(connection: &mut SqliteConnection) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *connection)
            .await?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
        .fetch_all(connection)
        .await
}

fn standing(applied: &[(i64, Vec<u8>)]) -> Standing {
    let Some((newest, _)) = applied.last() else { return Standing::Empty };
    for (version, checksum) in applied {
        match MIGRATIONS.iter().find(|migration| migration.version == *version) {
            None => return Standing::Newer(*newest),
            Some(known) if *known.checksum != **checksum => return Standing::Altered(*version),
            Some(_) => {}
        }
    }
    if *newest < latest() { Standing::Outdated(*newest) } else { Standing::Current(*newest) }
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
