//! 「管理」→「利用者管理」: the master's list of general users, on the page, in print and as a file.

mod act;
mod acts;
mod csv;
mod list;
mod register;
mod show;

pub(super) use act::{form as act_form, submit as act};
pub(super) use csv::get as csv;
pub(super) use list::{Line, get as list, lines};
pub(super) use register::{form as register_form, submit as register};
pub(super) use show::get as show;
