//! Plans after a new judgement of the fleet.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{IssuerId, SerialNumber, UserId},
        mail::MailKind,
    },
    ports::{
        rejudgements::{Fallen, NewRejudgement, PlanEnd, Rejudgement, RejudgementStore},
        store::{Conflict, StoreResult},
    },
};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::{
    SqliteStore,
    failure::Failure,
    json::json,
    outcome::Written,
    rows::{id, name, optional_time, reason, serial, signed, time, unsigned},
};

#[async_trait]
impl RejudgementStore for SqliteStore {
    async fn plan_rejudgement(&self, plan: &NewRejudgement, audit: AuditEvent) -> StoreResult<u64> {
        let plan = plan.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { enter(tx, &plan).await })).await
    }

    async fn rejudgements(&self) -> StoreResult<Vec<Rejudgement>> {
        let rows = sqlx::query!(
            r#"SELECT j.id, j.planned_by, j.planned_at, j.basis, j.judged, j.revoke_at, j.reason,
                      (SELECT count(*) FROM rejudged_certificates c WHERE c.rejudgement = j.id) AS "fallen!: i64",
                      e.ended AS "ended?", e.at AS "ended_at?"
               FROM rejudgements j LEFT JOIN rejudgement_ends e ON e.rejudgement = j.id
               ORDER BY j.id"#
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let read = rows.into_iter().map(|row| {
            let ended = match (row.ended, row.ended_at) {
                (Some(end), Some(at)) => Some((
                    name("rejudgement_ends.ended", &end, PlanEnd::parse)?,
                    time("rejudgement_ends.at", at)?,
                )),
                _ => None,
            };
            Ok(Rejudgement {
                id: unsigned("rejudgements.id", row.id)?,
                by: row.planned_by,
                at: time("rejudgements.planned_at", row.planned_at)?,
                basis: row.basis,
                judged: unsigned("rejudgements.judged", row.judged)?,
                fallen: unsigned("rejudgements.fallen", row.fallen)?,
                revoke_at: time("rejudgements.revoke_at", row.revoke_at)?,
                reason: reason("rejudgements.reason", row.reason)?,
                ended,
            })
        });
        Ok(read.collect::<Result<_, Failure>>()?)
    }

    async fn fallen(&self, plan: u64) -> StoreResult<Vec<Fallen>> {
        let plan = signed("the plan's number", plan)?;
        let rows = sqlx::query!(
            "SELECT issuer, serial, user_id, code, detail FROM rejudged_certificates
             WHERE rejudgement = $1 ORDER BY issuer, serial",
            plan
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let read = rows.into_iter().map(|row| {
            Ok(Fallen {
                issuer: id("rejudged_certificates.issuer", &row.issuer, IssuerId::parse)?,
                serial: serial("rejudged_certificates.serial", &row.serial)?,
                user: id("rejudged_certificates.user_id", &row.user_id, UserId::parse)?,
                code: row.code,
                detail: row.detail,
            })
        });
        Ok(read.collect::<Result<_, Failure>>()?)
    }

    async fn planned_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<Timestamp>> {
        let (issuer, serial) = (issuer.as_str(), serial.as_bytes());
        let at = sqlx::query_scalar!(
            r#"SELECT min(j.revoke_at) AS "at?: i64"
               FROM rejudged_certificates r JOIN rejudgements j ON j.id = r.rejudgement
               WHERE r.issuer = $1 AND r.serial = $2
                 AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = j.id)"#,
            issuer,
            serial
        )
        .fetch_one(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(optional_time("rejudgements.revoke_at", at)?)
    }

    async fn end_rejudgement(
        &self,
        plan: u64,
        end: PlanEnd,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let plan = signed("the plan's number", plan)?;
        self.write(Some(audit), move |tx| Box::pin(async move { conclude(tx, plan, end, at).await })).await
    }
}

async fn enter(tx: &mut SqliteConnection, plan: &NewRejudgement) -> Result<Written<u64>, Failure> {
    let (at, revoke_at) = (plan.at.as_millisecond(), plan.revoke_at.as_millisecond());
    let (judged, reason) =
        (signed("the number of those judged", plan.judged)?, i64::from(plan.reason.code()));
    let (by, basis) = (plan.by.as_str(), plan.basis.as_str());
    let id = sqlx::query_scalar!(
        "INSERT INTO rejudgements (id, planned_by, planned_at, basis, judged, revoke_at, reason)
         SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5, $6 FROM rejudgements
         RETURNING id",
        by,
        at,
        basis,
        judged,
        revoke_at,
        reason
    )
    .fetch_one(&mut *tx)
    .await?;
    let json = json(plan.fallen.iter().map(|fallen| JsonFallen {
        issuer: fallen.issuer.as_str(),
        serial: fallen.serial.to_string(),
        user: fallen.user.as_str(),
        code: &fallen.code,
        detail: &fallen.detail,
    }))?;
    sqlx::query!(
        "INSERT INTO rejudged_certificates (rejudgement, issuer, serial, user_id, code, detail)
         SELECT $1, j.value ->> 'issuer', unhex(j.value ->> 'serial'), j.value ->> 'user', j.value ->> 'code',
                j.value ->> 'detail'
         FROM json_each($2) j",
        id,
        json
    )
    .execute(&mut *tx)
    .await?;
    tell(tx, id, at).await?;
    Ok(Written::Changed(unsigned("rejudgements.id", id)?))
}

/// Queues the mails to the users of a plan's living certificates. One that was withdrawn told nobody: it is queued again.
async fn tell(tx: &mut SqliteConnection, plan: i64, at: i64) -> Result<(), sqlx::Error> {
    let kind = MailKind::ToBeRevoked.as_str();
    sqlx::query!(
        "INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
         SELECT $1, u.id, c.issuer, c.serial, u.email, $3, $3
         FROM rejudged_certificates r
         JOIN certificates c ON c.issuer = r.issuer AND c.serial = r.serial
         JOIN users u ON u.id = c.user_id
         WHERE r.rejudgement = $2 AND c.der IS NOT NULL AND c.revoked = 0 AND u.email IS NOT NULL
         ON CONFLICT (issuer, serial, kind) DO UPDATE
         SET state = 'queued', recipient = excluded.recipient, attempts = 0, settled_at = NULL, answer = NULL,
             next_attempt_at = excluded.next_attempt_at
         WHERE outbox.state = 'withdrawn'",
        kind,
        plan,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(Serialize)]
struct JsonFallen<'a> {
    issuer: &'a str,
    serial: String,
    user: &'a str,
    code: &'a str,
    detail: &'a str,
}

async fn conclude(
    tx: &mut SqliteConnection,
    plan: i64,
    end: PlanEnd,
    at: Timestamp,
) -> Result<Written<()>, Failure> {
    let (end, at) = (end.as_str(), at.as_millisecond());
    let written = sqlx::query!(
        "INSERT INTO rejudgement_ends (rejudgement, ended, at)
         SELECT id, $2, $3 FROM rejudgements WHERE id = $1
         ON CONFLICT DO NOTHING",
        plan,
        end,
        at
    )
    .execute(tx)
    .await?;
    if written.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
