//! Takes up a new CRL of the staff CA without a restart, and sounds the alarm when the file can't take the place of the one
//! in use, or that one is out of date: what it lists stays revoked, what came after it isn't known.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ca_core::ports::clock::Clock;
use jiff::Timestamp;
use tokio::time::sleep;

use super::alarm::Alarm;
use crate::{adapters::staff_crl::CurrentStaffCrl, material::StaffCrl, metrics::Metrics};

const PERIOD: Duration = Duration::from_secs(10);

/// The file of the CRL, and what it was last read into.
pub(crate) struct StaffCrlFile {
    pub(crate) path: PathBuf,
    /// The staff CA's certificate, DER.
    pub(crate) issuer: Vec<u8>,
    pub(crate) current: Arc<CurrentStaffCrl>,
}

pub(super) async fn run(file: StaffCrlFile, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) {
    let mut alarm = Alarm::default();
    loop {
        let now = clock.now();
        // A small file: not worth a thread of its own.
        if let Some(trouble) = alarm.due(file.look(now, &metrics), now) {
            tracing::error!(trouble, "ALARM: the staff CA's CRL can't be relied on");
        }
        sleep(PERIOD).await;
    }
}

impl StaffCrlFile {
    /// Takes up the file as it is now, and shows the CRL that is in use; what is wrong, in words.
    fn look(&self, now: Timestamp, metrics: &Metrics) -> Option<String> {
        let mut troubles = Vec::new();
        match StaffCrl::read(&self.path, &self.issuer).and_then(|crl| self.current.replace(crl)) {
            Ok(true) => tracing::info!("a new CRL of the staff CA was taken up"),
            Ok(false) => {}
            Err(error) => troubles.push(format!("keeping the one that is in use: {error:#}")),
        }
        let next_update = self.current.next_update();
        if let Some(lapsed) = next_update.filter(|next_update| *next_update < now) {
            troubles.push(format!("the one in use lapsed at {lapsed}; hold a ceremony for the next one"));
        }
        metrics.node.staff_crl(next_update, troubles.is_empty());
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use ca_core::{domain::ids::SerialNumber, ports::staff::StaffRevocations as _};

    use super::*;
    use crate::material::testing::{authority, staff_crl};

    const NEXT_UPDATE: &str = "inro_staff_crl_next_update_timestamp_seconds{} 1806537600";

    #[test]
    fn the_gauges_tell_whether_the_file_is_what_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let ((ours, issuer), (theirs, _)) = (authority(), authority());
        let file = StaffCrlFile {
            path: folder.path().join("staff.crl"),
            issuer,
            current: Arc::new(CurrentStaffCrl::default()),
        };
        let metrics = Metrics::default();
        assert!(!metrics.text().contains("inro_staff_crl"), "{}", metrics.text());

        let (in_time, late) = ("2027-03-31T00:00:00Z", "2027-04-02T00:00:00Z");
        for (what, content, now, usable) in [
            ("the first", staff_crl(&ours, 3, &[5]), in_time, true),
            ("garbage", b"garbage".to_vec(), in_time, false),
            ("the same again", staff_crl(&ours, 3, &[5]), in_time, true),
            ("an older one", staff_crl(&ours, 2, &[5]), in_time, false),
            ("one that leaves a certificate out", staff_crl(&ours, 4, &[]), in_time, false),
            ("somebody else's", staff_crl(&theirs, 4, &[5]), in_time, false),
            ("the next", staff_crl(&ours, 4, &[5, 6]), in_time, true),
            ("a lapsed one", staff_crl(&ours, 4, &[5, 6]), late, false),
        ] {
            std::fs::write(&file.path, content).expect("a file");
            let trouble = file.look(now.parse().expect("a time"), &metrics);
            assert_eq!(trouble.is_none(), usable, "{what}: {trouble:?}");
            let (text, gauge) = (metrics.text(), format!("inro_staff_crl_usable{{}} {}\n", u8::from(usable)));
            assert!(text.contains(&gauge) && text.contains(NEXT_UPDATE), "{what}: {text}");
            assert!(file.current.is_revoked(&SerialNumber::from_bytes(&[5]).expect("a number")), "{what}");
        }
        std::fs::remove_file(&file.path).expect("removed");
        assert!(file.look(in_time.parse().expect("a time"), &metrics).is_some());
    }
}
