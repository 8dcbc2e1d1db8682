//! The move of a ledger from SQLite to PostgreSQL.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ca_core::{
    app::move_ledger::{self, MoveError, Moved, Progress},
    domain::audit::{Actor, AuditEvent},
    ports::{clock::Clock, store::AuditStore},
};
use store_postgres::{Arrival, PostgresStore, Server};
use store_sqlite::Departure;

use super::ledger::{password, server};
use crate::{
    adapters::clock::SystemClock,
    config::{Config, Database},
};

/// From where to where.
pub(crate) struct Route {
    pub(crate) source: PathBuf,
    target: Server,
    shown: String,
}

impl Route {
    /// What was asked for: file, URL and the password's file; what is left out stands in the configuration.
    ///
    /// # Errors
    /// When it doesn't, or can't be used.
    pub(crate) fn of(
        config: &Config,
        asked: (Option<PathBuf>, Option<String>, Option<PathBuf>),
    ) -> anyhow::Result<Self> {
        let (from, to, password_file) = asked;
        let source = match (from, &config.node.database) {
            (Some(file), _) => file,
            (None, Database::Sqlite(file)) => file.clone(),
            (None, Database::Postgres(_)) => {
                bail!("the configuration has no node.database: name the file with --from")
            }
        };
        let target = match (to, &config.node.database) {
            (Some(url), _) => {
                let target = Server::parse(&url).context("--to")?;
                match password_file {
                    None => target,
                    Some(file) => target.with_password(&password(&file).context("--to-password-file")?),
                }
            }
            (None, Database::Postgres(postgres)) => server(config, postgres)?,
            (None, Database::Sqlite(_)) => {
                bail!("the configuration has no node.postgres: name the database with --to")
            }
        };
        Ok(Self { source, shown: target.to_string(), target })
    }

    /// The target as a person would name it.
    pub(crate) fn destination(&self) -> &str {
        &self.shown
    }
}

/// Moves the ledger, and says so in its audit trail.
///
/// # Errors
/// [`MoveError`], or an opening's.
pub(crate) async fn move_ledger(
    route: &Route,
    operator: Actor,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> anyhow::Result<Moved> {
    let mut source = Departure::open(&route.source).await?;
    let mut target = Arrival::open(&route.target).await?;
    let moved =
        move_ledger::move_ledger(&mut source, &mut target, route.destination(), &SystemClock, tell).await;
    let moved = moved.map_err(|error: MoveError| anyhow::Error::new(error))?;
    drop(target);
    let store = PostgresStore::open(&route.target, &store_postgres::Options::default()).await?;
    let event = AuditEvent {
        at: SystemClock.now(),
        actor: operator,
        action: "ledger.moved",
        subject: route.source.display().to_string(),
        details: vec![("to", route.destination().to_owned())],
    };
    let noted = store.append(event).await;
    store.close().await;
    noted.context("the ledger is moved, but its audit trail can't be written")?;
    Ok(moved)
}
