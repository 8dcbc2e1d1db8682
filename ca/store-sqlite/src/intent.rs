//! Step 6: the intent, durable before anything is signed.

use ca_core::{
    domain::certificate::CertificateRecord,
    ports::store::{Conflict, StoredEvidence},
};
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::{
    bulk::Bulk,
    enrolment::store_evidence,
    failure::Failure,
    heap::{Heap, Slice},
    json::json,
    outcome::{BoxFuture, Written},
};

/// An intent with the evidence that it rests on.
#[derive(Debug)]
pub(crate) struct NewIntent {
    pub(crate) certificate: CertificateRecord,
    pub(crate) evidence: StoredEvidence,
}

/// An intent for a statement.
#[derive(Serialize)]
pub(crate) struct JsonIntent<'a> {
    intent: String,
    issuer: &'a str,
    signer: &'a str,
    serial: String,
    user: &'a str,
    contract: &'a str,
    device_kind: &'a str,
    device_serial: &'a str,
    assurance: &'a str,
    key: String,
    not_before: i64,
    not_after: i64,
    renews: Option<String>,
    tbs: Slice,
}

impl<'a> JsonIntent<'a> {
    pub(crate) fn of(record: &'a CertificateRecord, heap: &mut Heap) -> Self {
        Self {
            intent: hex::encode(record.intent.0.as_bytes()),
            issuer: record.issuer.as_str(),
            signer: record.signer.as_str(),
            serial: record.serial.to_string(),
            user: record.user.as_str(),
            contract: record.contract.as_str(),
            device_kind: record.device.kind.as_str(),
            device_serial: record.device.serial.as_str(),
            assurance: record.assurance.as_str(),
            key: hex::encode(record.public_key_sha256),
            not_before: record.not_before.as_millisecond(),
            not_after: record.not_after.as_millisecond(),
            renews: record.renews.map(|intent| hex::encode(intent.0.as_bytes())),
            tbs: heap.put(&record.tbs),
        }
    }
}

impl Bulk for NewIntent {
    type Seen = ();

    fn write_all<'a>(
        connection: &'a mut SqliteConnection,
        facts: &'a [&'a Self],
    ) -> BoxFuture<'a, Result<Vec<Option<()>>, Failure>> {
        Box::pin(async move {
            let mut heap = Heap::default();
            let json_intents = json(facts.iter().map(|fact| JsonIntent::of(&fact.certificate, &mut heap)))?;
            let octets = heap.into_octets();
            // What a unique index forbids is passed over row by row, so of two intents in one batch the first wins.
            let written = sqlx::query_scalar!(
                "WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
                 INSERT INTO certificates (intent, issuer, signer, serial, user_id, device_kind, device_serial, assurance,
                                           public_key_sha256, not_before, not_after, renews, tbs)
                 SELECT e.id, j.value ->> 'issuer', j.value ->> 'signer', unhex(j.value ->> 'serial'), u.id,
                        j.value ->> 'device_kind', j.value ->> 'device_serial', j.value ->> 'assurance',
                        unhex(j.value ->> 'key'), j.value ->> 'not_before', j.value ->> 'not_after',
                        p.intent, substr($2, j.value ->> '$.tbs[0]', j.value ->> '$.tbs[1]')
                 FROM j
                 JOIN enrolments e ON e.id = unhex(j.value ->> 'intent')
                 JOIN users u ON u.id = e.user_id
                 LEFT JOIN certificates p ON p.intent = unhex(j.value ->> 'renews')
                 WHERE e.refused_code IS NULL AND u.id = j.value ->> 'user' AND u.contract = j.value ->> 'contract'
                   AND u.state = 'active'
                   AND NOT EXISTS (SELECT 1 FROM users other
                                   WHERE other.device_kind = j.value ->> 'device_kind'
                                     AND other.device_serial = j.value ->> 'device_serial' AND other.id <> u.id)
                   AND (j.value ->> 'renews' IS NULL
                        OR (p.user_id = u.id AND p.device_kind = j.value ->> 'device_kind'
                            AND p.device_serial = j.value ->> 'device_serial' AND p.der IS NOT NULL AND p.revoked = 0
                            AND (p.renews IS NULL OR p.confirmed_at IS NOT NULL)))
                 ORDER BY j.key
                 ON CONFLICT DO NOTHING
                 RETURNING serial",
                json_intents,
                octets
            )
            .fetch_all(&mut *connection)
            .await?;
            // A serial number is unique per issuer only; within a batch of random ones it names one fact.
            let mut written: std::collections::HashSet<Vec<u8>> = written.into_iter().collect();
            let written: Vec<bool> =
                facts.iter().map(|fact| written.remove(fact.certificate.serial.as_bytes())).collect();
            let winners = facts.iter().zip(&written).filter(|(_, written)| **written);
            store_evidence(connection, winners.map(|(fact, _)| (fact.certificate.intent, &fact.evidence)))
                .await?;
            Ok(written.into_iter().map(|written| written.then_some(())).collect())
        })
    }

    fn not_written<'a>(
        &'a self,
        connection: &'a mut SqliteConnection,
    ) -> BoxFuture<'a, Result<Written<()>, Failure>> {
        Box::pin(async move { Err(self.why_not(connection).await?.into()) })
    }
}

impl NewIntent {
    /// The first rule that it breaks, in the order that the port gives.
    async fn why_not(&self, connection: &mut SqliteConnection) -> Result<Conflict, Failure> {
        let record = &self.certificate;
        let (intent, user) = (record.intent.0.as_bytes().as_slice(), record.user.as_str());
        let contract = record.contract.as_str();
        let (kind, device) = (record.device.kind.as_str(), record.device.serial.as_str());
        let renews = record.renews.as_ref().map(|intent| intent.0.as_bytes().as_slice());
        let seen = sqlx::query!(
            r#"SELECT EXISTS (SELECT 1 FROM certificates WHERE intent = $1) AS "intended!: bool",
                      EXISTS (SELECT 1 FROM enrolments e JOIN users u ON u.id = e.user_id
                              WHERE e.id = $1 AND e.user_id = $2 AND e.refused_code IS NULL
                                AND u.contract = $3 AND u.state = 'active')
                      AND ($4 IS NULL
                           OR EXISTS (SELECT 1 FROM certificates
                                      WHERE intent = $4 AND user_id = $2 AND device_kind = $5 AND device_serial = $6
                                        AND der IS NOT NULL AND revoked = 0
                                        AND (renews IS NULL OR confirmed_at IS NOT NULL))) AS "fit!: bool",
                      EXISTS (SELECT 1 FROM certificates
                              WHERE user_id = $2 AND revoked = 0 AND abandoned_at IS NULL
                                AND (renews IS NOT NULL AND confirmed_at IS NULL) = ($4 IS NOT NULL)) AS "has_one!: bool""#,
            intent,
            user,
            contract,
            renews,
            kind,
            device
        )
        .fetch_one(connection)
        .await?;
        Ok(if seen.intended {
            Conflict::Taken
        } else if !seen.fit {
            Conflict::Missing
        } else if seen.has_one {
            Conflict::OnePerUser
        } else {
            // What is left is the key, the token, or (never, with 64 random bits) the serial number.
            Conflict::DeviceInUse
        })
    }
}
