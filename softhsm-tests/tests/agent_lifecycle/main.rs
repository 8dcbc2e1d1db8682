//! Tokens for life, end to end: virtual YubiKeys behind a real pcscd, the agent, the bank, its master and its staff.

mod killed;
mod life;
mod rig;
mod unblock;
mod window;

#[path = "../agent_gui/desktop.rs"]
#[allow(dead_code, reason = "the target agent_gui uses all of it")]
mod desktop;

#[path = "../customers/mod.rs"]
mod customers;
#[path = "../staff_house/mod.rs"]
mod staff_house;
