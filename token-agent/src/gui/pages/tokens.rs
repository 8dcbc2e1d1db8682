//! Choosing a token: the list of what is connected, by itself up to date.

use eframe::egui::Ui;

use super::{
    Page,
    working::{Purpose, Working},
};
use crate::{
    certificate::printable,
    gui::{
        app::Desk,
        failure_words, look,
        work::{Ended, Job, News, Work, WorkError},
    },
    messages::{Label, Lang, window::Word},
    token::{Reader, ReaderState, TokenIdentity},
};

/// Between two looks, in seconds.
const PAUSE: f64 = 1.5;

/// The tokens to choose from.
pub(super) struct Tokens {
    looking: Option<Work>,
    looked: f64,
    /// The watch's count at that moment.
    seen: u64,
    readers: Option<Result<Vec<Reader>, WorkError>>,
    pub(super) chosen: Option<String>,
}

impl Tokens {
    pub(super) fn new(desk: &Desk) -> Self {
        Self {
            looking: Some(desk.start(Job::Look)),
            looked: 0.0,
            seen: desk.watch.changes(),
            readers: None,
            chosen: None,
        }
    }

    fn identities(&self) -> Vec<&TokenIdentity> {
        let readers = self.readers.iter().flatten().flatten();
        let tokens = readers.filter_map(|reader| match &reader.state {
            ReaderState::Token(identity) => Some(identity),
            _ => None,
        });
        tokens.collect()
    }

    fn hear(&mut self, now: f64) {
        let Some(looking) = &self.looking else { return };
        let ended = looking.news().find_map(|news| match news {
            News::Ended(ended) => Some(ended),
            _ => None,
        });
        let Some(ended) = ended else { return };
        self.looking = None;
        self.looked = now;
        self.readers = Some(ended.map(|ended| match ended {
            Ended::Looked(readers) => readers,
            _ => Vec::new(),
        }));
        let serials: Vec<String> = self.identities().iter().map(|token| token.serial.clone()).collect();
        self.chosen = self.chosen.take().filter(|chosen| serials.contains(chosen));
        if let [only] = serials.as_slice() {
            self.chosen = Some(only.clone());
        }
    }

    /// Draws the list.
    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) {
        let now = ui.input(|input| input.time);
        self.hear(now);
        let lang = desk.lang;
        ui.label(eframe::egui::RichText::new(Word::Token.text(lang)).strong());
        look::card(ui, |ui| {
            let tokens: Vec<TokenIdentity> = self.identities().into_iter().cloned().collect();
            match &self.readers {
                None => {
                    look::status(ui, Word::TokenLooking.text(lang).into());
                }
                Some(Err(error)) => {
                    let words = failure_words(error, lang);
                    look::status(ui, eframe::egui::RichText::new(words.what).color(look::RED));
                    look::hint(ui, &words.next);
                }
                Some(Ok(readers)) => {
                    if tokens.is_empty() {
                        look::status(ui, Word::TokenNone.text(lang).into());
                    } else if tokens.len() > 1 && self.chosen.is_none() {
                        look::status(ui, Word::TokenChoose.text(lang).into());
                    }
                    for reader in readers {
                        other(ui, reader, lang);
                    }
                }
            }
            for token in &tokens {
                let serial = Some(token.serial.clone());
                look::focusable(ui.radio_value(&mut self.chosen, serial, name(token, lang)));
            }
            if !tokens.is_empty() && look::focusable(ui.button(Word::Refresh.text(lang))).clicked() {
                self.looking.get_or_insert_with(|| desk.start(Job::Look));
            }
            // Something came or went.
            if self.looking.is_none() && self.seen != desk.watch.changes() {
                self.seen = desk.watch.changes();
                self.looking = Some(desk.start(Job::Look));
            }
            // What no reader tells of, such as a vendor's module, is looked for while there is nothing to choose from.
            if tokens.is_empty() && self.looking.is_none() {
                if now - self.looked > PAUSE {
                    self.looking = Some(desk.start(Job::Look));
                } else {
                    ui.ctx().request_repaint_after_secs(1.0);
                }
            }
        });
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
        Self { tokens: Tokens::new(desk) }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        look::title(ui, desk.word(Word::ChangePin));
        look::paragraph(ui, desk.word(Word::ChangePinHint));
        ui.add_space(8.0);
        self.tokens.show(ui, desk);
        let ready = self.tokens.chosen.is_some();
        let (next, back) = look::buttons(ui, |ui| {
            let next = look::primary(ui, desk.word(Word::Next), ready);
            if desk.fresh && ready {
                next.request_focus();
            }
            (next.clicked(), look::secondary(ui, desk.word(Word::Back)).clicked())
        });
        if next && let Some(token) = self.tokens.chosen.clone() {
            let work = desk.start(Job::ChangePin { token });
            return Some(Page::Working(Box::new(Working::new(work, Purpose::ChangePin))));
        }
        back.then_some(Page::Start)
    }
}
