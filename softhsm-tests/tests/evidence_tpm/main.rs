//! TPM 2.0 from end to end: software TPMs behind the agent and its PKCS#11 module, and the authority's verdict.

mod browser;
mod device;
mod house;
mod life;
