//! Fakes of every port, faithful where it counts: the in-memory store keeps every invariant that the ports promise and
//! is the model that the real stores are compared with; the in-memory signer signs with a real key and remembers.
//! [`Faults`] makes any method fail before or after its effect.

pub mod clock;
pub mod fault;
pub mod passwords;
pub mod policies;
pub mod rng;
pub mod signer;
pub mod store;
pub mod tpm;

pub use clock::ManualClock;
pub use fault::{Fault, Faults};
pub use passwords::PlainPasswords;
pub use policies::MemoryForm;
pub use rng::CountingRng;
pub use signer::MemorySigner;
pub use store::MemoryStore;
