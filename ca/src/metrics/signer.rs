//! The signers, as this node meets them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    Histograms, IssuerGauges, Register, approximate, issuer,
    labels::{IssuerLabels, SigningFailureLabels, SigningLabels, TokenLabels},
};

/// From a software token's signature to a request's deadline.
const BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What a signer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// A certificate's signature.
    Certificate,
    /// A CRL's signature.
    Crl,
    /// An OCSP response's signature.
    Ocsp,
    /// That revocations enter the journal.
    Revocation,
}

impl Signing {
    /// In labels and span names.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Crl => "crl",
            Self::Ocsp => "ocsp",
            Self::Revocation => "revocation",
        }
    }
}

/// Why a signer gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Its policy said no.
    Refused,
    /// Not now.
    Unavailable,
    /// Its PIN is latched.
    LockedOut,
}

impl Failed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::LockedOut => "locked-out",
        }
    }
}

/// Where a signature's time went inside the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SigningTime {
    /// Until a lane was free.
    pub(crate) queued: Duration,
    /// On the lane: `C_Sign` and the check of what came out.
    pub(crate) signed: Duration,
    /// Until the journal was on the disk.
    pub(crate) journaled: Duration,
}

/// How busy a signer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignerLoad {
    /// Lanes in all.
    pub(crate) lanes: u32,
    /// Lanes that are signing.
    pub(crate) lanes_busy: u32,
    /// Requests that wait for a lane.
    pub(crate) queued: u32,
    /// Workers that were restarted since the signer started.
    pub(crate) worker_restarts: u64,
    /// Number of the journal's last entry.
    pub(crate) journal_sequence: u64,
}

/// Metrics of the signers.
pub(crate) struct SignerMetrics {
    healthy: IssuerGauges,
    locked_out: IssuerGauges,
    lanes: IssuerGauges,
    lanes_busy: IssuerGauges,
    queued: IssuerGauges,
    restarts: Family<IssuerLabels, Counter>,
    token_ready: Family<TokenLabels, Gauge<f64, AtomicU64>>,
    /// The tokens that are shown, by issuer.
    tokens: Mutex<BTreeMap<String, BTreeSet<String>>>,
    journal_sequence: IssuerGauges,
    reconciled_sequence: IssuerGauges,
    reconcile_lag: IssuerGauges,
    in_flight: Family<SigningLabels, Gauge>,
    duration: Histograms<SigningLabels>,
    failures: Family<SigningFailureLabels, Counter>,
    queue_time: Histograms<SigningLabels>,
    lane_time: Histograms<SigningLabels>,
    journal_time: Histograms<SigningLabels>,
}

impl SignerMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        let lag = "Entries of the signer's journal that aren't reconciled with the ledger";
        Self {
            healthy: register.metric("signer_healthy", "1 when every key of the issuer signed just now"),
            locked_out: register.metric("signer_locked_out", "1 when the signer's PIN is latched"),
            lanes: register.metric("signer_lanes", "Lanes of the signer"),
            lanes_busy: register.metric("signer_lanes_busy", "Lanes that were signing at the last look"),
            queued: register.metric("signer_queue", "Requests that waited for a lane at the last look"),
            restarts: register.metric("signer_worker_restarts", "Workers that the signer restarted"),
            token_ready: register
                .metric("signer_token_ready", "1 when every key signed on the token just now"),
            tokens: Mutex::default(),
            journal_sequence: register
                .metric("signer_journal_sequence", "Number of the last entry of the signer's journal"),
            reconciled_sequence: register
                .metric("reconciled_sequence", "Number of the journal entry up to which the ledger agrees"),
            reconcile_lag: register.metric("reconcile_lag_entries", lag),
            in_flight: register
                .metric("signer_requests_in_flight", "Requests that the signer hasn't answered"),
            duration: register.seconds(
                "signer_request_duration_seconds",
                "From asking the signer to its answer, as this node sees it",
                BOUNDS,
            ),
            failures: register.metric("signer_failures", "Requests to the signer without a result"),
            queue_time: register.seconds("signer_queue_seconds", "Waiting for a lane", BOUNDS),
            lane_time: register.seconds("signer_lane_seconds", "On the lane, with the check", BOUNDS),
            journal_time: register.seconds("signer_journal_seconds", "Until the journal was durable", BOUNDS),
        }
    }

    /// Begins to count an issuer's refusals: one that comes alone shows only beside the zero before it.
    pub(crate) fn count_refusals(&self, of: &str) {
        for what in [Signing::Certificate, Signing::Crl, Signing::Ocsp, Signing::Revocation] {
            let (what, kind) = (what.as_str(), Failed::Refused.as_str());
            drop(self.failures.get_or_create(&SigningFailureLabels { issuer: of.to_owned(), what, kind }));
        }
    }

    /// Shows how an issuer's signer is.
    pub(crate) fn health(&self, of: &str, healthy: bool, locked_out: bool) {
        let labels = issuer(of);
        self.healthy.get_or_create(&labels).set(f64::from(u8::from(healthy)));
        self.locked_out.get_or_create(&labels).set(f64::from(u8::from(locked_out)));
    }

    /// Shows how busy it is.
    pub(crate) fn load(&self, of: &str, load: &SignerLoad) {
        let labels = issuer(of);
        self.lanes.get_or_create(&labels).set(load.lanes.into());
        self.lanes_busy.get_or_create(&labels).set(load.lanes_busy.into());
        self.queued.get_or_create(&labels).set(load.queued.into());
        self.restarts.get_or_create(&labels).inner().store(load.worker_restarts, Ordering::Relaxed);
        self.journal_sequence.get_or_create(&labels).set(approximate(load.journal_sequence));
    }

    /// Shows which of its tokens sign; those that it has no more are shown no more.
    pub(crate) fn tokens<'a>(&self, of: &str, tokens: impl Iterator<Item = (&'a str, bool)>) {
        let mut shown = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = shown.entry(of.to_owned()).or_default();
        let mut present = BTreeSet::new();
        for (token, ready) in tokens {
            let labels = TokenLabels { issuer: of.to_owned(), token: token.to_owned() };
            self.token_ready.get_or_create(&labels).set(f64::from(u8::from(ready)));
            gone.remove(token);
            present.insert(token.to_owned());
        }
        for token in std::mem::replace(gone, present) {
            self.token_ready.remove(&TokenLabels { issuer: of.to_owned(), token });
        }
    }

    /// Shows how far its journal and the ledger agree.
    pub(crate) fn reconciled(&self, of: &str, sequence: u64, journal: u64) {
        let labels = issuer(of);
        self.reconciled_sequence.get_or_create(&labels).set(approximate(sequence));
        self.reconcile_lag.get_or_create(&labels).set(approximate(journal.saturating_sub(sequence)));
    }

    /// Counts a request as unanswered until the value is dropped.
    pub(crate) fn asked(&self, of: &str, what: Signing) -> Asked {
        let labels = SigningLabels { issuer: of.to_owned(), what: what.as_str() };
        let in_flight = self.in_flight.get_or_create_owned(&labels);
        in_flight.inc();
        Asked { in_flight }
    }

    /// Notes an answer, and where its time went when the signer says so.
    pub(crate) fn answered(&self, of: &str, what: Signing, took: Duration, time: Option<SigningTime>) {
        let labels = SigningLabels { issuer: of.to_owned(), what: what.as_str() };
        let observe = |of: &Histograms<SigningLabels>, time: Duration| {
            of.get_or_create(&labels).observe(time.as_secs_f64());
        };
        observe(&self.duration, took);
        if let Some(time) = time {
            observe(&self.queue_time, time.queued);
            observe(&self.lane_time, time.signed);
            if what != Signing::Ocsp {
                observe(&self.journal_time, time.journaled);
            }
        }
    }

    /// Counts a request without a result.
    pub(crate) fn failed(&self, of: &str, what: Signing, kind: Failed) {
        let labels = SigningFailureLabels { issuer: of.to_owned(), what: what.as_str(), kind: kind.as_str() };
        self.failures.get_or_create(&labels).inc();
    }
}

/// A request to a signer, until dropped.
pub(crate) struct Asked {
    in_flight: Gauge,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}
