//! TPM 2.0 from end to end: software TPMs behind the agent and its PKCS#11 module, and the authority's verdict.

mod browser;
mod credential;
mod device;
mod export;
mod house;
mod lies;
mod life;
