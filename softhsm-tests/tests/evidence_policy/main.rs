//! A policy of its own for each contract: virtual YubiKeys that fit and that don't, by their exact refusals; who binds
//! how; what a policy would have refused; two operators at once; and the tokens that the bank knows.

mod binding;
mod contracts;
mod fleet;
mod inventory;
mod operators;
mod rig;
