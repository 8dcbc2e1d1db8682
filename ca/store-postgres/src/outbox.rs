//! The outbox: mail that is queued in the transaction of its cause, and its way out. What follows from a state by itself is
//! queued by the schema's triggers.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SerialNumber, UserId},
        mail::{MailId, MailKind, OutboxMail},
    },
    ports::{
        outbox::{Announcement, Backlog, ClaimedMail, ExpiryNotice, MailList, OutboxStore, Settlement},
        store::StoreResult,
    },
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    PostgresStore,
    failure::Failure,
    outcome::Written,
    rows::{MailRow, optional_time, signed, unsigned},
};

#[async_trait]
impl OutboxStore for PostgresStore {
    async fn queue_expiry_notices(
        &self,
        notice: &ExpiryNotice,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        let notice = notice.clone();
        self.write(None, move |tx| {
            Box::pin(async move { queue_expiry_notices(tx, &notice, now, limit).await })
        })
        .await
    }

    async fn claim_mail(&self, now: Timestamp, lost_at: Timestamp) -> StoreResult<Option<ClaimedMail>> {
        // Asked every few seconds, and mostly there is none: that is no matter for the writer.
        let at = now.as_millisecond();
        let is_due = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 'queued' AND next_attempt_at <= $1) AS "due!""#,
            at
        )
        .fetch_one(self.readers())
        .await
        .map_err(Failure::from)?;
        if !is_due {
            return Ok(None);
        }
        self.write(None, move |tx| Box::pin(async move { claim(tx, now, lost_at).await })).await
    }

    async fn settle_mail(
        &self,
        attempt: &OutboxMail,
        settlement: &Settlement,
        audit: Option<AuditEvent>,
    ) -> StoreResult<bool> {
        let (attempt, settlement) = (attempt.clone(), settlement.clone());
        self.write(audit, move |tx| Box::pin(async move { settle(tx, &attempt, &settlement).await })).await
    }

    async fn postpone_mail(&self, attempt: &OutboxMail, until: Timestamp, answer: &str) -> StoreResult<bool> {
        let (attempt, answer) = (attempt.clone(), answer.to_owned());
        self.write(None, move |tx| Box::pin(async move { postpone(tx, &attempt, until, &answer).await }))
            .await
    }

    async fn withdraw_all_mail(&self, at: Timestamp, answer: &str) -> StoreResult<u64> {
        let answer = answer.to_owned();
        self.write(None, move |tx| Box::pin(async move { withdraw_all(tx, at, &answer).await })).await
    }

    async fn retry_mail(&self, id: MailId, now: Timestamp, audit: AuditEvent) -> StoreResult<bool> {
        self.write(Some(audit), move |tx| Box::pin(async move { retry(tx, id, now).await })).await
    }

    async fn mail(&self, id: MailId) -> StoreResult<Option<OutboxMail>> {
        let id = signed("the mail's number", id.0)?;
        let row = sqlx::query_as!(
            MailRow,
            "SELECT id, kind, user_id, issuer, serial, recipient, queued_at, state, attempts, next_attempt_at, settled_at,
                    answer
             FROM outbox WHERE id = $1",
            id
        )
        .fetch_optional(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(row.map(OutboxMail::try_from).transpose()?)
    }

    async fn mails(&self, list: &MailList, limit: u32) -> StoreResult<Vec<OutboxMail>> {
        let rows = match list {
            MailList::Queued => self.queued_mails(limit).await?,
            MailList::Bounced => self.bounced_mails(limit).await?,
            MailList::OfUser(user) => self.mails_of(user, limit).await?,
        };
        Ok(rows.into_iter().map(OutboxMail::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn mail_backlog(&self) -> StoreResult<Backlog> {
        // The conditions on times hold always: they let the engine count within the index that they are about.
        let row = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM outbox WHERE state = 'queued' AND queued_at > -1) AS "queued!",
                      (SELECT min(queued_at) FROM outbox WHERE state = 'queued') AS "oldest?",
                      (SELECT count(*) FROM outbox WHERE state = 'bounced' AND settled_at > -1) AS "bounced!""#
        )
        .fetch_one(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(Backlog {
            queued: unsigned("queued mails", row.queued)?,
            oldest: optional_time("outbox.queued_at", row.oldest)?,
            bounced: unsigned("bounced mails", row.bounced)?,
        })
    }
}

impl PostgresStore {
    async fn queued_mails(&self, limit: u32) -> Result<Vec<MailRow>, Failure> {
        Ok(sqlx::query_as!(
            MailRow,
            "SELECT id, kind, user_id, issuer, serial, recipient, queued_at, state, attempts, next_attempt_at, settled_at,
                    answer
             FROM outbox WHERE state = 'queued' AND queued_at > -1 ORDER BY queued_at, id LIMIT $1",
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await?)
    }

    async fn bounced_mails(&self, limit: u32) -> Result<Vec<MailRow>, Failure> {
        Ok(sqlx::query_as!(
            MailRow,
            "SELECT id, kind, user_id, issuer, serial, recipient, queued_at, state, attempts, next_attempt_at, settled_at,
                    answer
             FROM outbox WHERE state = 'bounced' AND settled_at > -1 ORDER BY settled_at DESC, id DESC LIMIT $1",
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await?)
    }

    async fn mails_of(&self, user: &UserId, limit: u32) -> Result<Vec<MailRow>, Failure> {
        let user = user.as_str();
        Ok(sqlx::query_as!(
            MailRow,
            "SELECT id, kind, user_id, issuer, serial, recipient, queued_at, state, attempts, next_attempt_at, settled_at,
                    answer
             FROM outbox WHERE user_id = $1 ORDER BY id DESC LIMIT $2",
            user,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await?)
    }
}

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

/// A removed user's settled mail keeps no address, and no change of it waits.
pub(crate) async fn forget_addresses(tx: &mut PgConnection, user: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE outbox SET recipient = NULL WHERE user_id = $1 AND state <> 'queued'", user)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("DELETE FROM email_changes WHERE user_id = $1", user).execute(tx).await?;
    Ok(())
}

async fn queue_expiry_notices(
    tx: &mut PgConnection,
    notice: &ExpiryNotice,
    now: Timestamp,
    limit: u32,
) -> Result<Written<u64>, Failure> {
    let (issuer, kind) = (notice.issuer.as_str(), notice.kind.as_str());
    let (from, until) = (notice.from.as_millisecond(), notice.until.as_millisecond());
    let now = now.as_millisecond();
    // One index scan of the piece of time, and a look-up in the outbox for each: joined, a plan that was made while the outbox
    // was empty would read all of it for each certificate.
    let queued = sqlx::query!(
        "INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
         SELECT $2, d.user_id, d.issuer, d.serial, d.email, $5::bigint, $5::bigint
         FROM (SELECT c.user_id, c.issuer, c.serial, (SELECT u.email FROM users u WHERE u.id = c.user_id) AS email
               FROM certificates c
               WHERE c.issuer = $1 AND c.not_after >= $3 AND c.not_after < $4 AND c.der IS NOT NULL AND NOT c.revoked
               ORDER BY c.issuer, c.not_after OFFSET 0) d
         WHERE d.email IS NOT NULL
           AND (SELECT o.id FROM outbox o
                WHERE o.issuer = d.issuer AND o.serial = d.serial AND o.kind = $2 LIMIT 1) IS NULL
         LIMIT $6
         ON CONFLICT DO NOTHING",
        issuer,
        kind,
        from,
        until,
        now,
        i64::from(limit)
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(queued.rows_affected()))
}

async fn claim(
    tx: &mut PgConnection,
    now: Timestamp,
    lost_at: Timestamp,
) -> Result<Written<Option<ClaimedMail>>, Failure> {
    let (now, lost_at) = (now.as_millisecond(), lost_at.as_millisecond());
    let claimed = sqlx::query_scalar!(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $2
         WHERE id = (SELECT id FROM outbox WHERE state = 'queued' AND next_attempt_at <= $1
                     ORDER BY next_attempt_at, id LIMIT 1)
         RETURNING id",
        now,
        lost_at
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(id) = claimed else { return Ok(Written::Unchanged(None)) };
    let row = sqlx::query!(
        r#"SELECT o.id AS "id!", o.kind, o.user_id, o.issuer, o.serial, o.recipient, o.queued_at, o.state, o.attempts,
                  o.next_attempt_at, o.settled_at, o.answer, o.code, u.display_name,
                  c.not_after AS "not_after?", c.revoked AS "revoked?",
                  (SELECT min(j.revoke_at) FROM rejudged_certificates r JOIN rejudgements j ON j.id = r.rejudgement
                   WHERE r.issuer = o.issuer AND r.serial = o.serial
                     AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = j.id)) AS "to_be_revoked_at?: i64",
                  o.revoke_at,
                  (SELECT t.revoke_at FROM outbox t
                   WHERE t.issuer = o.issuer AND t.serial = o.serial
                     AND t.kind IN ('to-be-revoked', 'not-to-be-revoked') AND t.announcement < o.announcement
                     AND (t.state = 'delivered' OR (t.state = 'queued' AND t.attempts > 0)
                          OR (t.state = 'withdrawn' AND t.attempts > 1))
                   ORDER BY t.announcement DESC LIMIT 1) AS "told?: i64",
                  EXISTS (SELECT 1 FROM outbox l
                          WHERE l.issuer = o.issuer AND l.serial = o.serial
                            AND l.kind IN ('to-be-revoked', 'not-to-be-revoked') AND o.announcement > 0
                            AND l.announcement > o.announcement AND l.state <> 'withdrawn') AS "is_overtaken!: bool"
           FROM outbox o JOIN users u ON u.id = o.user_id
           LEFT JOIN certificates c ON c.issuer = o.issuer AND c.serial = o.serial
           WHERE o.id = $1"#,
        id
    )
    .fetch_one(tx)
    .await?;
    let mail = MailRow {
        id: row.id,
        kind: row.kind,
        user_id: row.user_id,
        issuer: row.issuer,
        serial: row.serial,
        recipient: row.recipient,
        queued_at: row.queued_at,
        state: row.state,
        attempts: row.attempts,
        next_attempt_at: row.next_attempt_at,
        settled_at: row.settled_at,
        answer: row.answer,
    };
    Ok(Written::Changed(Some(ClaimedMail {
        mail: mail.try_into()?,
        name: row.display_name,
        code: row.code,
        not_after: optional_time("certificates.not_after", row.not_after)?,
        to_be_revoked_at: optional_time("rejudgements.revoke_at", row.to_be_revoked_at)?,
        announcement: Announcement {
            revoke_at: optional_time("outbox.revoke_at", row.revoke_at)?,
            told: optional_time("outbox.revoke_at", row.told)?,
            is_overtaken: row.is_overtaken,
        },
        is_revoked: row.revoked.is_some_and(|revoked| revoked),
    })))
}

async fn settle(
    tx: &mut PgConnection,
    attempt: &OutboxMail,
    settlement: &Settlement,
) -> Result<Written<bool>, Failure> {
    let (id, attempts) = (signed("the mail's number", attempt.id.0)?, i64::from(attempt.attempts));
    let lost_at = attempt.next_attempt_at.as_millisecond();
    let (state, at) = (settlement.state.as_str(), settlement.at.as_millisecond());
    let answer = settlement.answer.as_str();
    let settled = sqlx::query!(
        "UPDATE outbox SET state = $4, settled_at = $5, answer = $6, code = NULL,
                recipient = CASE WHEN EXISTS (SELECT 1 FROM users u WHERE u.id = outbox.user_id AND u.state = 'removed')
                                 THEN NULL ELSE recipient END
         WHERE id = $1 AND state = 'queued' AND attempts = $2 AND next_attempt_at = $3",
        id,
        attempts,
        lost_at,
        state,
        at,
        answer
    )
    .execute(tx)
    .await?;
    Ok(if settled.rows_affected() == 0 { Written::Unchanged(false) } else { Written::Changed(true) })
}

async fn postpone(
    tx: &mut PgConnection,
    attempt: &OutboxMail,
    until: Timestamp,
    answer: &str,
) -> Result<Written<bool>, Failure> {
    let (id, attempts) = (signed("the mail's number", attempt.id.0)?, i64::from(attempt.attempts));
    let (lost_at, until) = (attempt.next_attempt_at.as_millisecond(), until.as_millisecond());
    let postponed = sqlx::query!(
        "UPDATE outbox SET next_attempt_at = $4, answer = $5
         WHERE id = $1 AND state = 'queued' AND attempts = $2 AND next_attempt_at = $3",
        id,
        attempts,
        lost_at,
        until,
        answer
    )
    .execute(tx)
    .await?;
    Ok(if postponed.rows_affected() == 0 { Written::Unchanged(false) } else { Written::Changed(true) })
}

async fn withdraw_all(tx: &mut PgConnection, at: Timestamp, answer: &str) -> Result<Written<u64>, Failure> {
    let at = at.as_millisecond();
    let withdrawn = sqlx::query!(
        "UPDATE outbox SET state = 'withdrawn', settled_at = $1, answer = $2, code = NULL
         WHERE state = 'queued' AND queued_at <= $1",
        at,
        answer
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(withdrawn.rows_affected()))
}

async fn retry(tx: &mut PgConnection, id: MailId, now: Timestamp) -> Result<Written<bool>, Failure> {
    let (id, now) = (signed("the mail's number", id.0)?, now.as_millisecond());
    let queued = sqlx::query!(
        "UPDATE outbox SET state = 'queued', settled_at = NULL, attempts = 0, next_attempt_at = $2,
                recipient = CASE kind WHEN 'email-changed' THEN recipient
                    ELSE coalesce((SELECT u.email FROM users u WHERE u.id = outbox.user_id), recipient) END
         WHERE id = $1 AND state = 'bounced' AND kind <> 'email-code' AND recipient IS NOT NULL",
        id,
        now
    )
    .execute(tx)
    .await?;
    Ok(if queued.rows_affected() == 0 { Written::Unchanged(false) } else { Written::Changed(true) })
}
