//! The signer process: it holds the keys' use, decides for itself, remembers, and may die.
//!
//! This is the parent. It has the socket, the policy, the journal and the way to the PIN, and loads no PKCS#11 module;
//! a worker process does. The line from a request to a reply is
//! `server` → `service` (intent, `policy`, reservation) → `tokens` (a place, a worker) → signature checked → `journal` →
//! reply.
//!
//! | file | job |
//! | --- | --- |
//! | `config` | `signer.toml`, raw and validated |
//! | `policy` | what may be signed |
//! | `service` | a request to its reply |
//! | `reservation` | no intent and no serial number is signed twice at once |
//! | `tokens` | which token signs, and who signs what it failed to |
//! | `places` | how much at once, for issuing and for OCSP |
//! | `token` | one token's worker, watched: started, proven, ended, started again |
//! | `latch` | a refused PIN stops every login, on disk |
//! | `pin` | where a token's PIN comes from at a login |
//! | `server` | the socket |
//! | `run` | startup and shutdown |

pub mod config;
pub mod latch;
pub mod pin;
mod places;
pub mod policy;
mod reservation;
mod run;
mod server;
mod service;
mod token;
mod tokens;

pub use run::{RunError, run};
