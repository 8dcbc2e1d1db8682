//! Takes up a renewed server certificate without a restart, and sounds the alarm before the one in use expires. A half of
//! it alone, certificate or key, is left until the other half is there too; one that isn't valid is left while the one in
//! use is.

use std::{sync::Arc, time::Duration};

use ca_core::ports::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::alarm::Alarm;
use crate::{
    config::Tls,
    http::tls::CurrentIdentity,
    material::{self, ServerIdentity},
    metrics::Metrics,
};

const PERIOD: Duration = Duration::from_secs(10);

/// Before the end of the server certificate; the doctor warns as early.
pub(crate) const SERVER_ALARM: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The files of the server certificate, as they were when last taken up.
pub(crate) struct TlsFiles {
    pub(crate) files: Tls,
    pub(crate) taken_up: ServerIdentity,
    pub(crate) current: Arc<CurrentIdentity>,
}

pub(super) async fn run(mut tls: TlsFiles, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) {
    let mut alarm = Alarm::default();
    loop {
        let now = clock.now();
        // Two small files: not worth a thread of their own.
        if let Some(trouble) = alarm.due(tls.look(now, &metrics), now) {
            tracing::error!(trouble, "ALARM: the server certificate wants to be renewed");
        }
        sleep(PERIOD).await;
    }
}

impl TlsFiles {
    /// Takes up the files as they are now, and shows the certificate that is in use; what is wrong with its time, in words.
    fn look(&mut self, now: Timestamp, metrics: &Metrics) -> Option<String> {
        let left = self.take_up(now).unwrap_or_else(|error| {
            tracing::warn!(error = %format!("{error:#}"), "keeping the server certificate that is in use");
            None
        });
        if let Ok(validity) = self.taken_up.validity() {
            metrics.node.server(validity.not_after);
        }
        let in_use = self.in_use(now).err().map(|error| format!("the one in use: {error:#}"));
        let troubles: Vec<String> = left.into_iter().chain(in_use).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    /// Why a new one is left though it could be used.
    fn take_up(&mut self, now: Timestamp) -> anyhow::Result<Option<String>> {
        let found = material::server_identity(&self.files)?;
        if found == self.taken_up {
            return Ok(None);
        }
        let fault = found.valid_at(now).err();
        if let Some(fault) = fault.as_ref().filter(|_| self.taken_up.valid_at(now).is_ok()) {
            return Ok(Some(format!("keeping the one in use, not the new one: {fault:#}")));
        }
        self.current.replace(&found)?;
        self.taken_up = found;
        if fault.is_none() {
            tracing::info!("a new server certificate was taken up");
        }
        Ok(None)
    }

    fn in_use(&self, now: Timestamp) -> anyhow::Result<()> {
        self.taken_up.valid_at(now)?;
        let not_after = self.taken_up.validity()?.not_after;
        anyhow::ensure!(not_after.duration_since(now) >= SERVER_ALARM, "it expires at {not_after}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const NOW: &str = "2027-04-01T00:00:00Z";

    /// Puts a self-signed certificate for these years into the folder, with its key.
    fn put(folder: &Path, (from, to): (i32, i32)) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join("server.pem"), certificate.pem()).expect("the certificate");
        std::fs::write(folder.join("server.key"), key.serialize_pem()).expect("the key");
    }

    fn begin(folder: &Path, years: (i32, i32)) -> TlsFiles {
        put(folder, years);
        let files = Tls { certificate_file: folder.join("server.pem"), key_file: folder.join("server.key") };
        let taken_up = material::server_identity(&files).expect("an identity");
        let current = Arc::new(CurrentIdentity::new(&taken_up).expect("an identity"));
        TlsFiles { files, taken_up, current }
    }

    /// What one look says, and the gauge's value after it.
    fn look(tls: &mut TlsFiles, now: &str) -> (Option<String>, Option<Timestamp>) {
        let metrics = Metrics::default();
        let trouble = tls.look(now.parse().expect("a time"), &metrics);
        let text = metrics.text();
        let shown = text
            .lines()
            .find_map(|line| line.strip_prefix("inro_server_not_after_timestamp_seconds{} "))
            .map(|value| value.trim_end_matches(".0").parse().expect("seconds"));
        (trouble, shown.map(|seconds| Timestamp::from_second(seconds).expect("a time")))
    }

    fn new_year(year: i16) -> Timestamp {
        format!("{year}-01-01T00:00:00Z").parse().expect("a time")
    }

    #[test]
    fn the_gauge_tells_the_end_and_the_alarm_comes_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tls = begin(folder.path(), (2027, 2028));
        for (now, said) in [
            ("2027-12-01T00:00:00Z", None),
            ("2027-12-03T00:00:00Z", Some("it expires at 2028-01-01")),
            ("2028-01-02T00:00:00Z", Some("it expired at 2028-01-01")),
            ("2026-12-31T00:00:00Z", Some("it isn't valid before 2027-01-01")),
        ] {
            let (trouble, shown) = look(&mut tls, now);
            assert_eq!(shown, Some(new_year(2028)), "{now}");
            match said {
                None => assert_eq!(trouble, None, "{now}"),
                Some(said) => assert!(trouble.as_deref().unwrap_or_default().contains(said), "{trouble:?}"),
            }
        }
    }

    #[test]
    fn one_that_is_not_valid_is_left_while_the_one_in_use_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tls = begin(folder.path(), (2027, 2029));
        for (years, said) in
            [((2025, 2026), "it expired at 2026"), ((2028, 2030), "it isn't valid before 2028")]
        {
            put(folder.path(), years);
            let (trouble, shown) = look(&mut tls, NOW);
            let trouble = trouble.expect("an alarm");
            assert!(trouble.contains("keeping the one in use") && trouble.contains(said), "{trouble}");
            assert_eq!(shown, Some(new_year(2029)));
        }
        // Its time has come.
        assert_eq!(look(&mut tls, "2028-04-01T00:00:00Z"), (None, Some(new_year(2030))));
    }

    #[test]
    fn an_expired_one_in_the_place_of_an_expired_one_is_no_good_news() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tls = begin(folder.path(), (2024, 2025));
        put(folder.path(), (2025, 2026));
        let (trouble, shown) = look(&mut tls, NOW);
        assert!(trouble.as_deref().unwrap_or_default().contains("it expired at 2026"), "{trouble:?}");
        assert_eq!(shown, Some(new_year(2026)));
        put(folder.path(), (2027, 2028));
        assert_eq!(look(&mut tls, NOW), (None, Some(new_year(2028))));
    }
}
