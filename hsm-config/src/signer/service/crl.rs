//! Signing a CRL: one at a time per key, judged before it is signed and again before it is journaled.

use std::sync::Arc;

use signer_protocol::message::{AuditPosition, EntryBody, KeyLabel, Signed, Timing};
use tokio::time::Instant;

use super::{Held, Outcome, Service, ServiceError};
use crate::{
    journal::KeyIndex,
    signer::{config::Role, policy, tokens::Signature},
};

impl Service {
    pub(super) async fn sign_crl(
        &self,
        label: &KeyLabel,
        audit_head: AuditPosition,
        tbs: Vec<u8>,
        end: Instant,
    ) -> Outcome<(Signed, Held)> {
        let (state, _) = self.issuing(label)?;
        let now = self.time()?;
        let _one_at_a_time = state.crl.lock().await;
        // A million entries take a while to read: not on a thread that serves others.
        let role = Arc::clone(&state.role);
        let parsing = tokio::task::spawn_blocking(move || {
            let Role::Issuing(key) = &*role else { unreachable!("found as an issuing key") };
            policy::crl::parse(&tbs, key, now).map(|parsed| (parsed, tbs))
        });
        let (parsed, tbs) =
            parsing.await.map_err(|_| ServiceError::Unavailable("reading the CRL failed".to_owned()))??;
        if let Some(signed) = self.repeated_crl(label, &parsed, &tbs)? {
            return Ok((signed, Held::default()));
        }
        let judged_at = self.judge_crl(label, &parsed)?;
        let Signature { octets: signature, timing } = self.tokens.sign(&state.token, &tbs, end).await?;
        let held = self.leaving(label).await;
        let _no_revocations = state.revoking.write().await;
        if self.revocations(label) != judged_at {
            self.judge_crl(label, &parsed)?;
        }
        let entry = EntryBody::Crl { key: label.clone(), audit_head, tbs, signature: signature.clone() };
        let (position, timing) = self.append_one(entry, timing).await?;
        tracing::info!(
            key = label.0,
            number = parsed.state.number,
            sequence = position.sequence,
            "signed a CRL"
        );
        Ok((Signed { signature, position: Some(position), timing }, held))
    }

    /// The recorded signature when these bytes are the last CRL: its reply was lost.
    fn repeated_crl(
        &self,
        label: &KeyLabel,
        crl: &policy::crl::Parsed,
        wanted: &[u8],
    ) -> Outcome<Option<Signed>> {
        let last = {
            let index = self.journal.index();
            let same = |key: &&KeyIndex| key.crl() == Some(crl.state);
            index.key(label).filter(same).and_then(KeyIndex::crl_entry)
        };
        let Some(sequence) = last else { return Ok(None) };
        let Some(entry) = self.journal.read(sequence)? else { return Ok(None) };
        Ok(match entry.body {
            EntryBody::Crl { tbs, signature, .. } if tbs == wanted => {
                Some(Signed { signature, position: Some(entry.position), timing: Timing::default() })
            }
            _ => None,
        })
    }

    /// Judges, and returns how many revocations were looked at.
    fn judge_crl(&self, label: &KeyLabel, crl: &policy::crl::Parsed) -> Outcome<usize> {
        let index = self.journal.index();
        let past = index.key(label);
        policy::crl::judge(crl, past)?;
        Ok(past.map_or(0, KeyIndex::revocation_count))
    }

    pub(super) fn revocations(&self, label: &KeyLabel) -> usize {
        self.journal.index().key(label).map_or(0, KeyIndex::revocation_count)
    }
}
