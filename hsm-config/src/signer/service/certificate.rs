//! Signing a certificate: once per intent, once per serial number.

use signer_protocol::message::{
    AuditPosition, Entry, EntryBody, JournalPosition, KeyLabel, Refusal, RefusalCode, Signed, Timing,
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Outcome, Service, ServiceError};
use crate::signer::{
    policy::{self, refuse},
    reservation::{Reservation, Reserved},
    tokens::{Signature, micros},
};

enum Intent {
    Free(Reservation),
    Recorded(Entry),
}

impl Service {
    pub(super) async fn sign_certificate(
        &self,
        label: &KeyLabel,
        intent: Uuid,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
        end: Instant,
    ) -> Outcome<Signed> {
        let (state, key) = self.issuing(label)?;
        let mut reservation = match self.reserve(intent, end).await? {
            Intent::Free(reservation) => reservation,
            Intent::Recorded(entry) => return Ok(recorded(entry, label, &tbs)?),
        };
        let now = self.time()?;
        let judged = policy::certificate::judge(&tbs, key, self.journal.index().key(label), now)?;
        if !reservation.serial(label, judged.serial) {
            return refuse(
                RefusalCode::SerialReused,
                format!("serial number {} is being signed for another intent, or revoked", judged.serial),
            )
            .map_err(Into::into);
        }
        // Another intent may have had it journaled between the judgement and the reservation.
        policy::certificate::serial_is_new(&judged.serial, self.journal.index().key(label))?;
        let Signature { octets: signature, timing } = self.tokens.sign(&state.token, &tbs, end).await?;
        let entry = EntryBody::Certificate {
            key: label.clone(),
            intent,
            audit_head,
            tbs,
            signature: signature.clone(),
        };
        let (position, timing) = self.append_one(entry, timing).await?;
        drop(reservation);
        tracing::debug!(key = label.0, %intent, serial = %judged.serial, sequence = position.sequence, "signed a certificate");
        Ok(Signed { signature, position: Some(position), timing })
    }

    /// Reserves an intent, waiting for whoever has it; or finds what the journal has.
    async fn reserve(&self, intent: Uuid, end: Instant) -> Outcome<Intent> {
        loop {
            let reserved = self.reservations.intent(intent, || self.journal.index().intent(&intent));
            match reserved {
                Reserved::Held(reservation) => return Ok(Intent::Free(reservation)),
                Reserved::Found(sequence) => {
                    let entry = self.journal.read(sequence)?;
                    return entry.map(Intent::Recorded).ok_or_else(|| {
                        ServiceError::Unavailable(format!("journal entry {sequence} can't be found"))
                    });
                }
                Reserved::Busy(mut ended) => {
                    // An error here says that the other has ended, which is what is waited for.
                    let waited = timeout_at(end, ended.changed()).await;
                    waited
                        .map_err(|_| {
                            ServiceError::Unavailable("another request signs the same intent".to_owned())
                        })?
                        .ok();
                }
            }
        }
    }

    /// Appends one entry and returns its position, once it is durable, and adds how long that took.
    pub(super) async fn append_one(
        &self,
        entry: EntryBody,
        timing: Timing,
    ) -> Outcome<(JournalPosition, Timing)> {
        let since = Instant::now();
        let positions = self.journal.append(vec![entry]).await?;
        let timing = Timing { journaled_us: micros(since.elapsed()), ..timing };
        match positions.first() {
            Some(position) => Ok((*position, timing)),
            None => Err(ServiceError::Unavailable("the journal gave no position".to_owned())),
        }
    }
}

/// The recorded signature, for the same bytes under the same key.
fn recorded(entry: Entry, label: &KeyLabel, wanted: &[u8]) -> Result<Signed, Refusal> {
    match entry.body {
        EntryBody::Certificate { key, tbs, signature, .. } if key == *label && tbs == wanted => {
            Ok(Signed { signature, position: Some(entry.position), timing: Timing::default() })
        }
        _ => refuse(
            RefusalCode::IntentReused,
            format!("this intent signed other bytes in journal entry {}", entry.position.sequence),
        ),
    }
}
