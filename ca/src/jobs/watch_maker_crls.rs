//! Takes up the makers' CRLs while the program runs, and says which are due: what a maker took back must not go on being
//! believed because nobody restarted a node, or because nobody fetched the next CRL.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ca_core::{
    app::trust::{CrlsTakenUp, Trusted},
    ports::clock::Clock,
};
use tokio::time::sleep;

use crate::{
    material::trust::crls::{self, Listing},
    metrics::Metrics,
};

/// A new CRL is taken up within this time on every node.
const PERIOD: Duration = Duration::from_secs(5);
/// What is wrong is said again after so many looks.
const SAY_EVERY: u32 = 720;

pub(super) struct Job {
    /// Nothing is done without one.
    pub(super) folder: Option<PathBuf>,
    pub(super) trusted: Arc<Trusted>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
}

impl Job {
    pub(super) async fn run(self) {
        let Some(folder) = self.folder.clone() else { return };
        let (mut known, mut version): (Option<Listing>, u32) = (None, 0);
        let (mut looks, mut said): (u32, Vec<String>) = (0, Vec::new());
        let mut refused = 0;
        loop {
            let mut troubles = Vec::new();
            match crls::list(&folder) {
                // Another version of the anchors may know who signed what nobody had signed before.
                Ok(listing)
                    if known.as_ref() != Some(&listing) || version != self.trusted.current().version =>
                {
                    version = self.trusted.current().version;
                    let faults = self.take_up(&listing).await;
                    refused = faults.len();
                    troubles = faults;
                    known = Some(listing);
                    said.clear();
                }
                Ok(_) => {}
                Err(error) => {
                    troubles.push(format!("{error:#}"));
                    known = None;
                }
            }
            troubles.extend(self.due());
            if !troubles.is_empty() && (troubles != said || looks.is_multiple_of(SAY_EVERY)) {
                for trouble in &troubles {
                    tracing::warn!(trouble, "ALARM: makers' CRLs want a look");
                }
            }
            said = troubles;
            self.show(refused);
            looks = looks.wrapping_add(1);
            sleep(PERIOD).await;
        }
    }

    /// Reads all files; what can't be used, in words.
    async fn take_up(&self, listing: &Listing) -> Vec<String> {
        let (listing, trusted) = (listing.clone(), self.trusted.clone());
        // Signatures over megabytes are no work for a thread that serves.
        let taken = tokio::task::spawn_blocking(move || {
            let haul = crls::read(&listing);
            (trusted.take_up_crls(haul.found), haul.faults)
        });
        let Ok((CrlsTakenUp { refused, missed }, faults)) = taken.await else {
            return vec!["reading them was cut off".to_owned()];
        };
        let in_use = self.trusted.crls().len();
        tracing::info!(in_use, "the makers' CRLs were taken up");
        self.metrics
            .outcome("maker_crls", if refused.is_empty() && faults.is_empty() { "done" } else { "refused" });
        let refused = refused.into_iter().map(|(file, why)| format!("{file}: {why}"));
        let faults = faults.into_iter().map(|fault| format!("{}: {}", fault.from, fault.problem));
        let gone = "it has gone, or was put back to an older one; what it revokes stays revoked until the next start";
        let missed = missed.into_iter().map(|file| format!("{file}: {gone}"));
        refused.chain(faults).chain(missed).collect()
    }

    fn due(&self) -> Vec<String> {
        let now = self.clock.now();
        let due = self.trusted.crls().into_iter().filter(|held| held.crl.is_due(now));
        due.map(|held| format!("{}: fetch the next CRL of {}", held.file, held.crl.issuer_name())).collect()
    }

    fn show(&self, refused: usize) {
        self.metrics.node.maker_crls(self.trusted.crls().len(), self.due().len(), refused);
    }
}
