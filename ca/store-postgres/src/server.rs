//! Where the database is, and how every connection to it is set up.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

/// The database's address, and as whom to connect.
#[derive(Clone)]
pub struct Server {
    options: PgConnectOptions,
}

/// Why a URL says no usable address.
#[derive(Debug, thiserror::Error)]
pub enum InvalidServer {
    /// It can't be read.
    #[error("it is not a PostgreSQL URL; write postgres://USER@HOST/DATABASE?sslmode=verify-full")]
    Url(#[source] sqlx::Error),
    /// Secrets don't belong into URLs.
    #[error("it carries a password; put that into a file of its own or into a password file (PGPASSFILE)")]
    Password,
    /// It names no database.
    #[error("it names no database; write postgres://USER@HOST/DATABASE?sslmode=verify-full")]
    Database,
    /// The connection leaves the machine, and nobody said whether it is to be encrypted.
    #[error(
        "{host} is another machine and sslmode isn't set; use sslmode=verify-full with sslrootcert=FILE, or say \
         sslmode=disable if the network is protected otherwise"
    )]
    Unprotected {
        /// The host.
        host: String,
    },
}

impl Server {
    /// Reads a URL such as `postgres://inro@db.example/inro?sslmode=verify-full&sslrootcert=/etc/inro/db-ca.pem`, or, for
    /// a Unix socket, `postgres://inro@localhost/inro?host=/run/postgresql`. Without a password from
    /// [`with_password`](Self::with_password) the password file of libpq's rules is looked at (`PGPASSFILE`, `~/.pgpass`).
    ///
    /// # Errors
    /// [`InvalidServer`].
    pub fn parse(url: &str) -> Result<Self, InvalidServer> {
        if has_password(url) {
            return Err(InvalidServer::Password);
        }
        let options = PgConnectOptions::from_str(url).map_err(InvalidServer::Url)?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(InvalidServer::Database);
        }
        let host = options.get_host();
        let local =
            options.get_socket().is_some() || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host);
        if !local && matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow) {
            return Err(InvalidServer::Unprotected { host: host.to_owned() });
        }
        // Of no use here, and a setting that poolers refuse.
        Ok(Self { options: options.extra_float_digits(None).statement_cache_capacity(STATEMENTS) })
    }

    /// Sets the password.
    #[must_use]
    pub fn with_password(self, password: &SecretString) -> Self {
        Self { options: self.options.password(password.expose_secret()) }
    }

    /// Sets the name by which the server's own views show the connections: the node's.
    #[must_use]
    pub fn with_application_name(self, name: &str) -> Self {
        Self { options: self.options.application_name(name) }
    }

    /// What connections are opened with.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

/// More than the crate has, so that none is ever prepared twice.
const STATEMENTS: usize = 256;

fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    let query = url.split_once('?').map_or("", |(_, query)| query);
    in_authority || query.split('&').any(|pair| pair.split('=').next() == Some("password"))
}

/// The address without whatever else the URL says.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let database = options.get_database().unwrap_or_default();
        match options.get_socket() {
            Some(socket) => write!(f, "database {database} at {}", socket.display()),
            None => write!(f, "database {database} at {}:{}", options.get_host(), options.get_port()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

/// How long a connection waits, each in milliseconds on the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// The writer's: short statements, and for its turn among the nodes.
    Writing,
    /// The readers': also lists of a million revocations.
    Reading,
    /// Migrations and the move of a whole ledger.
    Maintenance,
}

/// Sets a new connection up. It is refused where a standby answered, which may be behind.
pub(crate) async fn prepare(connection: &mut PgConnection, purpose: Use) -> Result<(), sqlx::Error> {
    // A commit is on the disk before it is acknowledged, whatever the server's default is, and a node that vanished
    // in a transaction doesn't hold the others up. Every query has its index; before the first ANALYZE of a growing
    // table the planner wouldn't believe it.
    let settings = match purpose {
        Use::Writing => {
            "SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s';
             SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
        }
        Use::Reading => {
            "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s';
             SET default_transaction_read_only = on; SET enable_seqscan = off"
        }
        Use::Maintenance => "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0",
    };
    connection.execute(settings).await?;
    notice_absence(connection).await?;
    let (standby, encoding, commits): (bool, String, String) = sqlx::query_as(
        "SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_setting('synchronous_commit')",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await?;
    if standby {
        return Err(sqlx::Error::Configuration(Box::new(Unfit::Standby)));
    }
    if encoding != "UTF8" {
        return Err(sqlx::Error::Configuration(Box::new(Unfit::Encoding(encoding))));
    }
    if matches!(commits.as_str(), "off" | "local") {
        connection.execute("SET synchronous_commit = on").await?;
    }
    Ok(())
}

/// Has the server notice that a node is gone: one that gave a query up, within two seconds; one that vanished, within a
/// minute. Until then each has a connection that others may be in need of.
async fn notice_absence(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // On a Unix socket there are no keepalives, and setting them does nothing.
    connection
        .execute(
            "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3",
        )
        .await?;
    match connection.execute("SET client_connection_check_interval = '2s'").await {
        // Systems such as Windows don't tell a server of it: there a query goes on to its own time-out.
        Err(sqlx::Error::Database(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "the server can't notice that a query was given up");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Makes sure that a connection has its settings for itself, while another one is open that was set up: behind a pooler in
/// transaction mode they show in each other.
pub(crate) async fn stands_alone(server: &Server) -> Result<(), sqlx::Error> {
    let mut fresh = PgConnection::connect_with(server.options()).await?;
    // As one message: what is prepared might be another server's already.
    let changed = fresh
        .fetch_optional(sqlx::raw_sql(
            "SELECT name FROM pg_settings
             WHERE name IN ('statement_timeout', 'default_transaction_read_only') AND setting <> reset_val",
        ))
        .await?;
    fresh.close().await?;
    if changed.is_some() { Err(sqlx::Error::Configuration(Box::new(Unfit::Pooler))) } else { Ok(()) }
}

/// Why a server that answers isn't worked with.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(
        "a pooler in transaction mode stands before the server, and settings of one connection show in others; connect \
         directly, or through one in session mode"
    )]
    Pooler,
    #[error("the server is a standby; the address must lead to the primary")]
    Standby,
    #[error("the database's encoding is {0}; create it with ENCODING 'UTF8'")]
    Encoding(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_far_it_is_protected() {
        let refused = |url| Server::parse(url).expect_err(url);
        assert!(matches!(refused("postgres://inro@db.example/inro"), InvalidServer::Unprotected { .. }));
        assert!(matches!(
            refused("postgres://inro@db.example/inro?sslmode=prefer"),
            InvalidServer::Unprotected { .. }
        ));
        assert!(matches!(refused("postgres://inro@localhost"), InvalidServer::Database));
        assert!(matches!(refused("ledger.db"), InvalidServer::Url(_)));
        for url in [
            "postgres://inro@db.example/inro?sslmode=verify-full&sslrootcert=/etc/inro/db-ca.pem",
            "postgres://inro@db.example/inro?sslmode=disable",
            "postgres://inro@127.0.0.1:6000/inro",
            "postgres://inro@localhost/inro?host=/run/postgresql",
        ] {
            Server::parse(url).expect(url);
        }
    }

    #[test]
    fn secrets_stay_out_of_urls_and_of_what_is_shown() {
        for url in ["postgres://inro:s3cret@localhost/inro", "postgres://inro@localhost/inro?password=s3cret"]
        {
            assert!(matches!(Server::parse(url), Err(InvalidServer::Password)), "{url}");
        }
        let server = Server::parse("postgres://inro@localhost/inro").expect("a server");
        let shown = format!("{:?}", server.with_password(&SecretString::from("s3cret")));
        assert!(shown.contains("localhost") && !shown.contains("s3cret"), "{shown}");
    }
}
