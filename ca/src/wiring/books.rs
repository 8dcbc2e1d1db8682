//! What holds ledger and journals against each other, for the operator's command line.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use ca_core::{
    app::{
        accord::Accord,
        reconcile::{Reconcile, ReconcileTerms},
        retire_signer::RetireSigner,
    },
    domain::ids::IssuerId,
    ports::store::{CertificateStore, SignerRecord, SignerStore},
};

use super::{adapters::Adapters, issuers, reconcile};
use crate::{adapters::journal_copy::JournalCopy, config::Config, material};

/// Ledger and journals, opened.
pub(crate) struct Books {
    /// One for each issuer, with this node's signer.
    pub(crate) reconcile: Vec<Reconcile>,
    adapters: Adapters,
}

/// Opens the books. Connects to no signer yet.
///
/// # Errors
/// When ledger, configuration or certificates can't be used.
pub(crate) async fn books(config: &Config) -> anyhow::Result<Books> {
    let material = material::load(config)?;
    let adapters = Adapters::open(config).await?;
    let issuers = issuers::issuers(config, &material)?;
    Ok(Books { reconcile: reconcile::reconcile(&adapters, &issuers), adapters })
}

impl Books {
    pub(crate) fn certificates(&self) -> Arc<dyn CertificateStore> {
        self.adapters.store.clone()
    }

    pub(crate) fn signers(&self) -> Arc<dyn SignerStore> {
        self.adapters.store.clone()
    }

    /// An issuer's reconciliation with this node's signer.
    pub(crate) fn of(&self, issuer: &IssuerId) -> Option<&Reconcile> {
        self.reconcile.iter().find(|reconcile| reconcile.issuer.id() == issuer)
    }

    /// Retires a signer of this issuer.
    pub(crate) fn retire(&self, issuer: &IssuerId) -> RetireSigner {
        RetireSigner {
            certificates: self.adapters.store.clone(),
            responders: self.adapters.store.clone(),
            revocations: self.adapters.store.clone(),
            signers: self.adapters.store.clone(),
            clock: self.adapters.clock.clone(),
            issuer: issuer.clone(),
        }
    }

    /// Reconciles with a copy of the journal of a signer that doesn't run any more.
    ///
    /// # Errors
    /// When the copy can't be read.
    pub(crate) fn with_copy(
        &self,
        signer: &SignerRecord,
        copy: &Path,
        key: &str,
    ) -> anyhow::Result<Reconcile> {
        let issuer = self.of(&signer.issuer).context("no such issuer is configured")?.issuer.clone();
        let identity = (signer.name.clone(), signer.journal);
        Ok(Reconcile {
            certificates: self.adapters.store.clone(),
            books: self.adapters.store.clone(),
            responders: self.adapters.store.clone(),
            revocations: self.adapters.store.clone(),
            signers: self.adapters.store.clone(),
            audit: self.adapters.store.clone(),
            signer: Arc::new(JournalCopy::read(copy, identity, issuer.id(), key)?),
            clock: self.adapters.clock.clone(),
            accord: Arc::new(Accord::new(issuer.id().clone())),
            issuer,
            terms: ReconcileTerms::default(),
        })
    }
}
