//! The pages. Each draws itself and says which page comes next.

pub(super) mod certificates;
pub(super) mod connection;
mod dialog;
pub(super) mod failed;
mod obtain;
mod obtained;
mod said;
mod saving;
mod start;
mod tokens;
pub(super) mod working;

use eframe::egui::Ui;

use self::{
    certificates::Holdings, connection::ConnectionForm, failed::Failed, obtain::Obtain, obtained::Obtained,
    tokens::ChangePin, working::Working,
};
use super::{app::Desk, progress::Progress};
use crate::{enrol::Outcome, erase::Erased, messages::Lang, token::TokenIdentity};

/// A page.
pub(super) enum Page {
    Start,
    Connection,
    Obtain(Box<Obtain>),
    Holdings(Box<Holdings>),
    ChangePin(Box<ChangePin>),
    Working(Box<Working>),
    Obtained(Box<Obtained>),
    PinChanged(TokenIdentity),
    Erased(Box<Erased>),
    Failed(Box<Failed>),
}

impl Page {
    pub(super) fn obtained(outcome: Outcome, progress: &Progress, lang: Lang) -> Self {
        Self::Obtained(Box::new(Obtained::new(outcome, progress, lang)))
    }

    /// Distinguishes where each page is scrolled to.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connection => "connection",
            Self::Obtain(_) => "obtain",
            Self::Holdings(_) => "holdings",
            Self::ChangePin(_) => "change-pin",
            Self::Working(_) => "working",
            Self::Obtained(_) => "obtained",
            Self::PinChanged(_) => "pin-changed",
            Self::Erased(_) => "erased",
            Self::Failed(_) => "failed",
        }
    }

    /// Draws the page; returns the one that comes next, if it is to be turned.
    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Self> {
        match self {
            Self::Start => start::show(ui, desk),
            Self::Connection => ConnectionForm::show(ui, desk),
            Self::Obtain(page) => page.show(ui, desk),
            Self::Holdings(page) => page.show(ui, desk),
            Self::ChangePin(page) => page.show(ui, desk),
            Self::Working(page) => page.show(ui, desk),
            Self::Obtained(page) => page.show(ui, desk),
            Self::PinChanged(token) => said::pin_changed(ui, desk, token),
            Self::Erased(erased) => said::erased(ui, desk, erased),
            Self::Failed(page) => page.show(ui, desk),
        }
    }
}
