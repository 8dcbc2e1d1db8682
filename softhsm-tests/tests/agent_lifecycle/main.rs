//! Tokens for life, end to end: virtual YubiKeys behind a real pcscd, the agent, the bank, its master and its staff.

mod life;
mod rig;
mod unblock;

#[path = "../customers/mod.rs"]
mod customers;
#[path = "../staff_house/mod.rs"]
mod staff_house;
