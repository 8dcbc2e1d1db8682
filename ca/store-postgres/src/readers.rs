//! Connections that answer queries, none of which is waited for without end.
//!
//! A server that vanishes without a word (its host halts, a cable is cut, a firewall forgets) leaves connections on which
//! the kernel would wait for a quarter of an hour, and the driver offers no socket options. So each query has a deadline
//! here; a connection that misses it is closed, not handed on, and its place in the pool is free for a new one.

use std::{fmt, io, time::Duration};

use futures::{
    TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt},
};
use sqlx::{
    Connection, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{
    runtime::Handle,
    time::{error::Elapsed, timeout},
};

/// The pool, as something that answers a query within a time. Rows are collected before they are handed out; a list that
/// is too long for that is read row by row on a [`Lent`] connection.
#[derive(Clone, Copy)]
pub(crate) struct Readers<'p> {
    pool: &'p PgPool,
    patience: Duration,
}

impl<'p> Readers<'p> {
    /// Each query has so much time, besides that for having a connection, which is the pool's.
    pub(crate) fn new(pool: &'p PgPool, patience: Duration) -> Self {
        Self { pool, patience }
    }

    /// A connection by itself.
    pub(crate) async fn lend(self) -> Result<Lent, sqlx::Error> {
        Ok(Lent { connection: Some(self.pool.acquire().await?), patience: self.patience })
    }
}

impl fmt::Debug for Readers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// A connection of the pool. Dropped in the middle of a query, it has one more chance to be of use, in the background.
pub(crate) struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    patience: Duration,
}

impl Lent {
    /// The connection, to be asked within [`answer`](Self::answer).
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or_else(silent)
    }

    /// How long a query may take, and each part of a long one.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Hands an answer on, or gives the connection up when there was none in time: `answer` is of [`timeout`].
    pub(crate) fn answer<T, F: From<sqlx::Error>>(
        mut self,
        answer: Result<Result<T, F>, Elapsed>,
    ) -> Result<T, F> {
        let connection = self.connection.take();
        answer.unwrap_or_else(|Elapsed { .. }| {
            drop(connection.map(PoolConnection::detach));
            Err(silent().into())
        })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) else {
            return;
        };
        let patience = self.patience;
        runtime.spawn(async move {
            // What is left of an answer is read first.
            if !matches!(timeout(patience, connection.ping()).await, Ok(Ok(()))) {
                drop(connection.detach());
            }
        });
    }
}

fn silent() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database server doesn't answer").into()
}

impl<'p> Executor<'p> for Readers<'p> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let mut lent = self.lend().await?;
            let rows =
                timeout(self.patience, lent.connection()?.fetch_many(query).try_collect::<Vec<_>>()).await;
            let rows = lent.answer::<_, sqlx::Error>(rows)?;
            Ok::<_, sqlx::Error>(stream::iter(rows.into_iter().map(Ok)))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lent = self.lend().await?;
            let row = timeout(self.patience, lent.connection()?.fetch_optional(query)).await;
            lent.answer(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}
