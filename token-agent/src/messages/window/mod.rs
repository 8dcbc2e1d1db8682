//! The window's own words: titles, labels and hints, and remedies that speak of buttons where the catalogue's speak of
//! commands.

mod remedy;
mod stage;
mod tpm;
mod word;

pub(crate) use remedy::{explain_in_window, explain_route, finding_in_window};
pub(crate) use stage::Stage;
pub(crate) use tpm::explain_in_tpm;
pub(crate) use word::Word;
