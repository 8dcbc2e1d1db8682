//! Runbooks are executed: the `sh` blocks of a Markdown file run in order in one shell, as root, on a machine of their own,
//! and what the file shows as output must come.
//!
//! The machine is this host's programs under a systemd of its own, in namespaces of its own: units, accounts, sealed
//! credentials and sandboxes are real, paths and ports are those that the runbook names. Emulated are only the tokens
//! (SoftHSM, virtual YubiKeys) and the other site (`ssh` runs its command here).

mod document;
mod machine;
mod site;

pub use document::{Block, Document};
pub use machine::Machine;
pub use site::Site;
