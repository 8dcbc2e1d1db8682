//! The pages. Each draws itself and says which page comes next.

#[cfg(target_os = "linux")]
mod browsers;
pub(super) mod certificates;
mod connection;
mod diagnosis;
mod dialog;
mod erased;
pub(super) mod failed;
mod obtain;
mod obtained;
mod renew;
mod said;
mod saving;
mod start;
mod tokens;
mod unblock;
pub(super) mod working;

use eframe::egui::Ui;

use self::{
    certificates::Holdings, connection::ConnectionForm, diagnosis::Diagnosis, erased::Erased, failed::Failed,
    obtain::Obtain, obtained::Obtained, renew::Renew, tokens::ChangePin, unblock::Unblock, working::Working,
};
use super::{desk::Desk, progress::Progress, work::Changed};
use crate::{
    enrol::Outcome, erase::Gone, farewell::Telling, messages::Lang, renew::Retirement, unblock::Unblocked,
};

/// A page.
pub(super) enum Page {
    Start,
    Connection(Box<ConnectionForm>),
    Diagnosis(Box<Diagnosis>),
    Obtain(Box<Obtain>),
    Renew(Box<Renew>),
    Holdings(Box<Holdings>),
    ChangePin(Box<ChangePin>),
    Unblock(Box<Unblock>),
    Working(Box<Working>),
    Obtained(Box<Obtained>),
    PinChanged(Changed),
    Erased(Box<Erased>),
    Unblocked(Box<Unblocked>),
    ClearedAway(Vec<Retirement>),
    Failed(Box<Failed>),
}

impl Page {
    pub(super) fn connection(desk: &Desk) -> Self {
        Self::Connection(Box::new(ConnectionForm::of(&desk.route)))
    }

    pub(super) fn obtained(outcome: Outcome, progress: &Progress, lang: Lang) -> Self {
        Self::Obtained(Box::new(Obtained::new(outcome, progress, lang)))
    }

    pub(super) fn renewed(outcome: Outcome, progress: &Progress, lang: Lang) -> Self {
        Self::Obtained(Box::new(Obtained::renewed(outcome, progress, lang)))
    }

    pub(super) fn erased(gone: Gone, told: Telling) -> Self {
        Self::Erased(Box::new(Erased::new(gone, told)))
    }

    /// Distinguishes where each page is scrolled to.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connection(_) => "connection",
            Self::Diagnosis(_) => "diagnosis",
            Self::Obtain(_) => "obtain",
            Self::Renew(_) => "renew",
            Self::Holdings(_) => "holdings",
            Self::ChangePin(_) => "change-pin",
            Self::Unblock(_) => "unblock",
            Self::Unblocked(_) => "unblocked",
            Self::Working(_) => "working",
            Self::Obtained(_) => "obtained",
            Self::PinChanged(_) => "pin-changed",
            Self::Erased(_) => "erased",
            Self::ClearedAway(_) => "cleared-away",
            Self::Failed(_) => "failed",
        }
    }

    /// Draws the page; returns the one that comes next, if it is to be turned.
    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Self> {
        match self {
            Self::Start => start::show(ui, desk),
            Self::Connection(form) => form.show(ui, desk),
            Self::Diagnosis(page) => page.show(ui, desk),
            Self::Obtain(page) => page.show(ui, desk),
            Self::Renew(page) => page.show(ui, desk),
            Self::Holdings(page) => page.show(ui, desk),
            Self::ChangePin(page) => page.show(ui, desk),
            Self::Unblock(page) => page.show(ui, desk),
            Self::Unblocked(unblocked) => said::unblocked(ui, desk, unblocked),
            Self::Working(page) => page.show(ui, desk),
            Self::Obtained(page) => page.show(ui, desk),
            Self::PinChanged(changed) => said::pin_changed(ui, desk, changed),
            Self::Erased(page) => page.show(ui, desk),
            Self::ClearedAway(done) => said::cleared_away(ui, desk, done),
            Self::Failed(page) => page.show(ui, desk),
        }
    }
}
