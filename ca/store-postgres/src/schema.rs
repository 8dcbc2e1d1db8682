//! The schema: created and upgraded by `inro-ca migrate` alone, and checked at each opening.
//!
//! A migration says in `schema_versions` which is the oldest program that works with what it makes. So nodes go on while
//! the schema is ahead of them, and are restarted with the newer program one by one.

use std::{io, time::Duration};

use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
};

use tokio::time::timeout;

use crate::server::{self, Server, Use};

/// A server that lets nobody in for so long doesn't answer.
const CONNECT: Duration = Duration::from_secs(10);

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Why a database wasn't opened or upgraded.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database has no ledger of Inro's.
    #[error("{server} has no ledger of Inro's: run `inro-ca migrate` if it should")]
    NotInro {
        /// The database.
        server: Server,
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
    /// The server can't be reached, refuses, or isn't fit.
    #[error("{server} can't be used")]
    Unusable {
        /// The database.
        server: Server,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The role may do what a node does, and not fill a ledger.
    #[error(
        "the role {role} may not fill {server}: use the configuration of the tables' owner, as for `inro-ca migrate`"
    )]
    NotOwner {
        /// The database.
        server: Server,
        /// As whom the address connects.
        role: String,
    },
    /// A migration failed; it was rolled back.
    #[error("{server} can't be upgraded")]
    Migration {
        /// The database.
        server: Server,
        /// Why.
        #[source]
        source: MigrateError,
    },
}

/// What [`migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; `None` for a new ledger.
    pub from: Option<i64>,
    /// The schema's version now.
    pub to: i64,
}

/// Creates the ledger in an existing database, or brings it up to this program's schema. One that is ahead of this program
/// and works with it is left alone. Of several at once, one migrates and the others wait.
///
/// # Errors
/// [`OpenError`]; a migration that fails leaves the version before it.
pub async fn migrate(server: &Server) -> Result<Migrated, OpenError> {
    let unusable = |source| OpenError::Unusable { server: server.clone(), source };
    let mut connection = connect(server, Use::Maintenance).await.map_err(unusable)?;
    let from = match standing(&mut connection).await.map_err(unusable)? {
        Standing::Ahead(version) => return Ok(Migrated { from: Some(version), to: version }),
        Standing::Current(version) | Standing::Outdated(version) => Some(version),
        Standing::Empty => None,
        Standing::Newer(found) => return Err(OpenError::Newer { found, known: latest() }),
        Standing::Altered(version) => return Err(OpenError::Altered { version }),
    };
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|source| OpenError::Migration { server: server.clone(), source })?;
    connection.close().await.map_err(unusable)?;
    Ok(Migrated { from, to: latest() })
}

/// Refuses a database whose schema doesn't work with this program.
pub(crate) async fn check(server: &Server) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { server: server.clone(), source };
    let mut connection = connect(server, Use::Reading).await.map_err(unusable)?;
    in_time(server::stands_alone(server)).await.map_err(unusable)?;
    let standing = standing(&mut connection).await.map_err(unusable)?;
    connection.close().await.map_err(unusable)?;
    match standing {
        Standing::Current(_) => Ok(()),
        Standing::Ahead(found) => {
            tracing::info!(found, known = latest(), "the schema is ahead of this program and works with it");
            Ok(())
        }
        Standing::Empty => Err(OpenError::NotInro { server: server.clone() }),
        Standing::Outdated(found) => Err(OpenError::Outdated { found, needed: latest() }),
        Standing::Newer(found) => Err(OpenError::Newer { found, known: latest() }),
        Standing::Altered(version) => Err(OpenError::Altered { version }),
    }
}

/// Whether the database's schema works with this program.
pub(crate) async fn fits(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    Ok(matches!(standing(connection).await?, Standing::Current(_) | Standing::Ahead(_)))
}

/// A connection that is set up for this purpose.
pub(crate) async fn connect(server: &Server, purpose: Use) -> Result<PgConnection, sqlx::Error> {
    in_time(async {
        let mut connection = PgConnection::connect_with(server.options()).await?;
        server::prepare(&mut connection, purpose).await?;
        Ok(connection)
    })
    .await
}

async fn in_time<T>(connecting: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let silent = io::Error::new(io::ErrorKind::TimedOut, "the database server doesn't answer");
    timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(silent.into()))
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

async fn standing(connection: &mut PgConnection) -> Result<Standing, sqlx::Error> {
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
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
