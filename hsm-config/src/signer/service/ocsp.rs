//! Signing an OCSP response: not journaled, only counted, and judged again if somebody was revoked meanwhile.

use std::sync::atomic::Ordering;

use signer_protocol::message::{KeyLabel, Signed};
use tokio::time::Instant;

use super::{Held, Outcome, Service};
use crate::signer::{policy, tokens::Signature};

impl Service {
    pub(super) async fn sign_ocsp(
        &self,
        label: &KeyLabel,
        tbs: Vec<u8>,
        end: Instant,
    ) -> Outcome<(Signed, Held)> {
        let (state, key) = self.responder(label)?;
        let now = self.time()?;
        let parsed = policy::ocsp::parse(&tbs, key, now)?;
        let judged_at = self.revocations(&key.issuer);
        policy::ocsp::judge(&parsed, self.journal.index().key(&key.issuer))?;
        let Signature { octets: signature, timing } = self.tokens.sign(&state.token, &tbs, end).await?;
        let held = self.leaving(&key.issuer).await;
        if self.revocations(&key.issuer) != judged_at {
            policy::ocsp::judge(&parsed, self.journal.index().key(&key.issuer))?;
        }
        state.uncounted.fetch_add(1, Ordering::AcqRel);
        Ok((Signed { signature, position: None, timing }, held))
    }
}
