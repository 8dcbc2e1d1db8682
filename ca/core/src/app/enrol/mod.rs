//! Obtaining a certificate: opened with ID and password (or by a registered machine that vouches), certified on
//! evidence, confirmed by whoever wrote it to the token.

pub mod applicant;
pub mod bearer;
pub mod certify;
pub mod confirm;
pub mod look_up;
pub mod open;
pub mod refusal;
mod token_check;
pub mod tpm;
