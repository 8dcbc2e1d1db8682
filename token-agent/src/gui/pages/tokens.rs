//! Choosing a token, or this computer's TPM: the list of what is connected, by itself up to date.

use eframe::egui::{RichText, Ui};

use super::{
    Page,
    working::{Purpose, Working},
};
use crate::{
    certificate::{CertificateDetails, printable},
    enrol::{EnrolError, Failure},
    gui::{
        desk::Desk,
        failure_words, look,
        work::{Device, Ended, InTpm, Job, Work, WorkError},
    },
    messages::{Label, Lang, say, window::Word},
    token::{Reader, ReaderState, TokenError, TokenIdentity},
    tpm::Held,
};

/// Between two looks, in seconds.
const PAUSE: f64 = 1.5;

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Cards,
    /// Where a new key can be made.
    CardsAndTpm,
    /// What has a PIN.
    CardsAndTpmKeys,
}

/// The tokens to choose from.
pub(super) struct Tokens {
    offer: Offer,
    looking: Option<Work>,
    /// The TPM, which doesn't come and go, is asked once and when somebody wants it.
    asks_tpm: bool,
    looked: f64,
    /// The watch's count at that moment.
    seen: u64,
    readers: Option<Result<Vec<Reader>, WorkError>>,
    tpm: InTpm,
    pub(super) chosen: Option<Device>,
}

impl Tokens {
    pub(super) fn new(desk: &Desk, offer: Offer) -> Self {
        let mut tokens = Self {
            offer,
            looking: None,
            asks_tpm: false,
            looked: 0.0,
            seen: desk.watch.changes(),
            readers: None,
            tpm: None,
            chosen: None,
        };
        tokens.look(desk, true);
        tokens
    }

    fn look(&mut self, desk: &Desk, everything: bool) {
        if self.looking.is_none() {
            self.asks_tpm = everything
                && match self.offer {
                    Offer::Cards => false,
                    Offer::CardsAndTpm => desk.permits_tpm(),
                    Offer::CardsAndTpmKeys => true,
                };
            self.looking = Some(desk.start(Job::Look { tpm: self.asks_tpm }));
        }
    }

    fn cards(&self) -> Vec<&TokenIdentity> {
        let readers = self.readers.iter().flatten().flatten();
        let tokens = readers.filter_map(|reader| match &reader.state {
            ReaderState::Token(identity) => Some(identity),
            _ => None,
        });
        tokens.collect()
    }

    /// What can be chosen, with what people know it by.
    fn devices(&self, lang: Lang) -> Vec<(Device, String)> {
        let cards = self.cards().into_iter();
        let mut devices: Vec<(Device, String)> =
            cards.map(|token| (Device::Card(token.serial.clone()), name(token, lang))).collect();
        if let Some(Ok(held)) = &self.tpm {
            if self.offer == Offer::CardsAndTpm {
                devices.push((Device::Tpm, Word::Tpm.text(lang).to_owned()));
            } else {
                let keys = held.iter().filter_map(|held| Some((held.key.as_ref()?.place, held)));
                devices.extend(keys.map(|(place, held)| (Device::TpmKey(place), key_name(held, lang))));
            }
        }
        devices
    }

    /// Whether there was one choice, which was made.
    fn hear(&mut self, now: f64, lang: Lang) -> bool {
        let Some(ended) = self.looking.as_ref().and_then(Work::ended) else { return false };
        self.looking = None;
        self.looked = now;
        match ended {
            Ok(Ended::Looked(looked)) => {
                self.readers = Some(looked.readers);
                if self.asks_tpm {
                    self.tpm = looked.tpm;
                }
            }
            Ok(_) => {}
            Err(error) => self.readers = Some(Err(error)),
        }
        let devices = self.devices(lang);
        self.chosen = self.chosen.take().filter(|chosen| devices.iter().any(|(device, _)| device == chosen));
        // A key is made in this computer only when somebody wants that.
        let obvious: Vec<Device> =
            devices.into_iter().map(|(device, _)| device).filter(|device| *device != Device::Tpm).collect();
        match obvious.as_slice() {
            [only] if self.chosen.is_none() => {
                self.chosen = Some(only.clone());
                true
            }
            _ => false,
        }
    }

    /// Draws the list; whether the only token was chosen just now.
    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> bool {
        let now = ui.input(|input| input.time);
        let lang = desk.lang;
        let obvious = self.hear(now, lang);
        ui.label(RichText::new(Word::Token.text(lang)).strong());
        look::card(ui, |ui| {
            let devices = self.devices(lang);
            self.state(ui, devices.len(), lang);
            for (device, name) in &devices {
                let chosen = Some(device.clone());
                look::focusable(ui.radio_value(&mut self.chosen, chosen, name));
                if *device == Device::Tpm {
                    look::hint(ui, Word::TpmHint.text(lang));
                }
            }
            if !devices.is_empty() && look::focusable(ui.button(Word::Refresh.text(lang))).clicked() {
                self.look(desk, true);
            }
            // Something came or went.
            if self.looking.is_none() && self.seen != desk.watch.changes() {
                self.seen = desk.watch.changes();
                self.look(desk, false);
            }
            // What no reader tells of, such as a vendor's module, is looked for while there is no token.
            if self.cards().is_empty() && self.looking.is_none() {
                if now - self.looked > PAUSE {
                    self.look(desk, false);
                } else {
                    ui.ctx().request_repaint_after_secs(1.0);
                }
            }
        });
        obvious
    }

    /// Draws what there is to say of what can be chosen, or why nothing can.
    fn state(&self, ui: &mut Ui, count: usize, lang: Lang) {
        match &self.readers {
            None => {
                look::status(ui, Word::TokenLooking.text(lang).into());
            }
            // Who uses the TPM needs no smart-card service.
            Some(Err(WorkError::Flow(failure))) if count > 0 && is_no_service(failure) => {}
            Some(Err(error)) => {
                let words = failure_words(error, lang);
                look::status(ui, RichText::new(words.what).color(look::RED));
                look::hint(ui, &words.next);
            }
            Some(Ok(readers)) => {
                if self.cards().is_empty() {
                    look::status(ui, Word::TokenNone.text(lang).into());
                } else if count > 1 && self.chosen.is_none() {
                    look::status(ui, Word::TokenChoose.text(lang).into());
                }
                for reader in readers {
                    other(ui, reader, lang);
                }
            }
        }
        // Why the TPM isn't there interests whoever has nothing else.
        if let (Some(Err(error)), true) = (&self.tpm, count == 0) {
            let words = failure_words(error, lang);
            look::hint(ui, &format!("{}: {} {}", Word::Tpm.text(lang), words.what, words.next));
        }
    }
}

/// Whether all that is wrong is that there is no smart-card service.
pub(super) fn is_no_service(failure: &Failure) -> bool {
    matches!(failure.error, EnrolError::Token(TokenError::NoService(_)))
}

/// What people know a key in the TPM by.
pub(super) fn key_name(held: &Held, lang: Lang) -> String {
    let number = held.place().map(|place| place.to_string()).unwrap_or_default();
    let tpm = Word::Tpm.text(lang);
    let key = say!(lang, "{tpm}, key {number}", "{tpm} 鍵{number}");
    let details = held.entry.as_ref().and_then(|entry| CertificateDetails::read(&entry.certificate).ok());
    match details.and_then(|details| details.user_id) {
        Some(user_id) => format!("{key}  ({})", printable(&user_id)),
        None => key,
    }
}

/// What people know a token by.
pub(super) fn name(token: &TokenIdentity, lang: Lang) -> String {
    let (label, serial) = (Label::TokenSerial.text(lang), printable(&token.serial));
    format!("{}  {label} {serial}", printable(&token.model()))
}

fn other(ui: &mut Ui, reader: &Reader, lang: Lang) {
    let word = match reader.state {
        ReaderState::Foreign => Word::ForeignCard,
        ReaderState::Busy => Word::BusyCard,
        ReaderState::Mute => Word::MuteCard,
        ReaderState::Empty | ReaderState::Token(_) => return,
    };
    look::hint(ui, &format!("{}: {}", printable(&reader.name), word.text(lang)));
}

/// PINの変更.
pub(in crate::gui) struct ChangePin {
    tokens: Tokens,
}

impl ChangePin {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        Self { tokens: Tokens::new(desk, Offer::CardsAndTpmKeys) }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        look::title(ui, desk.word(Word::ChangePin));
        look::paragraph(ui, desk.word(Word::ChangePinHint));
        ui.add_space(8.0);
        let obvious = self.tokens.show(ui, desk);
        let ready = self.tokens.chosen.is_some();
        let (next, back) = look::buttons(ui, |ui| {
            let next = look::primary(ui, desk.word(Word::Next), ready);
            let back = look::secondary(ui, desk.word(Word::Back));
            // Where there is one token, Enter goes on as soon as it is seen.
            if obvious {
                next.request_focus();
            } else if desk.fresh {
                back.request_focus();
            }
            (next.clicked(), back.clicked())
        });
        if next && let Some(device) = self.tokens.chosen.clone() {
            let in_tpm = device.is_tpm();
            let work = desk.start(Job::ChangePin { device });
            return Some(Page::Working(Box::new(Working::new(work, Purpose::ChangePin, in_tpm))));
        }
        back.then_some(Page::Start)
    }
}
