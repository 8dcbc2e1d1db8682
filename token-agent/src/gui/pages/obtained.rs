//! The result: the certificate's details in the words that the browser's choice of certificates shows, to be saved and
//! printed.

use eframe::egui::{RichText, Ui};

use super::Page;
#[cfg(target_os = "linux")]
use super::browsers::Browsers;
use crate::{
    certificate::CertificateDetails,
    enrol::{Outcome, Place},
    gui::{desk::Desk, look, pages::saving::Saving, progress::Progress},
    messages::{Lang, rows, window::Word},
};

/// The result.
pub(in crate::gui) struct Obtained {
    details: Option<CertificateDetails>,
    notes: Vec<String>,
    saving: Saving,
    title: Word,
    next: Word,
    #[cfg(target_os = "linux")]
    browsers: Option<Browsers>,
}

impl Obtained {
    pub(super) fn new(outcome: Outcome, progress: &Progress, lang: Lang) -> Self {
        let details = CertificateDetails::read(&outcome.certificate).ok();
        let in_tpm = matches!(outcome.place, Place::Tpm { .. });
        let user_id = details.as_ref().and_then(|details| details.user_id.clone()).unwrap_or_default();
        Self {
            details,
            notes: progress.notes(lang).collect(),
            saving: Saving::new(outcome.certificate, user_id),
            title: if in_tpm { Word::DoneTitleTpm } else { Word::DoneTitle },
            next: Word::DoneBrowsers,
            #[cfg(target_os = "linux")]
            browsers: in_tpm.then(Browsers::default),
        }
    }

    pub(super) fn renewed(outcome: Outcome, progress: &Progress, lang: Lang) -> Self {
        let obtained = Self::new(outcome, progress, lang);
        Self { title: Word::RenewedTitle, next: Word::RenewedBrowsers, ..obtained }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        look::title(ui, desk.word(self.title));
        look::callout(ui, look::GREEN, |ui| {
            look::status(ui, RichText::new(desk.word(self.next)));
        });
        if let Some(details) = &self.details {
            look::card(ui, |ui| {
                for (label, value) in rows(details) {
                    look::row(ui, label.text(desk.lang), &value);
                }
            });
        }
        if !self.notes.is_empty() {
            look::callout(ui, look::AMBER, |ui| {
                ui.label(RichText::new(desk.word(Word::Noted)).strong());
                for note in &self.notes {
                    look::paragraph(ui, note);
                }
            });
        }
        #[cfg(target_os = "linux")]
        if let Some(browsers) = &mut self.browsers {
            browsers.show(ui, desk);
        }
        self.saving.show(ui, desk);
        let close = look::buttons(ui, |ui| {
            let close = look::primary(ui, desk.word(Word::Close), true);
            if desk.fresh {
                close.request_focus();
            }
            close.clicked()
        });
        close.then_some(Page::Start)
    }
}
