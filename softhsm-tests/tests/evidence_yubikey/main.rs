//! Where a key lives, as far as cards can say: YubiKeys that lie, evidence that is somebody else's or out of date, and
//! tokens that can only claim. Each refusal has its own code, a row in the audit trail, no signature, and leaves the
//! user as they were.

mod borrowed;
mod lies;
mod others;
mod regenerated;
mod renewed;
mod rig;
