//! The worker: the only process that loads a PKCS#11 module.
//!
//! `inro-hsm worker` is started by its parent with the environment that the module needs and talks length-prefixed CBOR
//! over its standard input and output; standard error is its log. It holds the module and its lanes and knows no
//! policy. It may hang or crash at any time: the parent kills it and starts another.

mod error;
mod eyes;
pub mod frame;
pub mod handle;
mod key_store;
mod lane;
pub mod look;
mod module;
mod pin;
pub mod process;
pub mod protocol;
mod public_key;
mod transfer;
