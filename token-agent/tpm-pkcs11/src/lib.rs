//! A PKCS#11 module (2.40) for the keys that `inro-agent` enrolled in this computer's TPM, for browsers and whatever else
//! logs in with a certificate.
//!
//! Each certificate on the user's shelf is a token in a slot of its own, whose PIN is the key's. The module keeps no key
//! and no copy of one; between two signatures it holds nothing in the TPM and no connection to it, only the PIN, in
//! memory that is wiped at the logout. Nothing can be created, changed or read out through it.
//!
//! `functions` is the C interface and the only place with pointers; `module` is what it does, in safe terms; `token`,
//! `object` and `mechanism` know one thing each; `unsupported` answers everything else.

mod functions;
mod mechanism;
mod module;
mod object;
mod token;
mod unsupported;
