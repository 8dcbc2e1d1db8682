//! RFC 5280 and RFC 6960 building blocks that the CA, the signer and the ceremonies share.
//!
//! Encoding and decoding are `x509-cert`'s and `der`'s, signature checks are aws-lc-rs's. What stands here is what
//! they leave open: profiles' extensions, a CRL with the right authority key identifier, the OCSP types on the current
//! `der`, and the split of a signed structure into the bytes that were really signed.

pub mod algorithm;
pub mod certificate;
pub mod cms;
pub mod crl;
pub mod ecdsa;
pub mod extension;
pub mod key;
pub mod name;
pub mod ocsp;
pub mod publication;
pub mod signed;
pub mod time;
pub mod verify;

pub use algorithm::SignatureAlgorithm;
pub use key::KeyKind;
