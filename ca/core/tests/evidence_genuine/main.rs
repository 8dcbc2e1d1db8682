//! Genuine attestations of devices, published by their owners, against their makers' own trust anchors. The folder is
//! not part of this project: `INRO_EVIDENCE_DIR` names it, and without that nothing is tested here.
//!
//! What each item is expected to say, and its verdict, come from the folder's `INDEX.md`: a new row there is a new case
//! here.

mod index;
mod tpm;
mod windows;
mod yubikey;
