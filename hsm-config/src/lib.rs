//! Everything that touches a PKCS#11 module. A module is loaded by the worker process alone; the signer and the
//! ceremonies drive tokens through it.

pub mod ceremony;
pub mod cli;
pub mod journal;
pub mod signer;
pub mod token;
pub mod worker;
