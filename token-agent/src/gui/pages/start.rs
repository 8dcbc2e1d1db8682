//! The start menu.

use eframe::egui::{RichText, Ui};

use super::{
    Page,
    certificates::{Holdings, Purpose},
    diagnosis::Diagnosis,
    erased::tell_now,
    obtain::Obtain,
    renew::Renew,
    tokens::ChangePin,
    unblock::Unblock,
};
use crate::{
    gui::{desk::Desk, look},
    messages::{say, window::Word},
};

pub(super) fn show(ui: &mut Ui, desk: &Desk) -> Option<Page> {
    look::title(ui, desk.word(Word::StartTitle));
    look::paragraph(ui, desk.word(Word::StartIntroduction));
    let mut next = None;
    if desk.untold > 0 {
        look::callout(ui, look::AMBER, |ui| {
            let count = desk.untold;
            let text = say!(
                desk.lang,
                "The bank doesn't know yet that {count} certificates were erased.",
                "消去した証明書({count}件)について、銀行への通知が済んでいません。"
            );
            look::status(ui, RichText::new(text));
            if look::secondary(ui, desk.word(Word::TellNow)).clicked() {
                next = Some(tell_now(desk));
            }
        });
    }
    if desk.to_revoke > 0 {
        look::callout(ui, look::AMBER, |ui| {
            let count = desk.to_revoke;
            let text = say!(
                desk.lang,
                "{count} certificates whose keys are erased are still to be revoked.",
                "鍵を消去した証明書({count}件)の失効を確認できていません。"
            );
            look::status(ui, RichText::new(text));
            if look::secondary(ui, desk.word(Word::LookAtRevocation)).clicked() {
                next = Some(tell_now(desk));
            }
        });
    }
    ui.add_space(10.0);
    let entries = [
        (Word::Obtain, Word::ObtainHint),
        (Word::Renew, Word::RenewHint),
        (Word::Certificates, Word::CertificatesHint),
        (Word::ChangePin, Word::ChangePinHint),
        (Word::Unblock, Word::UnblockHint),
        (Word::Erase, Word::EraseHint),
        (Word::Connection, Word::ConnectionHint),
        (Word::Diagnosis, Word::DiagnosisHint),
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
                Word::Renew => Page::Renew(Box::new(Renew::new(desk))),
                Word::Certificates => Page::Holdings(Box::new(Holdings::new(desk, Purpose::Read))),
                Word::Unblock => Page::Unblock(Box::new(Unblock::new(desk))),
                Word::ChangePin => Page::ChangePin(Box::new(ChangePin::new(desk))),
                Word::Erase => Page::Holdings(Box::new(Holdings::new(desk, Purpose::Erase))),
                Word::Diagnosis => Page::Diagnosis(Box::new(Diagnosis::new(desk))),
                _ => Page::connection(desk),
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
