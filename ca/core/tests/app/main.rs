//! The use cases over fakes of every port: rules, refusals, faults before and after each commit, recovery.

mod account;
mod certify;
mod custody;
mod customers;
mod device;
mod erase;
mod faults;
mod login;
mod machines;
mod mail;
mod manage_users;
mod names;
mod open;
mod pki;
mod policies;
mod publish;
mod publishers;
mod reconcile;
mod rejudge;
mod renewal;
mod responder;
mod revoke;
mod staff;
mod tpm;
mod trust;
mod world;
