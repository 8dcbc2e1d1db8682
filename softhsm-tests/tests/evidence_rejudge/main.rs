//! Whom the authority believes, and what becomes of certificates when it changes: real programs, two officers, the whole
//! way from a retired anchor to a revoked certificate, and the proof that an auditor checks alone.

mod export;
mod import;
mod officers;
mod rejudge;
mod rig;
mod trust;
