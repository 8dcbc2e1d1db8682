//! Custody on real stacks: sets on SoftHSM tokens, custodians with passphrases and with virtual YubiKeys, and signers
//! that wait for them.

mod cards;
mod readers;
mod rig;
mod sets;
mod signer;
mod sources;
