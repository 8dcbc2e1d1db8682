//! The start menu.

use eframe::egui::Ui;

use super::{
    Page,
    certificates::{Holdings, Purpose},
    obtain::Obtain,
    tokens::ChangePin,
};
use crate::{
    gui::{app::Desk, look},
    messages::window::Word,
};

pub(super) fn show(ui: &mut Ui, desk: &Desk) -> Option<Page> {
    look::title(ui, desk.word(Word::StartTitle));
    look::paragraph(ui, desk.word(Word::StartIntroduction));
    ui.add_space(10.0);
    let mut next = None;
    let entries = [
        (Word::Obtain, Word::ObtainHint),
        (Word::Certificates, Word::CertificatesHint),
        (Word::ChangePin, Word::ChangePinHint),
        (Word::Erase, Word::EraseHint),
        (Word::Connection, Word::ConnectionHint),
    ];
    for (word, hint) in entries {
        let main = word == Word::Obtain;
        let response = look::entry(ui, desk.word(word), desk.word(hint), main);
        if desk.fresh && main {
            response.request_focus();
        }
        if response.clicked() {
            next = Some(match word {
                Word::Obtain => Page::Obtain(Box::new(Obtain::new(desk))),
                Word::Certificates => Page::Holdings(Box::new(Holdings::new(desk, Purpose::Read))),
                Word::ChangePin => Page::ChangePin(Box::new(ChangePin::new(desk))),
                Word::Erase => Page::Holdings(Box::new(Holdings::new(desk, Purpose::Erase))),
                _ => Page::Connection,
            });
        }
    }
    look::buttons(ui, |ui| {
        if look::secondary(ui, desk.word(Word::Quit)).clicked() {
            desk.close_window();
        }
    });
    next
}
