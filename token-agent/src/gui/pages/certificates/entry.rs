//! A certificate or a key, where it is, and what can be done about it.

use eframe::egui::{Color32, RichText, Ui};
use jiff::Timestamp;

use super::{Purpose, Target};
use crate::{
    certificate::{CertificateDetails, ValidityState, local_time, printable},
    gui::{
        desk::Desk,
        look,
        pages::{saving::Saving, tokens},
    },
    messages::{Explanation, Label, Lang, rows, window::Word, window::explain_in_tpm},
    token::{Slot, TokenIdentity},
    tpm::Held,
};

/// Where it is.
pub(super) enum Seat {
    Slot(TokenIdentity, Slot),
    Tpm(Box<Held>),
}

/// What stands there.
pub(super) enum Content {
    Certificate(Box<CertificateDetails>),
    /// Octets that somebody else wrote.
    Unreadable,
    OnlyKey,
}

/// What a seat holds.
pub(super) struct Entry {
    seat: Seat,
    pub(super) content: Content,
    der: Vec<u8>,
    open: Option<Saving>,
}

impl Seat {
    /// In people's words.
    fn name(&self, lang: Lang) -> String {
        match self {
            Self::Slot(token, slot) => {
                format!("{}  {} {slot}", tokens::name(token, lang), Label::Slot.text(lang))
            }
            Self::Tpm(held) => tokens::key_name(held, lang),
        }
    }

    /// Why a certificate is of no use, though it is there.
    fn trouble(&self, lang: Lang) -> Option<Explanation> {
        match self {
            Self::Slot(..) => None,
            Self::Tpm(held) => explain_in_tpm(held, lang),
        }
    }
}

impl Entry {
    pub(super) fn new(seat: Seat, certificate: Option<Vec<u8>>) -> Self {
        let content = match certificate.as_deref().map(CertificateDetails::read) {
            Some(Ok(details)) => Content::Certificate(Box::new(details)),
            Some(Err(_)) => Content::Unreadable,
            None => Content::OnlyKey,
        };
        Self { seat, content, der: certificate.unwrap_or_default(), open: None }
    }

    pub(super) fn target(&self) -> Target {
        match &self.seat {
            Seat::Slot(token, slot) => Target::Slot(token.serial.clone(), *slot),
            Seat::Tpm(held) => Target::TpmKey(held.place()),
        }
    }

    /// Draws the entry; whether it is to be erased.
    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk, purpose: Purpose) -> bool {
        let lang = desk.lang;
        let trouble = self.seat.trouble(lang);
        let (mut colour, title, state) = self.summary(desk);
        if trouble.is_some() {
            colour = look::RED;
        }
        look::callout(ui, colour, |ui| {
            ui.label(RichText::new(title).size(17.0));
            if let Some(trouble) = trouble {
                look::paragraph_in(ui, RichText::new(trouble.what).color(colour));
                look::paragraph(ui, &trouble.next);
            } else if let Some(state) = state {
                look::paragraph_in(ui, RichText::new(state).color(colour));
            }
            look::hint(ui, &self.seat.name(lang));
            if purpose == Purpose::Erase {
                let erase = |ui: &mut Ui| look::destructive(ui, desk.word(Word::EraseButton), true);
                return ui.horizontal(erase).inner.clicked();
            }
            if let Content::Certificate(details) = &self.content {
                let word = if self.open.is_some() { Word::FewerDetails } else { Word::Details };
                if look::secondary(ui, desk.word(word)).clicked() {
                    let user_id = details.user_id.clone().unwrap_or_default();
                    self.open = match self.open {
                        Some(_) => None,
                        None => Some(Saving::new(self.der.clone(), user_id)),
                    };
                }
                if let Some(saving) = &mut self.open {
                    for (label, value) in rows(details) {
                        look::row(ui, label.text(lang), &value);
                    }
                    saving.show(ui, desk);
                }
            }
            false
        })
    }

    /// The colour of its state, a name, and the state in words.
    fn summary(&self, desk: &Desk) -> (Color32, String, Option<String>) {
        match &self.content {
            Content::OnlyKey => (look::AMBER, desk.word(Word::NoCertificate).to_owned(), None),
            Content::Unreadable => (look::AMBER, desk.word(Word::Unreadable).to_owned(), None),
            Content::Certificate(details) => {
                let now = Timestamp::now();
                let state = details.state(now);
                let colour = match state {
                    ValidityState::Valid => look::GREEN,
                    ValidityState::Expiring | ValidityState::NotYetValid => look::AMBER,
                    ValidityState::Expired => look::RED,
                };
                let name = details.name.as_deref().unwrap_or(&details.subject);
                let title = match &details.user_id {
                    Some(user_id) => format!("{} ({})", printable(name), printable(user_id)),
                    None => printable(name),
                };
                let until = format!(
                    "{}  {}: {}",
                    state.text(desk.lang, details.days_left(now)),
                    Label::NotAfter.text(desk.lang),
                    local_time(details.not_after)
                );
                (colour, title, Some(until))
            }
        }
    }
}
