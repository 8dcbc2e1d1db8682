//! Takes up new versions of the trust store without a restart, and looks at the one in use again and again: what somebody
//! changed in the database by hand is refused and alarmed, while the last good version keeps serving.

use std::{sync::Arc, time::Duration};

use ca_core::app::trust::{ReadTrust, TrustError, Trusted};
use tokio::time::sleep;

use crate::metrics::Metrics;

/// A new version is taken up within this time on every node.
const PERIOD: Duration = Duration::from_secs(3);
/// Every so many looks the whole document is read and its signatures are checked.
const THOROUGHLY_EVERY: u32 = 5;
/// An alarm that stands is repeated after so many looks.
const ALARM_EVERY: u32 = 20;

pub(super) async fn run(read: ReadTrust, trusted: Arc<Trusted>, metrics: Arc<Metrics>) {
    let mut looks = 0_u32;
    let mut alarmed: Option<(String, u32)> = None;
    loop {
        let outcome = match read.take_up(&trusted, looks.is_multiple_of(THOROUGHLY_EVERY)).await {
            Ok(is_new) => {
                let version = trusted.current().version;
                if is_new {
                    tracing::info!(version, "a new trust version was taken up");
                }
                if alarmed.take().is_some() {
                    tracing::info!(version, "the trust store is in order again");
                }
                "done"
            }
            Err(TrustError::Failure(failure)) => {
                let error = crate::logging::chain(&failure);
                tracing::debug!(error, "the ledger can't be asked for the trust store");
                "failed"
            }
            Err(error) => {
                let error = crate::logging::chain(&error);
                let is_old =
                    matches!(&alarmed, Some((last, at)) if *last == error && looks - at < ALARM_EVERY);
                if !is_old {
                    let version = trusted.current().version;
                    tracing::error!(
                        error,
                        version,
                        "ALARM: the trust store is refused; this version keeps serving"
                    );
                    alarmed = Some((error, looks));
                }
                "refused"
            }
        };
        metrics.outcome("take_up_trust", outcome);
        looks = looks.wrapping_add(1);
        sleep(PERIOD).await;
    }
}
