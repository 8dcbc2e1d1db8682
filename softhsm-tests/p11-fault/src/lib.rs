//! A PKCS#11 module for tests that wraps a real one and makes it behave like an HSM at the other end of a network.
//! It is never a part of Inro; a signer loads it where a test's configuration names it as its module.
//!
//! Every function of PKCS#11 2.40 goes through one place, [`device::Device::pass`], to the real module. Signing also
//! goes through the [`lanes`]: it holds its caller for the latency, without using the processor, and no more signatures
//! are in progress than the device has lanes.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `P11_FAULT_MODULE` | the real module's path |
//! | `P11_FAULT_SETTINGS` | the [`settings`], JSON; by default the device is as fast as the module |
//! | `P11_FAULT_CONTROL` | a Unix socket to make, for changing the settings and reading the counters ([`control`]) |
//!
//! Settings that were changed over the socket are kept beside it, in a file with `.settings` added to its name: a
//! process that loads the module after the present one died finds the device as it was left.

mod control;
mod device;
mod lanes;
mod module;
mod settings;
mod table;
