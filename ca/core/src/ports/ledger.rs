//! All store ports of one database, for those who open, hold and close it as a whole.

use async_trait::async_trait;

use super::{
    books::LedgerBooks,
    census::LedgerCensus,
    custody::CustodyStore,
    email::EmailStore,
    fleet::FleetStore,
    inventory::InventoryStore,
    outbox::OutboxStore,
    policies::PolicyStore,
    rejudgements::RejudgementStore,
    responders::ResponderStore,
    retention::RetentionStore,
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
    + CustodyStore
    + FleetStore
    + TrustStore
    + RejudgementStore
    + StaffStore
    + ApprovalStore
    + SearchStore
    + OutboxStore
    + EmailStore
    + RetentionStore
    + 'static
{
    /// Commits what is queued and closes the database. Later calls are refused as unavailable.
    async fn close(&self);
}
