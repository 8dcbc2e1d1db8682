//! Results that take no more than a sentence.

use eframe::egui::{RichText, Ui};

use super::Page;
use crate::{
    certificate::printable,
    erase::Erased,
    gui::{app::Desk, look},
    messages::{erased as erased_words, window::Word},
    token::TokenIdentity,
};

pub(super) fn pin_changed(ui: &mut Ui, desk: &Desk, token: &TokenIdentity) -> Option<Page> {
    let text = super::tokens::name(token, desk.lang);
    said(ui, desk, Word::PinChanged, &text)
}

pub(super) fn erased(ui: &mut Ui, desk: &Desk, erased: &Erased) -> Option<Page> {
    said(ui, desk, Word::Erase, &printable_lines(&erased_words(erased, desk.lang)))
}

/// Our own sentences, whose line ends are meant.
fn printable_lines(text: &str) -> String {
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
