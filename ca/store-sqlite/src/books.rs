//! The ledger's books, a page of a journal at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ca_core::{
    domain::ids::{IssuerId, SerialNumber, SignerName},
    ports::{
        books::{Entered, LedgerBooks},
        store::StoreResult,
    },
};
use jiff::Timestamp;

use crate::{
    SqliteStore,
    failure::Failure,
    json::json,
    rows::{EnteredRow, digest, serial, time, unsigned},
};

#[async_trait]
impl LedgerBooks for SqliteStore {
    async fn entered(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        first: u64,
        last: u64,
    ) -> StoreResult<Vec<Entered>> {
        let (issuer, signer) = (issuer.as_str(), signer.as_str());
        let (first, last) = (bound(first), bound(last));
        let rows = sqlx::query_as!(
            EnteredRow,
            r#"SELECT intent, journal_sequence AS "journal_sequence!", journal_hash AS "journal_hash!", tbs
               FROM certificates
               WHERE issuer = $1 AND signer = $2 AND journal_sequence BETWEEN $3 AND $4
               ORDER BY journal_sequence"#,
            issuer,
            signer,
            first,
            last
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Entered::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn revoked_among(
        &self,
        issuer: &IssuerId,
        serials: &[SerialNumber],
    ) -> StoreResult<BTreeMap<SerialNumber, Timestamp>> {
        let (name, serials) = (issuer.as_str(), json(serials.iter().map(ToString::to_string)));
        let serials = serials.map_err(Failure::from)?;
        let rows = sqlx::query!(
            "SELECT serial, at FROM revocations
             WHERE issuer = $1 AND serial IN (SELECT unhex(value) FROM json_each($2))",
            name,
            serials
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let read =
            |octets: &[u8], at| Ok((serial("revocations.serial", octets)?, time("revocations.at", at)?));
        Ok(rows.into_iter().map(|row| read(&row.serial, row.at)).collect::<Result<_, Failure>>()?)
    }

    async fn audit_hashes(&self, first: u64, last: u64) -> StoreResult<Vec<(u64, [u8; 32])>> {
        let (first, last) = (bound(first), bound(last));
        let rows = sqlx::query!(
            "SELECT sequence, hash FROM audit WHERE sequence BETWEEN $1 AND $2 ORDER BY sequence",
            first,
            last
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let rows = rows
            .into_iter()
            .map(|row| Ok((unsigned("audit.sequence", row.sequence)?, digest("audit.hash", &row.hash)?)));
        Ok(rows.collect::<Result<_, Failure>>()?)
    }
}

/// Beyond what the database counts to there is nothing.
fn bound(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
