//! Bringing one's own HSM: vendor profiles, the doctor, the inventory and the benchmark, as an operator runs them.

mod bench;
mod doctor;
mod keys;
mod profiles;
mod rig;
