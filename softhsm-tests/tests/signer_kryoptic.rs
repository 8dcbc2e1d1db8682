//! The signer's suite on kryoptic: the same sources as `signer`, which find out by this target's name.

#[path = "signer/main.rs"]
mod suite;

use suite::{crashes, rig};
