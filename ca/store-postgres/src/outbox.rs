//! The outbox: mail that is queued in the transaction of its cause. What follows from a state by itself is queued by the
//! schema's triggers.

use ca_core::domain::{
    ids::{IssuerId, SerialNumber, UserId},
    mail::MailKind,
};
use jiff::Timestamp;
use sqlx::PgConnection;

/// Queues a mail to the user's address of this moment; without one there is nobody to tell. A second one of the same kind
/// about the same certificate is none.
pub(crate) async fn enqueue(
    tx: &mut PgConnection,
    kind: MailKind,
    user: &UserId,
    certificate: Option<(&IssuerId, &SerialNumber)>,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let (kind, user, at) = (kind.as_str(), user.as_str(), at.as_millisecond());
    let issuer = certificate.map(|(issuer, _)| issuer.as_str());
    let serial = certificate.map(|(_, serial)| serial.as_bytes());
    sqlx::query!(
        "INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
         SELECT $1, id, $3, $4, email, $5, $5 FROM users WHERE id = $2 AND email IS NOT NULL
         ON CONFLICT DO NOTHING",
        kind,
        user,
        issuer,
        serial,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}
