//! Rigs of real stacks with emulated hardware, for end-to-end tests and the demo.
//!
//! Everything a rig starts is private to it (directories, ports, sockets, processes) and ends with it, so that tests
//! run in parallel. Nothing here changes the environment of the running process: what a stack needs to find a rig is
//! returned as pairs for the environment of child processes.

pub mod virtual_yubikey;
