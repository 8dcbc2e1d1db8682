//! Deletes sessions that nobody will use again.

use std::{sync::Arc, time::Duration};

use ca_core::app::{failure::Failure, session::CheckSession, staff::session::StaffSessions};
use tokio::time::sleep;

use crate::metrics::Metrics;

const PERIOD: Duration = Duration::from_mins(5);

pub(super) async fn run(
    sessions: Arc<CheckSession>,
    staff: Option<Arc<StaffSessions>>,
    metrics: Arc<Metrics>,
) {
    loop {
        match sweep(&sessions, staff.as_deref()).await {
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

async fn sweep(sessions: &CheckSession, staff: Option<&StaffSessions>) -> Result<u64, Failure> {
    let swept = sessions.sweep().await?;
    Ok(match staff {
        Some(staff) => swept + staff.sweep().await?,
        None => swept,
    })
}
