//! What becomes of a renewal (rule 1): confirmed, which supersedes the certificate before it in the same commit, or lapsed.
//! How it falls with the certificate before it stands with the revocations.

use ca_core::{
    domain::{
        ids::{IssuerId, SerialNumber},
        renewal::unconfirmed_until,
        revocation::{RevocationReason, whole_second},
    },
    ports::store::{Conflict, RevokeOutcome},
};
use jiff::Timestamp;
use sqlx::SqliteConnection;

use crate::{
    failure::Failure,
    outcome::Written,
    revocation,
    rows::{id, serial as number, time},
};

/// Confirms a certificate that stands. Once is enough.
pub(crate) async fn confirm(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (name, octets) = (issuer.as_str(), serial.as_bytes());
    let standing = sqlx::query!(
        "SELECT renews, not_before, confirmed_at FROM certificates
         WHERE issuer = $1 AND serial = $2 AND der IS NOT NULL AND revoked = 0",
        name,
        octets
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Conflict::Missing)?;
    if standing.confirmed_at.is_some() {
        return Ok(Written::Unchanged(()));
    }
    // The one before first: a user has one certificate at any moment.
    if let Some(predecessor) = standing.renews {
        // Lapsed, whether or not that has been entered yet.
        if at > unconfirmed_until(time("certificates.not_before", standing.not_before)?) {
            return Err(Conflict::Missing.into());
        }
        supersede(&mut *tx, &predecessor, at).await?;
    }
    let at = at.as_millisecond();
    sqlx::query!(
        "UPDATE certificates SET confirmed_at = $3 WHERE issuer = $1 AND serial = $2",
        name,
        octets,
        at
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

/// `Missing` when it doesn't stand: then nothing takes its place.
async fn supersede(tx: &mut SqliteConnection, intent: &[u8], at: Timestamp) -> Result<(), Failure> {
    let predecessor = sqlx::query!(
        "SELECT issuer, serial FROM certificates WHERE intent = $1 AND der IS NOT NULL AND revoked = 0",
        intent
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Conflict::Missing)?;
    let issuer = id("certificates.issuer", &predecessor.issuer, IssuerId::parse)?;
    let serial = number("certificates.serial", &predecessor.serial)?;
    let superseded = RevocationReason::Superseded;
    match revocation::enter(tx, &issuer, &serial, superseded, whole_second(at)).await? {
        Written::Changed(RevokeOutcome::Revoked(_)) => Ok(()),
        Written::Changed(_) | Written::Unchanged(_) => Err(Conflict::Missing.into()),
    }
}

/// Revokes a renewal that is still unconfirmed.
pub(crate) async fn lapse(
    tx: &mut SqliteConnection,
    issuer: &IssuerId,
    serial: &SerialNumber,
    at: Timestamp,
) -> Result<Written<bool>, Failure> {
    let (name, octets) = (issuer.as_str(), serial.as_bytes());
    let is_unconfirmed = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM certificates
                          WHERE issuer = $1 AND serial = $2 AND renews IS NOT NULL AND confirmed_at IS NULL
                            AND revoked = 0 AND abandoned_at IS NULL) AS "is_unconfirmed!: bool""#,
        name,
        octets
    )
    .fetch_one(&mut *tx)
    .await?;
    if !is_unconfirmed {
        return Ok(Written::Unchanged(false));
    }
    let unused = RevocationReason::CessationOfOperation;
    revocation::enter(tx, issuer, serial, unused, whole_second(at)).await?;
    Ok(Written::Changed(true))
}
