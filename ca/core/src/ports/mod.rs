//! What the use cases need from the world: small object-safe traits by noun, held behind `Arc<dyn …>`.
//!
//! Each store method is one durable fact. It re-checks its own invariant inside its commit, writes its audit row in
//! the same commit, and returns only after the commit is durable. No transaction crosses a port.

pub mod books;
pub mod census;
pub mod clock;
pub mod password;
pub mod responders;
pub mod rng;
pub mod signer;
pub mod store;
pub mod transfer;
