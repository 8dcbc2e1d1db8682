//! A TPM behind Windows' Platform Crypto Provider: Windows lets programs have keys in the TPM only through that key storage
//! provider of CNG, and browsers find keys only there.
//!
//! `cng` and `tbs` reach the two interfaces that Windows has, the provider and the TPM Base Services; `store` is the user's
//! certificate store; `claim` reads what the provider answers. Written from their documentation and from what others have
//! published of genuine machines: never run on one yet.

mod claim;
#[cfg(windows)]
mod cng;
#[cfg(windows)]
mod provider;
#[cfg(windows)]
mod store;
#[cfg(windows)]
mod tbs;

#[cfg(windows)]
pub(crate) use provider::PlatformTpm;
