//! All store ports of one database, for those who open, hold and close it as a whole.

use async_trait::async_trait;

use super::{
    books::LedgerBooks,
    census::LedgerCensus,
    fleet::FleetStore,
    inventory::InventoryStore,
    policies::PolicyStore,
    rejudgements::RejudgementStore,
    responders::ResponderStore,
    search::SearchStore,
    staff::{ApprovalStore, StaffStore},
    store::{
        AuditStore, CertificateStore, CustomerStore, LeaseStore, LoginStore, RevocationStore, SignerStore,
    },
    trust::TrustStore,
};

/// All store ports of one database. Use cases get the ports they need of it, never the whole.
#[async_trait]
pub trait Ledger:
    CustomerStore
    + LoginStore
    + CertificateStore
    + ResponderStore
    + RevocationStore
    + SignerStore
    + LeaseStore
    + AuditStore
    + LedgerBooks
    + LedgerCensus
    + PolicyStore
    + InventoryStore
    + FleetStore
    + TrustStore
    + RejudgementStore
    + StaffStore
    + ApprovalStore
    + SearchStore
    + 'static
{
    /// Commits what is queued and closes the database. Later calls are refused as unavailable.
    async fn close(&self);
}
