//! What happens without being asked: idempotent, without input, periodic and nudged. A run that fails is logged and
//! counted, and the next one starts from what is durable.

mod alarm;
mod erase;
mod lapse_renewals;
mod lease;
mod observe;
mod publish_crl;
mod reconcile;
mod renew_responder;
mod revoke_fallen;
mod send_mail;
mod sweep_sessions;
mod take_up_trust;
mod watch_calendar;
mod watch_files;
mod watch_maker_crls;
mod watch_staff_crl;
mod watch_tls;

use std::{mem, path::PathBuf, sync::Arc, time::Duration};

use ca_core::{
    app::{
        accord::Accords,
        erase::ErasePersonalData,
        lapse_renewals::LapseRenewals,
        publish_crl::PublishCrl,
        reconcile::Reconcile,
        rejudge::Rejudge,
        renew_responder::RenewResponder,
        session::CheckSession,
        staff::session::StaffSessions,
        trust::{ReadTrust, Trusted},
    },
    ports::{clock::Clock, store::RevocationStore},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{calendar::Calendar, http::validation::Validation, metrics::Metrics, responders::Responders};

pub(crate) use lease::Leader;
pub(crate) use observe::Observe;
pub(crate) use send_mail::{Mailing, Outgoing};
pub(crate) use watch_files::{Files, MACHINE_ALARM};
pub(crate) use watch_staff_crl::StaffCrlFile;
pub(crate) use watch_tls::{SERVER_ALARM, TlsFiles};

/// Everything that the jobs need.
pub(crate) struct Jobs {
    /// One for each issuer.
    pub(crate) publish: Vec<Arc<PublishCrl>>,
    /// Which node publishes, for each issuer.
    pub(crate) leaders: Vec<Leader>,
    /// The CRLs of the key ceremony, for each issuer.
    pub(crate) first_crls: Vec<Option<Vec<u8>>>,
    /// One for each issuer, with which node renews.
    pub(crate) renew: Vec<(Arc<RenewResponder>, Leader)>,
    pub(crate) responders: Arc<Responders>,
    /// One for each issuer.
    pub(crate) reconcile: Vec<Reconcile>,
    pub(crate) sessions: Arc<CheckSession>,
    /// Of the staff console, where there is one.
    pub(crate) staff_sessions: Option<Arc<StaffSessions>>,
    /// The staff CA's CRL, where one is configured.
    pub(crate) staff_crl: Option<StaffCrlFile>,
    /// What is believed about devices, and where new versions are read.
    pub(crate) trust: (ReadTrust, Arc<Trusted>),
    /// The folder with the makers' CRLs.
    pub(crate) maker_crls: Option<PathBuf>,
    /// Plans of revocation, with which node executes them.
    pub(crate) rejudge: (Rejudge, Leader),
    /// Mail, with which node sends it.
    pub(crate) mailing: (Mailing, Leader),
    /// Renewals that nobody confirms, with which node revokes them.
    pub(crate) lapse: (LapseRenewals, Leader),
    /// Personal data whose period is over, with which node erases it.
    pub(crate) erase: (ErasePersonalData, Leader),
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) validation: Arc<Validation>,
    pub(crate) revocations: Arc<dyn RevocationStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// Woken by every revocation of this process.
    pub(crate) revoked: Arc<Notify>,
    pub(crate) accords: Accords,
    pub(crate) files: Files,
    pub(crate) observe: Arc<Observe>,
}

impl Jobs {
    /// Starts them all; they end soon after `stop`.
    pub(crate) fn start(mut self, tls: TlsFiles, stop: &CancellationToken) -> JoinSet<()> {
        let mut running = Running { tasks: JoinSet::new(), stop: stop.clone() };
        let (caught_up, is_caught_up) = watch::channel(false);
        let (accords, metrics) = (self.accords.clone(), self.metrics.clone());
        let reconcile = mem::take(&mut self.reconcile);
        running.add(reconcile::Job { reconcile, accords, metrics, caught_up }.run());
        let renewed = Arc::<Notify>::default();
        self.publish_crls(&mut running, &is_caught_up);
        self.renew_responders(&mut running, &is_caught_up, &renewed);

        let (rejudge, leader) = self.rejudge;
        let (leader, revoked, metrics) = (Arc::new(leader), self.revoked.clone(), self.metrics.clone());
        let job = revoke_fallen::Job { rejudge, leader: leader.clone(), metrics, revoked };
        running.add_led(leader, after(is_caught_up.clone(), job.run()));
        let (lapse, leader) = self.lapse;
        let (leader, metrics) = (Arc::new(leader), self.metrics.clone());
        let job = lapse_renewals::Job { lapse, leader: leader.clone(), metrics, revoked: self.revoked };
        running.add_led(leader, after(is_caught_up, job.run()));
        let (mailing, leader) = self.mailing;
        let (leader, metrics) = (Arc::new(leader), self.metrics.clone());
        running.add_led(leader.clone(), send_mail::Job { mailing, leader, metrics }.run());
        let (erase, leader) = self.erase;
        let (leader, metrics) = (Arc::new(leader), self.metrics.clone());
        running.add_led(leader.clone(), erase::Job { erase, leader, metrics }.run());

        let (read, trusted) = self.trust;
        let (folder, clock, metrics) = (self.maker_crls, self.clock.clone(), self.metrics.clone());
        running.add(watch_maker_crls::Job { folder, trusted: trusted.clone(), clock, metrics }.run());
        running.add(take_up_trust::run(read, trusted, self.metrics.clone()));
        if let Some(file) = self.staff_crl {
            running.add(watch_staff_crl::run(file, self.clock.clone(), self.metrics.clone()));
        }
        running.add(watch_tls::run(tls, self.clock.clone(), self.metrics.clone()));
        running.add(watch_calendar::run(self.calendar, self.clock.clone(), self.metrics.clone()));
        running.add(sweep_sessions::run(self.sessions, self.staff_sessions, self.metrics.clone()));
        running.add(watch_files::run(self.files, self.validation, self.clock, self.metrics, renewed));
        running.add(self.observe.clone().refresh());
        running.add(self.observe.verify_audit());
        running.tasks
    }

    fn publish_crls(&mut self, running: &mut Running, is_caught_up: &watch::Receiver<bool>) {
        let issuers = mem::take(&mut self.publish).into_iter().zip(mem::take(&mut self.leaders));
        for ((publish, leader), first) in issuers.zip(mem::take(&mut self.first_crls)) {
            let leader = Arc::new(leader);
            let job = publish_crl::Job {
                publish,
                leader: leader.clone(),
                first,
                revocations: self.revocations.clone(),
                clock: self.clock.clone(),
                metrics: self.metrics.clone(),
                revoked: self.revoked.clone(),
            };
            running.add_led(leader, after(is_caught_up.clone(), job.run()));
        }
    }

    fn renew_responders(
        &mut self,
        running: &mut Running,
        is_caught_up: &watch::Receiver<bool>,
        renewed: &Arc<Notify>,
    ) {
        for (position, (renew, leader)) in mem::take(&mut self.renew).into_iter().enumerate() {
            let leader = Arc::new(leader);
            let job = renew_responder::Job {
                renew,
                leader: leader.clone(),
                responders: self.responders.clone(),
                position,
                metrics: self.metrics.clone(),
                renewed: renewed.clone(),
            };
            running.add_led(leader, after(is_caught_up.clone(), job.run()));
        }
    }
}

/// The jobs that were started.
struct Running {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Running {
    /// A job until the end. It may be dropped at any await: each of its steps is durable or nothing.
    fn add(&mut self, job: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(job).await;
        });
    }

    /// One that a single node does for all: it gives its lease back in the end.
    fn add_led(&mut self, leader: Arc<Leader>, job: impl Future<Output = ()> + Send + 'static) {
        let (stop, job) = (self.stop.clone(), Box::pin(job));
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(job).await;
            leader.resign().await;
        });
    }
}

/// A job that needs a ledger which knows what the journals know.
async fn after(mut is_caught_up: watch::Receiver<bool>, job: impl Future<Output = ()>) {
    // The sender ends with all the jobs.
    if is_caught_up.wait_for(|is_caught_up| *is_caught_up).await.is_ok() {
        job.await;
    }
}

/// Waits for `period`, or for a nudge.
async fn pause(period: Duration, nudge: &Notify) {
    tokio::select! {
        () = sleep(period) => {}
        () = nudge.notified() => {}
    }
}
