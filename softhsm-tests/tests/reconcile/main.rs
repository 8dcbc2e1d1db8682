//! Ledger and journal after either was restored, cut or replaced, with the real programs: nothing is issued, nothing is
//! un-revoked, and a person ends it (R17, R18). Backup and restore as `ca/docs/backup.md` tells them.

#[path = "../customers/mod.rs"]
mod customers;
mod journals;
mod postgres;
mod restored;
mod rig;
