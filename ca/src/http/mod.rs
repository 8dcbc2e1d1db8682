//! The listeners and what they answer. Handlers decode, call a use case of `ca-core`, and encode; rules live below.

pub(crate) mod api;
pub(crate) mod client_verifier;
pub(crate) mod connection;
pub(crate) mod layers;
pub(crate) mod ops;
pub(crate) mod portal;
pub(crate) mod problem;
pub(crate) mod support;
pub(crate) mod tls;
pub(crate) mod validation;
