//! Results that take no more than a sentence.

use eframe::egui::{RichText, Ui};

use super::Page;
use crate::{
    certificate::printable,
    gui::{desk::Desk, look, work::Changed},
    messages::{fate, say, unblocked as unblocked_words, window::Word},
    renew::Retirement,
    unblock::Unblocked,
};

pub(super) fn pin_changed(ui: &mut Ui, desk: &Desk, changed: &Changed) -> Option<Page> {
    let text = match changed {
        Changed::Card(token) => super::tokens::name(token, desk.lang),
        Changed::TpmKey(place) => {
            let tpm = desk.word(Word::Tpm);
            say!(desk.lang, "{tpm}, key {place}", "{tpm} 鍵{place}")
        }
    };
    said(ui, desk, Word::PinChanged, &text)
}

pub(super) fn unblocked(ui: &mut Ui, desk: &Desk, unblocked: &Unblocked) -> Option<Page> {
    said(ui, desk, Word::Unblock, &printable_lines(&unblocked_words(unblocked, desk.lang)))
}

pub(super) fn cleared_away(ui: &mut Ui, desk: &Desk, done: &[Retirement]) -> Option<Page> {
    let text: String = done.iter().map(|retirement| fate(retirement, desk.lang)).collect();
    said(ui, desk, Word::ClearAway, &printable_lines(&text))
}

/// Our own sentences, whose line ends are meant.
pub(super) fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn said(ui: &mut Ui, desk: &Desk, title: Word, text: &str) -> Option<Page> {
    look::title(ui, desk.word(title));
    look::callout(ui, look::GREEN, |ui| look::status(ui, RichText::new(text)));
    let close = look::buttons(ui, |ui| {
        let close = look::primary(ui, desk.word(Word::Close), true);
        if desk.fresh {
            close.request_focus();
        }
        close.clicked()
    });
    close.then_some(Page::Start)
}
