//! The signer process: it holds the keys' use, decides for itself, remembers, and may die.
//!
//! This is the parent. It has the socket, the policy, the journal and the way to the PIN, and loads no PKCS#11 module;
//! a worker process does. The line from a request to a reply is
//! `server` → `service` (intent, `policy`, reservation) → `token` (worker) → signature checked → `journal` → reply.
//!
//! | file | job |
//! | --- | --- |
//! | `config` | `signer.toml`, raw and validated |
//! | `policy` | what may be signed |
//! | `service` | a request to its reply |
//! | `reservation` | no intent and no serial number is signed twice at once |
//! | `token` | the worker, watched: started, proven, killed, started again |
//! | `latch` | a refused PIN stops every login, on disk |
//! | `server` | the socket |
//! | `run` | startup and shutdown |

mod clock;
pub mod config;
pub mod latch;
pub mod policy;
mod reservation;
mod run;
mod server;
mod service;
mod token;

pub use run::{RunError, run};
