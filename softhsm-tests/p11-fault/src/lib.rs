//! A PKCS#11 module for tests that wraps a real one and makes it behave like an HSM at the other end of a network, and
//! fail as HSMs do. It is never a part of Inro; a signer loads it where a test's configuration names it as its module.
//!
//! Every function of PKCS#11 2.40 goes through one place, [`device::Device::pass`], to the real module. There a call is
//! counted, and there a fault strikes: a return value, a hang, the process's death. Signing also goes through the
//! [`lanes`]: it holds its caller for the latency, without using the processor, and no more signatures are in progress
//! than the device has lanes.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `P11_FAULT_MODULE` | the real module's path |
//! | `P11_FAULT_SETTINGS` | the [`settings`], JSON; by default the device is as fast as the module |
//! | `P11_FAULT_CONTROL` | a Unix socket to make, for faults, settings and counters: the commands are in [`control`] |
//!
//! What was changed over the socket is kept beside it, in a file with `.state` added to its name: a process that loads
//! the module after the present one died finds the device as it was left. Who finds no process at the socket may leave
//! a line with a change in the file with `.pending` added, holding a lock on that with `.lock` while looking and
//! leaving.
//!
//! `functions` ← `real` ← `device` ← `forward` ← `module`: each knows those before it. `control` reads what is asked for, and
//! knows nothing of who does it.

mod code;
mod control;
mod device;
mod faults;
mod forward;
mod functions;
mod lanes;
mod module;
mod real;
mod sessions;
mod settings;
mod state;
