//! Certificates from the intent on, and the port that enrolments and orphans belong to as well.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateRecord,
        device::Device,
        enrolment::Enrolment,
        ids::{EnrolmentId, IdempotencyKey, IssuerId, SerialNumber, SignerName, UserId},
        policy::Applicant,
    },
    ports::{
        signer::JournalPosition,
        store::{
            Application, CertificateStore, Conflict, FreshChallenge, IntentReceipt, IssuedReceipt, Orphan,
            StoreResult, StoredEvidence,
        },
    },
};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use store_rows::applicant::ApplicationRow;

use crate::{
    PostgresStore, applicant, bulk::Asked, enrolment, failure::Failure, intent::NewIntent, issued::NewIssued,
    orphan, outcome::Written, readers::Readers, renewal, rows::CertificateRow, writer::Fact,
};

/// Certificates with what other tables know of them; `$rest` is the WHERE clause and what follows.
macro_rules! select_certificates {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            CertificateRow,
            r#"SELECT c.intent, c.issuer, c.signer, c.serial, c.user_id, u.contract, c.device_kind, c.device_serial, c.assurance,
                      c.public_key_sha256, c.not_before, c.not_after, c.renews, c.abandoned_at, c.issued_at, c.confirmed_at,
                      c.tbs, c.der, r.at AS "revoked_at?", r.reason AS "revoked_reason?"
               FROM certificates c
               JOIN users u ON u.id = c.user_id
               LEFT JOIN revocations r ON r.issuer = c.issuer AND r.serial = c.serial "#
                + $rest,
            $($argument),*
        )
    };
}

#[async_trait]
impl CertificateStore for PostgresStore {
    async fn open_enrolment(
        &self,
        enrolment: &Enrolment,
        code: Option<[u8; 32]>,
        audit: AuditEvent,
    ) -> StoreResult<Enrolment> {
        let new = enrolment.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { enrolment::open(tx, &new, code).await }))
            .await
    }

    async fn enrolment(&self, id: EnrolmentId) -> StoreResult<Option<Enrolment>> {
        Ok(enrolment::by_id(self.readers(), id).await?)
    }

    async fn enrolment_by_key(&self, key: &IdempotencyKey) -> StoreResult<Option<Enrolment>> {
        Ok(enrolment::by_key(self.readers(), key).await?)
    }

    async fn renew_challenge(
        &self,
        id: EnrolmentId,
        seen: &[u8; 32],
        fresh: &FreshChallenge,
        audit: AuditEvent,
    ) -> StoreResult<Enrolment> {
        let (seen, fresh) = (*seen, fresh.clone());
        self.write(Some(audit), move |tx| {
            Box::pin(async move { enrolment::renew_challenge(tx, id, &seen, &fresh).await })
        })
        .await
    }

    async fn refuse_enrolment(
        &self,
        id: EnrolmentId,
        code: &str,
        detail: &str,
        evidence: Option<&StoredEvidence>,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (code, detail, evidence) = (code.to_owned(), detail.to_owned(), evidence.cloned());
        self.write(Some(audit), move |tx| {
            Box::pin(async move { enrolment::refuse(tx, id, &code, &detail, evidence.as_ref()).await })
        })
        .await
    }

    async fn record_intent(
        &self,
        certificate: &CertificateRecord,
        evidence: &StoredEvidence,
        audit: AuditEvent,
    ) -> StoreResult<IntentReceipt> {
        let intent = NewIntent { certificate: certificate.clone(), evidence: evidence.clone() };
        let (asked, answer) = Asked::new(intent, audit);
        let committed = self.writer.ask(Fact::Intent(Box::new(asked)), answer).await?;
        Ok(IntentReceipt { audit_head: committed.audit_head })
    }

    async fn record_issued(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        der: &[u8],
        position: JournalPosition,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<IssuedReceipt> {
        let fact =
            NewIssued { issuer: issuer.clone(), serial: serial.clone(), der: der.to_vec(), position, at };
        let (asked, answer) = Asked::new(fact, audit);
        let committed = self.writer.ask(Fact::Issued(Box::new(asked)), answer).await?;
        Ok(IssuedReceipt { audit_head: committed.audit_head, is_revoked: committed.value })
    }

    async fn abandon_intent(&self, intent: EnrolmentId, audit: AuditEvent) -> StoreResult<()> {
        let at = audit.at;
        self.write(Some(audit), move |tx| Box::pin(async move { abandon(tx, intent, at).await })).await
    }

    async fn open_intents(
        &self,
        issuer: &IssuerId,
        signer: &SignerName,
        before: Timestamp,
    ) -> StoreResult<Vec<CertificateRecord>> {
        let (issuer, signer, before) = (issuer.as_str(), signer.as_str(), before.as_millisecond());
        let rows = select_certificates!(
            "WHERE c.issuer = $1 AND c.signer = $3 AND c.not_before < $2
               AND c.der IS NULL AND NOT c.revoked AND c.abandoned_at IS NULL ORDER BY c.not_before, c.id",
            issuer,
            before,
            signer
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(records(rows)?)
    }

    async fn record_orphan(&self, orphan: &Orphan, audit: AuditEvent) -> StoreResult<bool> {
        let (orphan, at) = (orphan.clone(), audit.at);
        self.write(Some(audit), move |tx| Box::pin(async move { orphan::record(tx, &orphan, at).await }))
            .await
    }

    async fn orphans(&self, issuer: &IssuerId) -> StoreResult<Vec<Orphan>> {
        Ok(orphan::of_issuer(self.readers(), issuer).await?)
    }

    async fn confirm(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        let (issuer, serial) = (issuer.clone(), serial.clone());
        // It may have superseded another.
        self.write_revoking(audit, move |tx| {
            Box::pin(async move { renewal::confirm(tx, &issuer, &serial, at).await })
        })
        .await
    }

    async fn unconfirmed_renewals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<CertificateRecord>> {
        let before = before.as_millisecond();
        let rows = select_certificates!(
            "WHERE c.renews IS NOT NULL AND c.confirmed_at IS NULL AND NOT c.revoked AND c.abandoned_at IS NULL
               AND c.not_before < $1 ORDER BY c.not_before, c.id LIMIT $2",
            before,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(records(rows)?)
    }

    async fn lapse_renewal(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool> {
        let (issuer, serial) = (issuer.clone(), serial.clone());
        self.write_revoking(audit, move |tx| {
            Box::pin(async move { renewal::lapse(tx, &issuer, &serial, at).await })
        })
        .await
    }

    async fn certificate(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<CertificateRecord>> {
        let (issuer, serial) = (issuer.as_str(), serial.as_bytes());
        let row = select_certificates!("WHERE c.issuer = $1 AND c.serial = $2", issuer, serial)
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(row.map(CertificateRecord::try_from).transpose()?)
    }

    async fn certificate_of_intent(&self, intent: EnrolmentId) -> StoreResult<Option<CertificateRecord>> {
        let intent = intent.0.as_bytes().as_slice();
        let row = select_certificates!("WHERE c.intent = $1", intent)
            .fetch_optional(self.readers())
            .await
            .map_err(Failure::from)?;
        Ok(row.map(CertificateRecord::try_from).transpose()?)
    }

    async fn certificates_of(&self, user: &UserId) -> StoreResult<Vec<CertificateRecord>> {
        Ok(of_user(self.readers(), user).await?)
    }

    async fn applicant(&self, user: &UserId) -> StoreResult<Option<Applicant>> {
        let Some(row) = applicant::find(self.readers(), user).await? else { return Ok(None) };
        let certificates =
            if row.has_certificates() { of_user(self.readers(), user).await? } else { Vec::new() };
        Ok(Some(row.of(certificates)?))
    }

    async fn application(&self, id: EnrolmentId) -> StoreResult<Option<Application>> {
        let row = applicant::find_application(self.readers(), id).await?;
        let Some((enrolment, row)) = row.map(ApplicationRow::parts) else { return Ok(None) };
        let enrolment: Enrolment = enrolment.try_into()?;
        let certificates =
            if row.has_certificates() { of_user(self.readers(), &enrolment.user).await? } else { Vec::new() };
        Ok(Some(Application { enrolment, applicant: row.of(certificates)? }))
    }

    async fn certificates(
        &self,
        issuer: &IssuerId,
        after: Option<&SerialNumber>,
        limit: u32,
    ) -> StoreResult<Vec<CertificateRecord>> {
        Ok(page(self.readers(), issuer, after, limit).await?)
    }

    async fn evidence(&self, id: EnrolmentId) -> StoreResult<Option<StoredEvidence>> {
        Ok(enrolment::evidence(self.readers(), id).await?)
    }
}

/// A user's certificates and intents, newest first.
pub(crate) async fn of_user(
    executor: impl PgExecutor<'_>,
    user: &UserId,
) -> Result<Vec<CertificateRecord>, Failure> {
    let user = user.as_str();
    let rows =
        select_certificates!("WHERE c.user_id = $1 ORDER BY c.id DESC", user).fetch_all(executor).await?;
    records(rows)
}

/// The certificates and open intents on a token that are neither revoked nor given up.
pub(crate) async fn living_on(
    executor: impl PgExecutor<'_>,
    device: &Device,
) -> Result<Vec<CertificateRecord>, Failure> {
    let (kind, serial) = (device.kind.as_str(), device.serial.as_str());
    let rows = select_certificates!(
        "WHERE c.device_kind = $1 AND c.device_serial = $2 AND NOT c.revoked AND c.abandoned_at IS NULL ORDER BY c.id",
        kind,
        serial
    )
    .fetch_all(executor)
    .await?;
    records(rows)
}

fn records(rows: Vec<CertificateRow>) -> Result<Vec<CertificateRecord>, Failure> {
    rows.into_iter().map(CertificateRecord::try_from).collect()
}

/// A page of an issuer's list, in the order of the intents; nothing after a serial number that isn't in it.
async fn page(
    pool: Readers<'_>,
    issuer: &IssuerId,
    after: Option<&SerialNumber>,
    limit: u32,
) -> Result<Vec<CertificateRecord>, Failure> {
    let issuer = issuer.as_str();
    let after = match after.map(SerialNumber::as_bytes) {
        None => 0,
        Some(serial) => {
            let id = sqlx::query_scalar!(
                "SELECT id FROM certificates WHERE issuer = $1 AND serial = $2",
                issuer,
                serial
            )
            .fetch_optional(pool)
            .await?;
            match id {
                Some(id) => id,
                None => return Ok(Vec::new()),
            }
        }
    };
    let rows = select_certificates!(
        "WHERE c.issuer = $1 AND c.id > $2 ORDER BY c.id LIMIT $3",
        issuer,
        after,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    records(rows)
}

async fn abandon(tx: &mut PgConnection, intent: EnrolmentId, at: Timestamp) -> Result<Written<()>, Failure> {
    let (intent, at) = (intent.0.as_bytes().as_slice(), at.as_millisecond());
    let updated = sqlx::query!(
        "UPDATE certificates SET abandoned_at = $2
         WHERE intent = $1 AND der IS NULL AND NOT revoked AND abandoned_at IS NULL",
        intent,
        at
    )
    .execute(tx)
    .await?;
    if updated.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
