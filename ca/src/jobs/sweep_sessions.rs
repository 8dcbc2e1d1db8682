//! Deletes sessions that nobody will use again.

use std::{sync::Arc, time::Duration};

use ca_core::app::session::CheckSession;
use tokio::time::sleep;

use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_mins(5);

pub(super) async fn run(sessions: Arc<CheckSession>, metrics: Arc<Metrics>) {
    loop {
        match sessions.sweep().await {
            Ok(swept) => {
                tracing::debug!(swept, "old sessions were deleted");
                metrics.outcome("sweep_sessions", "done");
            }
            Err(error) => {
                let error = crate::logging::chain(&error);
                tracing::warn!(%error, "old sessions couldn't be deleted; trying again");
                metrics.outcome("sweep_sessions", "failed");
            }
        }
        sleep(PERIOD).await;
    }
}
