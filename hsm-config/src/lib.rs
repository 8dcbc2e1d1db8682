//! Everything that touches a PKCS#11 module. A module is loaded by the worker process alone; the signer and the
//! ceremonies drive tokens through it.

pub mod bench;
pub mod ceremony;
pub mod cli;
mod clock;
pub mod custody;
pub mod doctor;
mod error_text;
pub mod journal;
pub mod keys;
pub mod signer;
pub mod token;
pub mod vendor;
pub mod worker;
