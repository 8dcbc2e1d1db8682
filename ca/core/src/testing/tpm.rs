//! A TPM in software; it stands with the structures that it makes.

pub use crate::domain::attestation::tpm::fixtures::*;
