//! Takes up the bank's changed calendar without a restart. One that can't be read leaves the one in use as it is, and sounds
//! the alarm.

use std::{sync::Arc, time::Duration};

use ca_core::ports::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::{calendar::Calendar, metrics::Metrics};

const PERIOD: Duration = Duration::from_secs(10);
/// Alarms are repeated so often, not at each look.
const ALARM_EVERY: SignedDuration = SignedDuration::from_hours(1);

pub(super) async fn run(calendar: Arc<Calendar>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) {
    let mut alarmed: Option<Timestamp> = None;
    loop {
        let now = clock.now();
        // A small file: not worth a thread of its own.
        match calendar.look(now) {
            Ok(changed) => {
                if changed {
                    tracing::info!("a new calendar of business days was taken up");
                }
                alarmed = None;
                metrics.node.calendar(true);
            }
            Err(error) => {
                if alarmed.is_none_or(|at| now.duration_since(at) >= ALARM_EVERY) {
                    tracing::error!(
                        error = %format!("{error:#}"),
                        "ALARM: the calendar of business days can't be read; keeping the one that is in use"
                    );
                    alarmed = Some(now);
                }
                metrics.node.calendar(false);
            }
        }
        sleep(PERIOD).await;
    }
}
