//! Queues the notices of certificates that end soon (rule 6): 40 days before, 10 days before, on the last day.
//!
//! It asks for what is due now and wasn't told yet, not for what happened since the last run: so a run that fell out is
//! made up for by the next one, and a second run, or a second node, queues nothing twice.

use std::sync::Arc;

use super::failure::Failure;
use crate::{
    domain::{ids::IssuerId, notice::due_days},
    ports::{
        clock::Clock,
        outbox::{ExpiryNotice, OutboxStore},
    },
};

/// Notices in a commit, so that no other fact waits long for the ledger.
const PAGE: u32 = 500;

/// The use case.
pub struct QueueNotices {
    /// The outbox.
    pub outbox: Arc<dyn OutboxStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The issuers of users' certificates.
    pub issuers: Vec<IssuerId>,
}

impl QueueNotices {
    /// Queues all that is due; returns how many notices.
    ///
    /// # Errors
    /// [`Failure`]; what was queued until then stays.
    pub async fn run(&self) -> Result<u64, Failure> {
        let now = self.clock.now();
        let mut queued = 0;
        for issuer in &self.issuers {
            for day in due_days(now) {
                let (kind, from, until) = (day.notice.into(), day.from, day.until);
                let notice = ExpiryNotice { issuer: issuer.clone(), kind, from, until };
                loop {
                    let page = self.outbox.queue_expiry_notices(&notice, now, PAGE).await?;
                    queued += page;
                    if page < u64::from(PAGE) {
                        break;
                    }
                }
            }
        }
        Ok(queued)
    }
}
