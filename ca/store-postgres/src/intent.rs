//! Step 6: the intent, durable before anything is signed.

use ca_core::{
    domain::certificate::CertificateRecord,
    ports::store::{Conflict, StoredEvidence},
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    bulk::Bulk,
    enrolment::store_evidence,
    failure::Failure,
    outcome::{BoxFuture, Written},
};

/// An intent with the evidence that it rests on.
#[derive(Debug)]
pub(crate) struct NewIntent {
    pub(crate) certificate: CertificateRecord,
    pub(crate) evidence: StoredEvidence,
}

impl Bulk for NewIntent {
    type Seen = ();

    fn write_all<'a>(
        connection: &'a mut PgConnection,
        facts: &'a [&'a Self],
    ) -> BoxFuture<'a, Result<Vec<Option<()>>, Failure>> {
        Box::pin(async move {
            let text = |of: fn(&CertificateRecord) -> &str| {
                facts.iter().map(|fact| of(&fact.certificate)).collect::<Vec<_>>()
            };
            let octets = |of: fn(&CertificateRecord) -> &[u8]| {
                facts.iter().map(|fact| of(&fact.certificate)).collect::<Vec<_>>()
            };
            let time = |of: fn(&CertificateRecord) -> Timestamp| {
                facts.iter().map(|fact| of(&fact.certificate).as_millisecond()).collect::<Vec<_>>()
            };
            let renewed: Vec<Option<&[u8]>> = facts
                .iter()
                .map(|fact| fact.certificate.renews.as_ref().map(|intent| intent.0.as_bytes().as_slice()))
                .collect();
            // What a unique index forbids is passed over row by row, so of two intents in one batch the first wins.
            let written = sqlx::query_scalar!(
                "INSERT INTO certificates (intent, issuer, signer, serial, user_id, device_kind, device_serial, assurance,
                                           public_key_sha256, not_before, not_after, renews, tbs)
                 SELECT e.id, j.issuer, j.signer, j.serial, u.id, j.device_kind, j.device_serial, j.assurance,
                        j.public_key, j.not_before, j.not_after, p.intent, j.tbs
                 FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[],
                             $8::text[], $9::text[], $10::bytea[], $11::bigint[], $12::bigint[], $13::bytea[], $14::bytea[])
                     WITH ORDINALITY AS j (intent, issuer, signer, serial, user_id, contract, device_kind,
                                           device_serial, assurance, public_key, not_before, not_after, tbs, renews, key)
                 JOIN enrolments e ON e.id = j.intent
                 JOIN users u ON u.id = e.user_id
                 LEFT JOIN certificates p ON p.intent = j.renews
                 WHERE e.refused_code IS NULL AND u.id = j.user_id AND u.contract = j.contract AND u.state = 'active'
                   AND NOT EXISTS (SELECT 1 FROM users other
                                   WHERE other.device_kind = j.device_kind AND other.device_serial = j.device_serial
                                     AND other.id <> u.id)
                   AND (j.renews IS NULL
                        OR (p.user_id = u.id AND p.device_kind = j.device_kind AND p.device_serial = j.device_serial
                            AND p.der IS NOT NULL AND NOT p.revoked
                            AND (p.renews IS NULL OR p.confirmed_at IS NOT NULL)))
                 ORDER BY j.key
                 ON CONFLICT DO NOTHING
                 RETURNING serial",
                &octets(|record| record.intent.0.as_bytes()) as &[&[u8]],
                &text(|record| record.issuer.as_str()) as &[&str],
                &text(|record| record.signer.as_str()) as &[&str],
                &octets(|record| record.serial.as_bytes()) as &[&[u8]],
                &text(|record| record.user.as_str()) as &[&str],
                &text(|record| record.contract.as_str()) as &[&str],
                &text(|record| record.device.kind.as_str()) as &[&str],
                &text(|record| record.device.serial.as_str()) as &[&str],
                &text(|record| record.assurance.as_str()) as &[&str],
                &octets(|record| &record.public_key_sha256) as &[&[u8]],
                &time(|record| record.not_before),
                &time(|record| record.not_after),
                &octets(|record| &record.tbs) as &[&[u8]],
                &renewed as &[Option<&[u8]>]
            )
            .fetch_all(&mut *connection)
            .await?;
            // A serial number is unique per issuer only; within a batch of random ones it names one fact.
            let mut written: std::collections::HashSet<Vec<u8>> = written.into_iter().collect();
            let written: Vec<bool> =
                facts.iter().map(|fact| written.remove(fact.certificate.serial.as_bytes())).collect();
            let winners = facts.iter().zip(&written).filter(|(_, written)| **written);
            let evidence: Vec<_> =
                winners.map(|(fact, _)| (fact.certificate.intent, &fact.evidence)).collect();
            store_evidence(connection, &evidence).await?;
            Ok(written.into_iter().map(|written| written.then_some(())).collect())
        })
    }

    fn not_written<'a>(
        &'a self,
        connection: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<Written<()>, Failure>> {
        Box::pin(async move { Err(self.why_not(connection).await?.into()) })
    }
}

impl NewIntent {
    /// The first rule that it breaks, in the order that the port gives.
    async fn why_not(&self, connection: &mut PgConnection) -> Result<Conflict, Failure> {
        let record = &self.certificate;
        let (intent, user) = (record.intent.0.as_bytes().as_slice(), record.user.as_str());
        let contract = record.contract.as_str();
        let (kind, device) = (record.device.kind.as_str(), record.device.serial.as_str());
        let renews = record.renews.as_ref().map(|intent| intent.0.as_bytes().as_slice());
        let seen = sqlx::query!(
            r#"SELECT EXISTS (SELECT 1 FROM certificates WHERE intent = $1) AS "intended!",
                      EXISTS (SELECT 1 FROM enrolments e JOIN users u ON u.id = e.user_id
                              WHERE e.id = $1 AND e.user_id = $2 AND e.refused_code IS NULL
                                AND u.contract = $3 AND u.state = 'active')
                      AND ($4::bytea IS NULL
                           OR EXISTS (SELECT 1 FROM certificates
                                      WHERE intent = $4::bytea AND user_id = $2 AND device_kind = $5 AND device_serial = $6
                                        AND der IS NOT NULL AND NOT revoked
                                        AND (renews IS NULL OR confirmed_at IS NOT NULL))) AS "fit!",
                      EXISTS (SELECT 1 FROM certificates
                              WHERE user_id = $2 AND NOT revoked AND abandoned_at IS NULL
                                AND (renews IS NOT NULL AND confirmed_at IS NULL) = ($4::bytea IS NOT NULL)) AS "has_one!""#,
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
