//! The staff console over real TLS: who comes in, what one person does alone, what takes two, and what auditors see.

#[path = "../customers/mod.rs"]
mod customers;
#[path = "../staff_house/mod.rs"]
mod staff_house;

mod approvals;
mod console;
mod desk;
mod identity;
mod pages;
