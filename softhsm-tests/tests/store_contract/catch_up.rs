//! A node that meets a long journal for the first time, with everything in the ledger already: the walk asks page by page.
//! `INRO_CATCH_UP_ENTRIES` makes the journal longer; the time for each entry is printed (`--nocapture`).

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use ca_core::{
    app::{
        accord::{Accord, Verdict},
        reconcile::{Reconcile, ReconcileTerms},
    },
    domain::{
        audit::AuditPosition,
        ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
        profile::Issuer,
        revocation::{Revocation, RevocationReason},
    },
    ports::{
        books::{Entered, LedgerBooks},
        signer::{
            JournalBody, JournalEntry, JournalHead, JournalPosition, Journaled, JournaledSignature, Signer,
            SignerError,
        },
        store::{RevokeOutcome, StoreResult},
    },
    testing::clock::ManualClock,
};
use jiff::Timestamp;
use softhsm_tests::soft_pki::SoftAuthority;
use store_contract::samples::{
    Ledger, at, complete, customers, digest, event, intend, intent_id, issuer, position, record, serial,
    signer,
};
use x509_cert::der::{DecodePem as _, Encode as _};

/// A signer's journal that only grows older.
struct Journal(Vec<JournalEntry>);

fn unasked() -> SignerError {
    SignerError::Unavailable("nobody should ask for this".to_owned())
}

#[async_trait]
impl Signer for Journal {
    fn name(&self, _: &IssuerId) -> Result<SignerName, SignerError> {
        Ok(signer())
    }

    async fn sign_certificate(
        &self,
        _: &IssuerId,
        _: EnrolmentId,
        _: AuditPosition,
        _: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        Err(unasked())
    }

    async fn sign_crl(
        &self,
        _: &IssuerId,
        _: AuditPosition,
        _: Vec<u8>,
    ) -> Result<JournaledSignature, SignerError> {
        Err(unasked())
    }

    async fn sign_ocsp(&self, _: &IssuerId, _: Vec<u8>) -> Result<Vec<u8>, SignerError> {
        Err(unasked())
    }

    async fn revoke(
        &self,
        _: &IssuerId,
        _: AuditPosition,
        _: Vec<Revocation>,
    ) -> Result<JournalPosition, SignerError> {
        self.0.last().map(|entry| entry.position).ok_or_else(unasked)
    }

    async fn recorded(&self, _: &IssuerId, _: EnrolmentId) -> Result<Option<Journaled>, SignerError> {
        Ok(None)
    }

    async fn journaled_after(
        &self,
        _: &IssuerId,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, SignerError> {
        let begin = self.0.partition_point(|entry| entry.position.sequence <= sequence);
        Ok(self.0[begin..].iter().take(limit as usize).cloned().collect())
    }

    async fn journal(&self, _: &IssuerId) -> Result<JournalHead, SignerError> {
        Ok(JournalHead {
            journal: uuid::Uuid::from_u128(1),
            last: self.0.last().map(|entry| entry.position),
            audit: self.0.iter().map(|entry| entry.audit).max_by_key(|audit| audit.sequence),
        })
    }

    async fn healthy(&self, _: &IssuerId) -> Result<(), SignerError> {
        Ok(())
    }
}

/// Books in which nothing is ever found at once, so that each entry is asked for by itself, as it would be without them.
struct Forgetful<L>(Arc<L>);

#[async_trait]
impl<L: Ledger> LedgerBooks for Forgetful<L> {
    async fn entered(&self, _: &IssuerId, _: &SignerName, _: u64, _: u64) -> StoreResult<Vec<Entered>> {
        Ok(Vec::new())
    }

    async fn revoked_among(
        &self,
        _: &IssuerId,
        _: &[SerialNumber],
    ) -> StoreResult<BTreeMap<SerialNumber, Timestamp>> {
        Ok(BTreeMap::new())
    }

    async fn audit_hashes(&self, first: u64, last: u64) -> StoreResult<Vec<(u64, [u8; 32])>> {
        let limit = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        let rows = self.0.rows_after(first - 1, limit).await?;
        Ok(rows.into_iter().map(|row| (row.sequence, row.hash)).collect())
    }
}

/// So many certificates in the ledger, every tenth revoked, and the journal that tells of them all and of CRLs.
async fn fill(store: &impl Ledger, certificates: u32) -> Vec<JournalEntry> {
    customers(store, certificates).await;
    let mut entries = Vec::new();
    for n in 1..=certificates {
        intend(store, n).await.expect("an intent");
        let audit = store.head().await.expect("a query");
        complete(store, n).await.expect("a certificate");
        let place = position(n);
        let signature = JournaledSignature { signature: vec![0; 70], position: place };
        let journaled = Journaled {
            intent: intent_id(n),
            tbs: record(n).tbs,
            signature,
            at: Timestamp::UNIX_EPOCH,
            chained: None,
        };
        let body = JournalBody::Certificate(journaled);
        entries.push(JournalEntry { position: place, at: Timestamp::UNIX_EPOCH, audit, body });
    }
    let mut add = |audit: AuditPosition, body: JournalBody| {
        let sequence = u64::from(certificates) + 2 + entries.len() as u64;
        let place = JournalPosition { sequence, hash: digest(8, u32::try_from(sequence).expect("few")) };
        entries.push(JournalEntry { position: place, at: Timestamp::UNIX_EPOCH, audit, body });
    };
    for n in (10..=certificates).step_by(10) {
        let reason = RevocationReason::Superseded;
        let revoked = store.revoke(&issuer(), &serial(n), reason, at(9), event("certificate.revoked")).await;
        let RevokeOutcome::Revoked(revocation) = revoked.expect("revoked") else { panic!("not revoked") };
        let audit = store.head().await.expect("a query");
        add(audit, JournalBody::Revocation(revocation));
        add(audit, JournalBody::Crl(u64::from(n)));
    }
    entries
}

fn authority() -> Arc<Issuer> {
    let authority = SoftAuthority::new("Example issuing CA").expect("an authority");
    let certificate = x509_cert::Certificate::from_pem(authority.certificate()).expect("a certificate");
    let der = certificate.to_der().expect("DER");
    Arc::new(Issuer::from_certificate(issuer(), &der).expect("an issuer"))
}

/// Walks the whole journal; returns microseconds for each entry.
async fn walk<L: Ledger>(store: &Arc<L>, entries: &[JournalEntry], books: Arc<dyn LedgerBooks>) -> f64 {
    let accord = Arc::new(Accord::new(issuer()));
    let reconcile = Reconcile {
        certificates: store.clone(),
        revocations: store.clone(),
        responders: store.clone(),
        books,
        signers: store.clone(),
        audit: store.clone(),
        signer: Arc::new(Journal(entries.to_vec())),
        clock: Arc::new(ManualClock::at(at(1000))),
        issuer: authority(),
        accord: accord.clone(),
        terms: ReconcileTerms::default(),
    };
    let began = Instant::now();
    let look = reconcile.take_over().await.expect("no fault");
    let elapsed = began.elapsed();
    assert_eq!(look, ca_core::app::reconcile::Reconciled::default(), "nothing to be done");
    assert_eq!(accord.verdict(), Verdict::Unexamined);
    elapsed.as_secs_f64() * 1e6 / f64::from(u32::try_from(entries.len().max(1)).expect("few"))
}

#[expect(clippy::print_stderr, reason = "a figure for whoever asks for it with --nocapture")]
async fn catch_up<L: Ledger>(engine: &str, one: L, other: L) {
    let certificates = std::env::var("INRO_CATCH_UP_ENTRIES").map_or(300, |n| n.parse().expect("a number"));
    let (one, other) = (Arc::new(one), Arc::new(other));
    let mut figures = Vec::new();
    for (store, by_page) in [(one, true), (other, false)] {
        let entries = fill(&*store, certificates).await;
        let books: Arc<dyn LedgerBooks> =
            if by_page { store.clone() } else { Arc::new(Forgetful(store.clone())) };
        figures.push(walk(&store, &entries, books).await);
        assert_eq!(
            store.next_crl_number(&issuer()).await.expect("a number").number,
            u64::from(certificates / 10 * 10) + 1,
            "numbers go on above the journal's"
        );
    }
    eprintln!("{engine}: {:.1} µs an entry by the page, {:.1} µs one by one", figures[0], figures[1]);
}

#[tokio::test]
async fn a_long_journal_is_walked_by_the_page_on_sqlite() {
    let (one, _kept) = crate::sqlite().await;
    let (other, _kept_too) = crate::sqlite().await;
    catch_up("SQLite", one, other).await;
}

#[tokio::test]
async fn a_long_journal_is_walked_by_the_page_on_postgresql() {
    let (one, _kept) = crate::postgres().await;
    let (other, _kept_too) = crate::postgres().await;
    catch_up("PostgreSQL", one, other).await;
}
