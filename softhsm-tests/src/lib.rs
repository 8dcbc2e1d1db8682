//! Rigs of real stacks with emulated hardware, for end-to-end tests and the demo.
//!
//! Everything a rig starts is private to it (directories, ports, sockets, processes) and ends with it, so that tests
//! run in parallel. Nothing here changes the environment of the running process: what a stack needs to find a rig is
//! returned as pairs for the environment of child processes.

pub mod bank;
pub mod binaries;
pub mod browser;
pub mod card_client;
pub mod demo;
pub mod faults;
pub mod hsm;
pub mod kryoptic;
pub mod openssl;
pub mod pcscd;
pub mod ports;
pub mod postgres;
pub mod probe;
pub mod process;
mod reaper;
pub mod relay;
pub mod runbook;
pub mod scratch;
pub mod screen;
pub mod simulated_hsm;
pub mod smtp;
pub mod soak;
pub mod soft_pki;
pub mod softhsm;
pub mod squid;
pub mod swtpm;
pub mod virtual_yubikey;
pub mod wait;
pub mod yubikey;
