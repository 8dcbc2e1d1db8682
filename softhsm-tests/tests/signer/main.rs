//! The signer on real SoftHSM tokens: what it signs, what it refuses, what it remembers, and what it survives.

mod attacks;
mod copies;
mod crashes;
mod intents;
mod pin;
mod revocations;
mod rig;
