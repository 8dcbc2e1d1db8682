//! The same for certificates of OCSP responders.

use super::{Reconcile, Reconciled, settle::Sight};
use crate::{
    app::{failure::Failure, renew_responder::is_stored, trail::Details},
    domain::{
        certificate::CertificateState,
        responder::{ResponderRecord, Signed},
    },
    ports::{
        signer::Journaled,
        store::{Conflict, StoreError},
    },
};

impl Reconcile {
    /// A certificate of the journal that is no user's: a responder's, or an orphan.
    pub(super) async fn settle_renewal(
        &self,
        journaled: Journaled,
        sight: Sight,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let record = self.responders.responder_of_intent(journaled.intent).await?;
        match record.filter(|record| record.tbs == journaled.tbs) {
            Some(record) if is_stored(&record) => Ok(()),
            Some(record) if record.state != CertificateState::Abandoned => {
                self.adopt_renewal(&record, journaled, sight, report).await
            }
            _ => self.keep_orphan(journaled, sight, report).await,
        }
    }

    async fn adopt_renewal(
        &self,
        record: &ResponderRecord,
        journaled: Journaled,
        sight: Sight,
        report: &mut Reconciled,
    ) -> Result<(), Failure> {
        let signed = Signed::adopted(record.clone(), &journaled.tbs, journaled.signature.clone());
        let Some(issued) = signed.ok().and_then(|signed| signed.verify(&self.issuer).ok()) else {
            return self.alarm(&journaled, "journal.signature-wrong", sight, report).await;
        };
        let position = issued.position();
        let row = self
            .row("responder.adopted", &record.serial)
            .with("intent", record.intent)
            .with("journal_sequence", position.sequence);
        match self.responders.record_responder(record.intent, issued.der(), position, row.at, row).await {
            Ok(()) => {
                report.adopted.push(record.serial.clone());
                Ok(())
            }
            Err(StoreError::Conflict(Conflict::Missing)) => self.keep_orphan(journaled, sight, report).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Renewals that stayed open: adopted when they were signed, given up when they can't be any more.
    pub(super) async fn settle_open_renewals(&self, report: &mut Reconciled) -> Result<(), Failure> {
        let (now, issuer) = (self.clock.now(), self.issuer.id());
        let name = self.signer.name(issuer)?;
        for record in self.responders.open_responder_intents(issuer, &name).await? {
            let age = now.duration_since(record.not_before);
            if age < self.terms.ask_after {
                continue;
            }
            if let Some(journaled) = self.signer.recorded(issuer, record.intent).await? {
                self.settle_renewal(journaled, Sight::Again, report).await?;
            } else if age >= self.terms.abandon_after {
                let row =
                    self.row("responder.intent-abandoned", &record.serial).with("intent", record.intent);
                match self.responders.abandon_responder_intent(record.intent, row).await {
                    Ok(()) => report.abandoned.push(record.serial),
                    Err(StoreError::Conflict(Conflict::Missing)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
