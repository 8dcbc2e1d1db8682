//! A YubiKey's PIV application in software, spoken to over the vpcd protocol; or, as [`Make::Foreign`], a PIV card of
//! another maker, which has the standard's commands only.
//!
//! It answers as the genuine device of the chosen firmware would, attests with certificates of the genuine shape
//! under a test vendor's root, and misbehaves in the chosen ways. Not emulated: X25519, the other applications
//! beyond what tools need to recognise the device, secure channels, biometrics.

mod apdu;
pub mod attestation;
mod card;
mod certificate;
mod error;
mod key;
mod management_key;
mod objects;
mod plug;
mod profile;
mod references;
mod slots;
mod state;
mod status;
mod tlv;

pub use attestation::{AttestationAuthority, AttestationRoots};
pub use card::{ATR, Card, Reaction};
pub use certificate::Generation;
pub use error::CardError;
pub use key::{Algorithm, PinPolicy, PrivateKey, TouchPolicy};
pub use management_key::{Cipher, ManagementKey};
pub use plug::{Moment, VirtualYubiKey};
pub use profile::{Firmware, FormFactor, Make, Misbehaviour, Profile, ProfileError, Touch};
pub use state::{Reference, Slot, State};
pub use status::Status;
