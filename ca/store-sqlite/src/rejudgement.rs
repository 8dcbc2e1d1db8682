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
        store::{Conflict, RevokeOutcome, StoreResult},
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
    revocation,
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

    async fn revoke_fallen(
        &self,
        plan: u64,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome> {
        let plan = signed("the plan's number", plan)?;
        let (issuer, serial) = (issuer.clone(), serial.clone());
        self.write_revoking(audit, move |tx| {
            Box::pin(async move { revoke_for(tx, plan, &issuer, &serial, at).await })
        })
        .await
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

/// Queues mails to the users of the living certificates that a plan names, where the date that they were told last isn't, or
/// is no more, the first of the plans that stand. What was withdrawn told nobody.
async fn tell(tx: &mut SqliteConnection, plan: i64, at: i64) -> Result<(), sqlx::Error> {
    let (planned, called_off) = (MailKind::ToBeRevoked.as_str(), MailKind::NotToBeRevoked.as_str());
    sqlx::query!(
        "INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at, announcement, revoke_at)
         SELECT CASE WHEN s.due IS NULL THEN $2 ELSE $1 END, u.id, s.issuer, s.serial, u.email, $4, $4,
                s.announced + 1, s.due
         FROM (SELECT c.issuer, c.serial, c.user_id,
                      (SELECT min(j.revoke_at) FROM rejudged_certificates x JOIN rejudgements j ON j.id = x.rejudgement
                       WHERE x.issuer = c.issuer AND x.serial = c.serial
                         AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = j.id)) AS due,
                      (SELECT o.revoke_at FROM outbox o
                       WHERE o.issuer = c.issuer AND o.serial = c.serial AND o.kind IN ($1, $2) AND o.state <> 'withdrawn'
                       ORDER BY o.announcement DESC LIMIT 1) AS told,
                      (SELECT coalesce(max(o.announcement), 0) FROM outbox o
                       WHERE o.issuer = c.issuer AND o.serial = c.serial AND o.kind IN ($1, $2)) AS announced
               FROM rejudged_certificates r JOIN certificates c ON c.issuer = r.issuer AND c.serial = r.serial
               WHERE r.rejudgement = $3 AND c.der IS NOT NULL AND c.revoked = 0) s
         JOIN users u ON u.id = s.user_id
         WHERE u.email IS NOT NULL AND s.due IS DISTINCT FROM s.told
         ON CONFLICT DO NOTHING",
        planned,
        called_off,
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

/// Revokes for a plan that stands as this transaction sees it, and no other writes beside it.
async fn revoke_for(
    tx: &mut SqliteConnection,
    plan: i64,
    issuer: &IssuerId,
    serial: &SerialNumber,
    at: Timestamp,
) -> Result<Written<RevokeOutcome>, Failure> {
    let (name, octets) = (issuer.as_str(), serial.as_bytes());
    let stands = sqlx::query_scalar!(
        "SELECT j.reason FROM rejudged_certificates r JOIN rejudgements j ON j.id = r.rejudgement
         WHERE r.rejudgement = $1 AND r.issuer = $2 AND r.serial = $3
           AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = j.id)",
        plan,
        name,
        octets
    )
    .fetch_optional(&mut *tx)
    .await?;
    let given = reason("rejudgements.reason", stands.ok_or(Conflict::Missing)?)?;
    revocation::revoke(tx, issuer, serial, given, at).await
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
    .execute(&mut *tx)
    .await?;
    if written.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    tell(tx, plan, at).await?;
    Ok(Written::Changed(()))
}
