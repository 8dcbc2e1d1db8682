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
    let mut next = left_to_do(ui, desk).then(|| tell_now(desk));
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

/// Draws what the bank doesn't know yet of keys that were erased; whether something shall be done about it now.
fn left_to_do(ui: &mut Ui, desk: &Desk) -> bool {
    let (untold, to_revoke) = (desk.untold, desk.to_revoke);
    let mut wanted = false;
    if untold > 0 {
        let text = say!(
            desk.lang,
            "The bank doesn't know yet that {untold} certificates were erased.",
            "消去した証明書({untold}件)について、銀行への通知が済んでいません。"
        );
        wanted |= reminder(ui, text, desk.word(Word::TellNow));
    }
    if to_revoke > 0 {
        let text = say!(
            desk.lang,
            "{to_revoke} certificates whose keys are erased are still to be revoked.",
            "鍵を消去した証明書({to_revoke}件)の失効を確認できていません。"
        );
        wanted |= reminder(ui, text, desk.word(Word::LookAtRevocation));
    }
    wanted
}

fn reminder(ui: &mut Ui, text: String, button: &str) -> bool {
    look::callout(ui, look::AMBER, |ui| {
        look::status(ui, RichText::new(text));
        look::secondary(ui, button).clicked()
    })
}
