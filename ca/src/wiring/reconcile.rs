//! What brings ledger and journals together, one for each issuer.

use std::sync::Arc;

use ca_core::{
    app::{
        accord::Accord,
        reconcile::{Reconcile, ReconcileTerms},
    },
    domain::profile::Issuer,
};

use super::adapters::Adapters;

pub(super) fn reconcile(adapters: &Adapters, issuers: &[Arc<Issuer>]) -> Vec<Reconcile> {
    let accord = |issuer: &Issuer| adapters.accords.of(issuer.id());
    let reconcile = |issuer: &Arc<Issuer>| Reconcile {
        accord: accord(issuer).unwrap_or_else(|| Arc::new(Accord::new(issuer.id().clone()))),
        certificates: adapters.store.clone(),
        books: adapters.store.clone(),
        responders: adapters.store.clone(),
        revocations: adapters.store.clone(),
        signers: adapters.store.clone(),
        audit: adapters.store.clone(),
        signer: adapters.signer(),
        clock: adapters.clock.clone(),
        issuer: issuer.clone(),
        terms: ReconcileTerms::default(),
    };
    issuers.iter().map(reconcile).collect()
}
