//! The signer on real tokens: what it signs, what it refuses, what it remembers, and what it survives. Runs on SoftHSM, and as
//! `signer_kryoptic` on kryoptic.

mod attacks;
mod copies;
pub(crate) mod crashes;
mod intents;
mod pin;
mod revocations;
pub(crate) mod rig;
mod trouble;
