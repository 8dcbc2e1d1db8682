//! What the authority and its signer say to each other over a Unix socket.
//!
//! One frame is a big-endian `u32` length and a CBOR body. Requests are pipelined: replies carry the request's number
//! and may arrive in any order. The signer is never handed a digest, only the to-be-signed structure, which it parses
//! and judges for itself.

pub mod client;
pub mod codec;
pub mod message;
pub mod record;
