//! CRL numbers and the current CRL of each issuer.

use ca_core::{
    domain::ids::IssuerId,
    ports::store::{Conflict, NextCrl, PublishedCrl},
};
use sqlx::{PgConnection, PgExecutor};

use crate::{
    failure::Failure,
    outcome::Written,
    readers::Readers,
    revocation,
    rows::{signed, time, unsigned},
};

/// In the transaction that takes the number, which no other overlaps, the head is as exact as the number.
pub(crate) async fn next_number(
    tx: &mut PgConnection,
    issuer: &IssuerId,
) -> Result<Written<NextCrl>, Failure> {
    let issuer = issuer.as_str();
    let number = sqlx::query_scalar!(
        "INSERT INTO issuers (issuer, last_crl_number) VALUES ($1, 1)
         ON CONFLICT (issuer) DO UPDATE SET last_crl_number = issuers.last_crl_number + 1
         RETURNING last_crl_number",
        issuer
    )
    .fetch_one(&mut *tx)
    .await?;
    let number = unsigned("issuers.last_crl_number", number)?;
    Ok(Written::Changed(NextCrl { number, head: revocation::head(tx).await? }))
}

/// Makes a CRL the current one, also one whose number came from elsewhere: the next number is beyond it.
pub(crate) async fn publish(
    tx: &mut PgConnection,
    issuer: &IssuerId,
    crl: &PublishedCrl,
) -> Result<Written<()>, Failure> {
    let issuer = issuer.as_str();
    let (number, entries) = (signed("the CRL's number", crl.number)?, signed("its entries", crl.entries)?);
    let (this_update, next_update) = (crl.this_update.as_millisecond(), crl.next_update.as_millisecond());
    let listed_from = crl.listed_from.as_millisecond();
    let published = sqlx::query!(
        "INSERT INTO crls (issuer, number, this_update, next_update, entries, der, listed_from)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, this_update = excluded.this_update,
                                   next_update = excluded.next_update, entries = excluded.entries,
                                   der = excluded.der, listed_from = excluded.listed_from
         WHERE excluded.number > crls.number",
        issuer,
        number,
        this_update,
        next_update,
        entries,
        crl.der,
        listed_from
    )
    .execute(&mut *tx)
    .await?;
    if published.rows_affected() == 0 {
        return Err(Conflict::CrlNumber.into());
    }
    raise(tx, issuer, number).await?;
    Ok(Written::Changed(()))
}

/// Numbers go on above `number`; the CRL that had it is lost, so that none up to there may stay the current one.
pub(crate) async fn raise_number(
    tx: &mut PgConnection,
    issuer: &IssuerId,
    number: u64,
) -> Result<Written<()>, Failure> {
    let (issuer, number) = (issuer.as_str(), signed("the CRL's number", number)?);
    sqlx::query!(
        "INSERT INTO issuers (issuer, last_crl_number, crls_outdated_to) VALUES ($1, $2, $2)
         ON CONFLICT (issuer) DO UPDATE SET last_crl_number = excluded.last_crl_number,
                                            crls_outdated_to = excluded.crls_outdated_to
         WHERE issuers.last_crl_number < excluded.last_crl_number",
        issuer,
        number
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

async fn raise(tx: &mut PgConnection, issuer: &str, number: i64) -> Result<(), Failure> {
    sqlx::query!(
        "INSERT INTO issuers (issuer, last_crl_number) VALUES ($1, $2)
         ON CONFLICT (issuer) DO UPDATE
         SET last_crl_number = greatest(issuers.last_crl_number, excluded.last_crl_number)",
        issuer,
        number
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// CRLs up to now may say a later time than a revocation has.
pub(crate) async fn outdate(tx: &mut PgConnection, issuer: &IssuerId) -> Result<(), Failure> {
    let issuer = issuer.as_str();
    sqlx::query!("UPDATE issuers SET crls_outdated_to = last_crl_number WHERE issuer = $1", issuer)
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn current(
    executor: impl PgExecutor<'_>,
    issuer: &IssuerId,
) -> Result<Option<PublishedCrl>, Failure> {
    let issuer = issuer.as_str();
    let row = sqlx::query!(
        "SELECT number, this_update, next_update, listed_from, entries, der FROM crls WHERE issuer = $1",
        issuer
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        Ok(PublishedCrl {
            number: unsigned("crls.number", row.number)?,
            this_update: time("crls.this_update", row.this_update)?,
            next_update: time("crls.next_update", row.next_update)?,
            listed_from: time("crls.listed_from", row.listed_from)?,
            entries: unsigned("crls.entries", row.entries)?,
            der: row.der,
        })
    })
    .transpose()
}

pub(crate) async fn revoked_since(pool: Readers<'_>, issuer: &IssuerId) -> Result<u64, Failure> {
    let issuer = issuer.as_str();
    let missing = sqlx::query_scalar!(
        r#"SELECT greatest(0,
               (SELECT count(*) FROM revocations WHERE issuer = $1
                  AND not_after >= coalesce((SELECT listed_from FROM crls WHERE issuer = $1), -9223372036854775807))
               - coalesce((SELECT entries FROM crls WHERE issuer = $1), 0))
           + (SELECT count(*) FROM crls JOIN issuers ON issuers.issuer = crls.issuer
              WHERE crls.issuer = $1 AND crls.number <= issuers.crls_outdated_to) AS "missing!""#,
        issuer
    )
    .fetch_one(pool)
    .await?;
    unsigned("revocations", missing)
}
