//! What went wrong, what to do next, and the support code.

use eframe::egui::{RichText, Ui};
use jiff::Timestamp;

use super::{Page, working::Purpose};
use crate::{
    enrol::EnrolError,
    gui::{desk::Desk, failure_words, look, support::Support, work::WorkError},
    messages::window::Word,
    route::RouteError,
    secret::SecretError,
    server::ServerError,
    unblock::UnblockError,
};

/// A failure.
pub(in crate::gui) struct Failed {
    error: WorkError,
    purpose: Purpose,
    support: Support,
    copied: bool,
}

impl Failed {
    /// `None` when the person themselves ended it.
    pub(in crate::gui) fn of(error: WorkError, purpose: Purpose) -> Option<Self> {
        let declined = match &error {
            WorkError::Flow(failure) => matches!(failure.error, EnrolError::Secret(SecretError::Declined)),
            WorkError::Route(error) => matches!(error, RouteError::Secret(SecretError::Declined)),
            _ => false,
        };
        if declined {
            return None;
        }
        let support = Support::of(&error, Timestamp::now());
        Some(Self { error, purpose, support, copied: false })
    }

    /// Whether the settings of the connection may be what is wrong.
    fn is_about_the_connection(&self) -> bool {
        match &self.error {
            WorkError::Route(error) => !matches!(error, RouteError::Secret(_) | RouteError::Fixed(_)),
            WorkError::Flow(failure) => {
                matches!(&failure.error, EnrolError::Server(error) if !matches!(error, ServerError::Refused(_)))
            }
            _ => false,
        }
    }

    /// Whether somebody else has to approve first.
    fn waits(&self) -> bool {
        let WorkError::Flow(failure) = &self.error else { return false };
        matches!(failure.error, EnrolError::Unblock(UnblockError::Waiting { .. }))
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        let words = failure_words(&self.error, desk.lang);
        // Who goes on later hasn't failed.
        let (title, colour) = if self.waits() {
            (Word::UnblockWaitingTitle, look::AMBER)
        } else {
            (Word::FailedTitle, look::RED)
        };
        look::title(ui, desk.word(title));
        look::callout(ui, colour, |ui| {
            look::status(ui, RichText::new(&words.what).size(18.0).color(colour));
            look::paragraph(ui, &words.next);
        });
        if matches!(&self.error, WorkError::Flow(failure) if failure.resumable) {
            look::callout(ui, look::GREEN, |ui| look::paragraph(ui, desk.word(Word::Resumable)));
        }
        look::card(ui, |ui| {
            look::row(ui, desk.word(Word::SupportCode), &self.support.code);
            look::hint(ui, desk.word(Word::SupportHint));
            ui.horizontal(|ui| {
                if look::focusable(ui.button(desk.word(Word::CopySupport))).clicked() {
                    ui.ctx().copy_text(self.support.text.clone());
                    self.copied = true;
                }
                if self.copied {
                    look::status(ui, RichText::new(desk.word(Word::Copied)).color(look::GREEN));
                }
            });
        });
        self.buttons(ui, desk)
    }

    fn buttons(&self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        let (again, connection, close) = look::buttons(ui, |ui| {
            let again = look::primary(ui, desk.word(Word::Again), true);
            if desk.fresh {
                again.request_focus();
            }
            let connection =
                self.is_about_the_connection() && look::secondary(ui, desk.word(Word::Connection)).clicked();
            (again.clicked(), connection, look::secondary(ui, desk.word(Word::Close)).clicked())
        });
        if again {
            return Some(self.purpose.begin(desk));
        }
        if connection {
            return Some(Page::connection(desk));
        }
        close.then_some(Page::Start)
    }
}
