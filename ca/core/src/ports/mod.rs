//! What the use cases need from the world: small object-safe traits by noun, held behind `Arc<dyn …>`.
//!
//! Each store method is one durable fact. It re-checks its own invariant inside its commit, writes its audit row in
//! the same commit, and returns only after the commit is durable. No transaction crosses a port.

pub mod books;
pub mod census;
pub mod clock;
pub mod custody;
pub mod email;
pub mod fleet;
pub mod inventory;
pub mod ledger;
pub mod mailer;
pub mod outbox;
pub mod password;
pub mod policies;
pub mod rejudgements;
pub mod responders;
pub mod retention;
pub mod rng;
pub mod search;
pub mod signer;
pub mod staff;
pub mod store;
pub mod transfer;
pub mod trust;
