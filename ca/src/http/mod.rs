//! The listeners and what they answer. Handlers decode, call a use case of `ca-core`, and encode; rules live below.

pub(crate) mod api;
mod base64;
mod body;
pub(crate) mod client_verifier;
pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod detached;
mod documented;
pub(crate) mod ending;
pub(crate) mod enrolment;
pub(crate) mod forwarded;
pub(crate) mod gate;
pub(crate) mod late;
pub(crate) mod layers;
pub(crate) mod machine;
mod observe;
pub(crate) mod openapi;
pub(crate) mod ops;
mod path;
pub(crate) mod portal;
pub(crate) mod problem;
mod progress;
pub(crate) mod staff;
pub(crate) mod support;
pub(crate) mod tls;
pub(crate) mod validation;
