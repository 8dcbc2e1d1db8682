//! The ceremonies' suite on kryoptic: the same sources as `ceremony`, which find out by this target's name.

#[path = "ceremony/main.rs"]
mod suite;
