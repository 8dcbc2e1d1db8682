//! Takes up a new CRL of the staff CA without a restart, and sounds the alarm when the one in use is out of date: what it
//! lists stays revoked, what came after it isn't known.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ca_core::ports::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::{adapters::staff_crl::CurrentStaffCrl, material::StaffCrl};

const PERIOD: Duration = Duration::from_secs(10);
/// Alarms are repeated so often, not at each look.
const ALARM_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The file of the CRL, and what it was last read into.
pub(crate) struct StaffCrlFile {
    pub(crate) path: PathBuf,
    /// The staff CA's certificate, DER.
    pub(crate) issuer: Vec<u8>,
    pub(crate) current: Arc<CurrentStaffCrl>,
}

pub(super) async fn run(file: StaffCrlFile, clock: Arc<dyn Clock>) {
    let mut alarmed: Option<Timestamp> = None;
    loop {
        sleep(PERIOD).await;
        // A small file: not worth a thread of its own.
        let taken = StaffCrl::read(&file.path, &file.issuer).and_then(|crl| file.current.replace(crl));
        match taken {
            Ok(true) => tracing::info!("a new CRL of the staff CA was taken up"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "keeping the staff CA's CRL that is in use");
            }
        }
        let now = clock.now();
        let due = file.current.next_update().is_some_and(|due| due < now);
        if due && alarmed.is_none_or(|at| now.duration_since(at) >= ALARM_EVERY) {
            tracing::error!("ALARM: the staff CA's CRL is out of date; hold a ceremony for the next one");
            alarmed = Some(now);
        }
    }
}
