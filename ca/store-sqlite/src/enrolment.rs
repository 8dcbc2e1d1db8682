//! Enrolments, and the evidence that they were judged on.

use ca_core::{
    domain::{
        enrolment::{Binding, Enrolment, EnrolmentState},
        ids::{EnrolmentId, IdempotencyKey},
    },
    ports::store::{Conflict, FreshChallenge, StoredEvidence},
};
use serde::Serialize;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::{
    failure::Failure,
    heap::{Heap, Slice},
    json::json,
    outcome::Written,
    rows::{EnrolmentRow, digest, number, policy_version, time},
};

/// Enrolments with the serial number of their certificate; `$rest` is the WHERE clause.
macro_rules! select_enrolments {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $crate::rows::EnrolmentRow,
            r#"SELECT e.id, e.idempotency_key, e.user_id, e.device_kind, e.device_serial, e.binding, e.challenge,
                      e.bearer_sha256, e.expires_at, e.opened_at, e.refused_code, e.refused_detail, e.ak_name, e.renews,
                      c.serial AS "serial?"
               FROM enrolments e LEFT JOIN certificates c ON c.intent = e.id "#
                + $rest,
            $($argument),*
        )
    };
}
pub(crate) use select_enrolments;

pub(crate) async fn by_id(
    executor: impl SqliteExecutor<'_>,
    id: EnrolmentId,
) -> Result<Option<Enrolment>, Failure> {
    let id = id.0.as_bytes().as_slice();
    let row = select_enrolments!("WHERE e.id = $1", id).fetch_optional(executor).await?;
    row.map(Enrolment::try_from).transpose()
}

pub(crate) async fn by_key(
    executor: impl SqliteExecutor<'_>,
    key: &IdempotencyKey,
) -> Result<Option<Enrolment>, Failure> {
    let key = key.as_str();
    let row = select_enrolments!("WHERE e.idempotency_key = $1", key).fetch_optional(executor).await?;
    row.map(Enrolment::try_from).transpose()
}

/// Opens an enrolment of a user who may act; where it is bound by an acquisition code (rule 12), that is used up.
pub(crate) async fn open(
    tx: &mut SqliteConnection,
    new: &Enrolment,
    code: Option<[u8; 32]>,
) -> Result<Written<Enrolment>, Failure> {
    if new.state != EnrolmentState::Challenged {
        return Err(Conflict::Missing.into());
    }
    let Some(opened) = insert(&mut *tx, new).await? else {
        return match by_key(tx, &new.idempotency_key).await? {
            Some(first) if first.user == new.user => Ok(Written::Unchanged(first)),
            Some(_) => Err(Conflict::Taken.into()),
            None => Err(Conflict::Missing.into()),
        };
    };
    // A refusal takes the row back.
    match (new.binding, code) {
        (_, Some(sha256)) => use_up_code(tx, new, sha256).await?,
        (Binding::AcquisitionCode, None) => return Err(Conflict::Code.into()),
        (Binding::AssignedSerial | Binding::FirstCome | Binding::Renewal, None) => {}
    }
    Ok(Written::Changed(opened))
}

async fn use_up_code(tx: &mut SqliteConnection, new: &Enrolment, sha256: [u8; 32]) -> Result<(), Failure> {
    let (user, sha256, opened_at) = (new.user.as_str(), sha256.as_slice(), new.opened_at.as_millisecond());
    let deleted = sqlx::query!(
        "DELETE FROM acquisition_codes
         WHERE user_id = $1 AND sha256 = $2 AND expires_at > $3 AND attempts_left > 0",
        user,
        sha256,
        opened_at
    )
    .execute(tx)
    .await?;
    if deleted.rows_affected() == 0 { Err(Conflict::Code.into()) } else { Ok(()) }
}

/// The row as it was written; `None`, and nothing is, when the key was used before or the user may not act.
async fn insert(tx: &mut SqliteConnection, new: &Enrolment) -> Result<Option<Enrolment>, Failure> {
    let (id, key, user) = (new.id.0.as_bytes().as_slice(), new.idempotency_key.as_str(), new.user.as_str());
    let (kind, serial, binding) =
        (new.device.kind.as_str(), new.device.serial.as_str(), new.binding.as_str());
    let (challenge, bearer) = (new.challenge.as_slice(), new.bearer_sha256.as_slice());
    let (expires_at, opened_at) = (new.expires_at.as_millisecond(), new.opened_at.as_millisecond());
    let ak_name = new.ak_name.as_deref();
    let renews = new.renews.as_ref().map(|intent| intent.0.as_bytes().as_slice());
    let row = sqlx::query_as!(
        EnrolmentRow,
        r#"INSERT INTO enrolments (id, idempotency_key, user_id, device_kind, device_serial, binding, challenge,
                                   bearer_sha256, expires_at, opened_at, ak_name, renews)
           SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
           FROM users WHERE id = $3 AND state = 'active'
           ON CONFLICT DO NOTHING
           RETURNING id, idempotency_key, user_id, device_kind, device_serial, binding, challenge, bearer_sha256,
                     expires_at, opened_at, refused_code, refused_detail, ak_name, renews,
                     NULL AS "serial?: Vec<u8>""#,
        id,
        key,
        user,
        kind,
        serial,
        binding,
        challenge,
        bearer,
        expires_at,
        opened_at,
        ak_name,
        renews
    )
    .fetch_optional(tx)
    .await?;
    row.map(Enrolment::try_from).transpose()
}

/// Replaces the challenge that was `seen`; where another was faster, the enrolment as it stands.
pub(crate) async fn renew_challenge(
    tx: &mut SqliteConnection,
    id: EnrolmentId,
    seen: &[u8; 32],
    fresh: &FreshChallenge,
) -> Result<Written<Enrolment>, Failure> {
    let (key, seen) = (id.0.as_bytes().as_slice(), seen.as_slice());
    let (challenge, bearer) = (fresh.challenge.as_slice(), fresh.bearer_sha256.as_slice());
    let expires_at = fresh.expires_at.as_millisecond();
    let updated = sqlx::query!(
        "UPDATE enrolments SET challenge = $3, bearer_sha256 = $4, expires_at = $5
         WHERE id = $1 AND challenge = $2",
        key,
        seen,
        challenge,
        bearer,
        expires_at
    )
    .execute(&mut *tx)
    .await?;
    let enrolment = by_id(tx, id).await?.ok_or(Conflict::Missing)?;
    Ok(if updated.rows_affected() == 0 { Written::Unchanged(enrolment) } else { Written::Changed(enrolment) })
}

/// Refuses an enrolment that is merely challenged.
pub(crate) async fn refuse(
    tx: &mut SqliteConnection,
    id: EnrolmentId,
    code: &str,
    detail: &str,
    evidence: Option<&StoredEvidence>,
) -> Result<Written<()>, Failure> {
    let key = id.0.as_bytes().as_slice();
    let updated = sqlx::query!(
        "UPDATE enrolments SET refused_code = $2, refused_detail = $3
         WHERE id = $1 AND refused_code IS NULL AND NOT EXISTS (SELECT 1 FROM certificates WHERE intent = $1)",
        key,
        code,
        detail
    )
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() == 0 {
        return Err(Conflict::Missing.into());
    }
    if let Some(evidence) = evidence {
        store_evidence(tx, [(id, evidence)].into_iter()).await?;
    }
    Ok(Written::Changed(()))
}

/// Evidence for a statement.
#[derive(Serialize)]
pub(crate) struct JsonEvidence<'a> {
    enrolment: String,
    format: &'a str,
    csr: Slice,
    challenge: Slice,
    answer: Slice,
    predecessor: Option<Slice>,
    policy_name: &'a str,
    policy_version: u32,
    trust_version: u32,
    verdict: &'a str,
    decoded: &'a str,
    judged_at: i64,
    parts: Vec<Slice>,
}

impl<'a> JsonEvidence<'a> {
    pub(crate) fn of(id: EnrolmentId, evidence: &'a StoredEvidence, heap: &mut Heap) -> Self {
        Self {
            enrolment: hex::encode(id.0.as_bytes()),
            format: &evidence.format,
            csr: heap.put(&evidence.csr),
            challenge: heap.put(&evidence.challenge),
            answer: heap.put(&evidence.challenge_signature),
            predecessor: evidence.predecessor_signature.as_ref().map(|signature| heap.put(signature)),
            policy_name: evidence.policy.name.as_str(),
            policy_version: evidence.policy.version,
            trust_version: evidence.trust_version,
            verdict: &evidence.verdict,
            decoded: &evidence.decoded,
            judged_at: evidence.judged_at.as_millisecond(),
            parts: evidence.parts.iter().map(|part| heap.put(part)).collect(),
        }
    }
}

/// Stores evidence, many at once.
pub(crate) async fn store_evidence<'a>(
    tx: &mut SqliteConnection,
    evidence: impl Iterator<Item = (EnrolmentId, &'a StoredEvidence)>,
) -> Result<(), sqlx::Error> {
    let mut heap = Heap::default();
    let json = json(evidence.map(|(id, evidence)| JsonEvidence::of(id, evidence, &mut heap)))?;
    let octets = heap.into_octets();
    sqlx::query!(
        "WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
         INSERT INTO evidence (enrolment, format, csr, challenge, challenge_signature, predecessor_signature, policy_name,
                               policy_version, trust_version, verdict, decoded, judged_at)
         SELECT unhex(j.value ->> 'enrolment'), j.value ->> 'format', substr($2, j.value ->> '$.csr[0]', j.value ->> '$.csr[1]'),
                substr($2, j.value ->> '$.challenge[0]', j.value ->> '$.challenge[1]'),
                substr($2, j.value ->> '$.answer[0]', j.value ->> '$.answer[1]'),
                substr($2, j.value ->> '$.predecessor[0]', j.value ->> '$.predecessor[1]'),
                j.value ->> 'policy_name', j.value ->> 'policy_version', j.value ->> 'trust_version',
                j.value ->> 'verdict', j.value ->> 'decoded', j.value ->> 'judged_at'
         FROM j",
        json,
        octets
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
         INSERT INTO evidence_parts (enrolment, position, part)
         SELECT unhex(j.value ->> 'enrolment'), part.key, substr($2, part.value ->> 0, part.value ->> 1)
         FROM j, json_each(j.value, '$.parts') part",
        json,
        octets
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The evidence of an enrolment. It never changes once it is there, so the two queries need no transaction.
pub(crate) async fn evidence(
    pool: &sqlx::SqlitePool,
    id: EnrolmentId,
) -> Result<Option<StoredEvidence>, Failure> {
    let key = id.0.as_bytes().as_slice();
    let row = sqlx::query!(
        "SELECT format, csr, challenge, challenge_signature, predecessor_signature, policy_name, policy_version,
                trust_version, verdict, decoded, judged_at
         FROM evidence WHERE enrolment = $1",
        key
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let parts =
        sqlx::query_scalar!("SELECT part FROM evidence_parts WHERE enrolment = $1 ORDER BY position", key)
            .fetch_all(pool)
            .await?;
    Ok(Some(StoredEvidence {
        format: row.format,
        parts,
        csr: row.csr,
        challenge: digest("evidence.challenge", &row.challenge)?,
        challenge_signature: row.challenge_signature,
        predecessor_signature: row.predecessor_signature,
        policy: policy_version("evidence", &row.policy_name, row.policy_version)?,
        trust_version: number("evidence.trust_version", row.trust_version)?,
        verdict: row.verdict,
        decoded: row.decoded,
        judged_at: time("evidence.judged_at", row.judged_at)?,
    }))
}
