//! Obtaining a certificate: opened with ID and password, certified on evidence, confirmed by the agent.

pub mod bearer;
pub mod certify;
pub mod confirm;
pub mod open;
pub mod refusal;
pub mod throttle;
