//! Key ceremonies of every kind on real tokens, read again by OpenSSL and OpenSC. Runs on SoftHSM, and as
//! `ceremony_kryoptic` on kryoptic.

mod copies;
mod crossing;
mod custody;
mod first;
mod interrupted;
mod kinds;
mod rig;
mod staff;
mod verified;
mod witness;
