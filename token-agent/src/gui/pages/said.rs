//! Results that take no more than a sentence.

use eframe::egui::{RichText, Ui};

use super::Page;
use crate::{
    certificate::printable,
    erase::Erased,
    farewell::Told,
    gui::{app::Desk, look},
    messages::{
        erased as erased_words, fate, told as told_words, unblocked as unblocked_words, window::Word,
    },
    renew::Retirement,
    token::TokenIdentity,
    unblock::Unblocked,
};

pub(super) fn pin_changed(ui: &mut Ui, desk: &Desk, token: &TokenIdentity) -> Option<Page> {
    let text = super::tokens::name(token, desk.lang);
    said(ui, desk, Word::PinChanged, &text)
}

pub(super) fn erased(ui: &mut Ui, desk: &Desk, erased: &Erased, told: Told) -> Option<Page> {
    let text = erased_words(erased, desk.lang) + &told_words(told, desk.lang);
    said(ui, desk, Word::Erase, &printable_lines(&text))
}

pub(super) fn unblocked(ui: &mut Ui, desk: &Desk, unblocked: &Unblocked) -> Option<Page> {
    said(ui, desk, Word::Unblock, &printable_lines(&unblocked_words(unblocked, desk.lang)))
}

pub(super) fn cleared_away(ui: &mut Ui, desk: &Desk, done: &[Retirement]) -> Option<Page> {
    let text: String = done.iter().map(|retirement| fate(retirement, desk.lang)).collect();
    said(ui, desk, Word::ClearAway, &printable_lines(&text))
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
