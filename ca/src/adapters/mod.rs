//! The world behind the ports of `ca-core`, except the ledger, which has crates of its own.

mod argon2id;
pub(crate) mod clock;
pub(crate) mod journal_copy;
pub(crate) mod passwords;
pub(crate) mod rng;
pub(crate) mod signer;
pub(crate) mod smtp;
pub(crate) mod staff_crl;
