//! Leases, by the clock of the database's host, which is one clock for all nodes.

use async_trait::async_trait;
use ca_core::ports::store::{LeaseStore, StoreResult};
use jiff::SignedDuration;
use sqlx::PgConnection;

use crate::{PostgresStore, failure::Failure, outcome::Written};

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn take_lease(&self, name: &str, holder: &str, lifetime: SignedDuration) -> StoreResult<bool> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2);
        self.write(None, move |tx| Box::pin(async move { take(tx, &name, &holder, lifetime).await })).await
    }

    async fn release_lease(&self, name: &str, holder: &str) -> StoreResult<()> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(None, move |tx| Box::pin(async move { release(tx, &name, &holder).await })).await
    }
}

async fn take(
    tx: &mut PgConnection,
    name: &str,
    holder: &str,
    lifetime: i64,
) -> Result<Written<bool>, Failure> {
    let taken = sqlx::query!(
        "INSERT INTO leases (name, holder, expires_at)
         VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
         WHERE leases.holder = excluded.holder
            OR leases.expires_at <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        name,
        holder,
        lifetime
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(taken.rows_affected() > 0))
}

async fn release(tx: &mut PgConnection, name: &str, holder: &str) -> Result<Written<()>, Failure> {
    sqlx::query!("DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder).execute(tx).await?;
    Ok(Written::Changed(()))
}
