//! 証明書の確認 and 証明書の消去: what the connected tokens and this computer's TPM hold.

mod entry;

use eframe::egui::{RichText, Ui};

use self::entry::{Content, Entry, Seat};
use super::{
    Page, tokens,
    working::{Purpose as WorkPurpose, Working},
};
use crate::{
    certificate::printable,
    gui::{
        desk::Desk,
        failure_words, look,
        work::{Contents, Ended, Job, Target, Work, WorkError},
    },
    messages::{explain_token, window::Word},
    token::{Kind, ReaderState, TokenError, TokenIdentity},
    tpm::Held,
};

/// What the page was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gui) enum Purpose {
    Read,
    Erase,
}

/// What was found.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    unreadable: Vec<(TokenIdentity, TokenError)>,
    /// Tokens that can be reset as a whole.
    resettable: Vec<TokenIdentity>,
    tokens: usize,
    /// What hides the cards, or the TPM.
    errors: Vec<WorkError>,
}

/// The page.
pub(in crate::gui) struct Holdings {
    purpose: Purpose,
    looking: Option<Work>,
    found: Option<Found>,
}

impl Holdings {
    pub(in crate::gui) fn new(desk: &Desk, purpose: Purpose) -> Self {
        Self { purpose, looking: Some(desk.start(Job::Survey)), found: None }
    }

    fn hear(&mut self) {
        let Some(ended) = self.looking.as_ref().and_then(Work::ended) else { return };
        self.looking = None;
        self.found = Some(match ended {
            Ok(Ended::Surveyed(contents)) => Found::of(*contents, self.purpose),
            Ok(_) => Found::default(),
            Err(error) => Found { errors: vec![error], ..Found::default() },
        });
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        self.hear();
        let erases = self.purpose == Purpose::Erase;
        look::title(ui, desk.word(if erases { Word::Erase } else { Word::Certificates }));
        if erases {
            look::callout(ui, look::AMBER, |ui| look::paragraph(ui, desk.word(Word::EraseIntroduction)));
        }
        let mut target = None;
        match &mut self.found {
            None => {
                look::status(ui, desk.word(Word::TokenLooking).into());
            }
            Some(found) => target = found.show(ui, desk, self.purpose),
        }
        if let Some(target) = target {
            let in_tpm = matches!(target, Target::TpmKey(_));
            let work = desk.start(Job::Erase { target, route: desk.route.clone() });
            return Some(Page::Working(Box::new(Working::new(work, WorkPurpose::Erase, in_tpm))));
        }
        let (back, again) = look::buttons(ui, |ui| {
            let back = look::secondary(ui, desk.word(Word::Back));
            if desk.fresh {
                back.request_focus();
            }
            (back.clicked(), look::secondary(ui, desk.word(Word::Refresh)).clicked())
        });
        if again {
            *self = Self::new(desk, self.purpose);
        }
        back.then_some(Page::Start)
    }
}

impl Found {
    fn of(contents: Contents, purpose: Purpose) -> Self {
        let mut found = Self::default();
        match contents.cards {
            Ok(surveyed) => {
                for surveyed in surveyed {
                    let ReaderState::Token(token) = surveyed.reader.state else { continue };
                    found.tokens += 1;
                    if token.kind == Kind::YubiKeyPiv {
                        found.resettable.push(token.clone());
                    }
                    match surveyed.report {
                        Some(Ok(report)) => {
                            let entries = report.occupied.into_iter();
                            found.entries.extend(entries.map(|(slot, state)| {
                                Entry::new(Seat::Slot(token.clone(), slot), state.certificate)
                            }));
                        }
                        Some(Err(error)) => found.unreadable.push((token, error)),
                        None => {}
                    }
                }
            }
            Err(error) => found.errors.push(error),
        }
        match contents.tpm {
            Some(Ok(held)) => found.entries.extend(held.into_iter().map(of_tpm)),
            // Who has a token needs no TPM.
            Some(Err(error)) if found.tokens == 0 => found.errors.push(error),
            _ => {}
        }
        if purpose == Purpose::Read {
            found.entries.retain(|entry| !matches!(entry.content, Content::OnlyKey));
        }
        if !found.entries.is_empty() {
            found.errors.retain(|error| !is_no_service(error));
        }
        found
    }

    /// Draws it; what is to be erased, if something is.
    fn show(&mut self, ui: &mut Ui, desk: &Desk, purpose: Purpose) -> Option<Target> {
        let lang = desk.lang;
        for error in &self.errors {
            let words = failure_words(error, lang);
            look::callout(ui, look::RED, |ui| {
                look::status(ui, RichText::new(words.what).color(look::RED));
                look::paragraph(ui, &words.next);
            });
        }
        if let Some(word) = self.lack(purpose) {
            look::card(ui, |ui| look::status(ui, desk.word(word).into()));
        }
        for (token, error) in &self.unreadable {
            let words = explain_token(error, lang);
            look::callout(ui, look::RED, |ui| {
                ui.label(RichText::new(tokens::name(token, lang)).strong());
                look::paragraph(ui, &printable(&words.what));
            });
        }
        let mut target = None;
        for entry in &mut self.entries {
            if entry.show(ui, desk, purpose) {
                target = Some(entry.target());
            }
        }
        if purpose == Purpose::Erase && !self.resettable.is_empty() {
            target = self.whole_tokens(ui, desk).or(target);
        }
        target
    }

    /// Draws what resets a whole token; which one, if one is.
    fn whole_tokens(&self, ui: &mut Ui, desk: &Desk) -> Option<Target> {
        look::callout(ui, look::RED, |ui| {
            ui.label(RichText::new(desk.word(Word::WholeToken)).size(17.0));
            look::paragraph(ui, desk.word(Word::WholeTokenHint));
            let mut target = None;
            for token in &self.resettable {
                look::hint(ui, &tokens::name(token, desk.lang));
                let reset = |ui: &mut Ui| look::destructive(ui, desk.word(Word::WholeTokenButton), true);
                if ui.horizontal(reset).inner.clicked() {
                    target = Some(Target::WholeToken(token.serial.clone()));
                }
            }
            target
        })
    }

    /// What there is to say when there is nothing to show.
    fn lack(&self, purpose: Purpose) -> Option<Word> {
        if !self.entries.is_empty() || !self.unreadable.is_empty() || !self.errors.is_empty() {
            return None;
        }
        Some(match purpose {
            _ if self.tokens == 0 => Word::NoTokens,
            Purpose::Read => Word::NoCertificates,
            Purpose::Erase => Word::EraseNothing,
        })
    }
}

fn of_tpm(held: Held) -> Entry {
    let certificate = held.entry.as_ref().map(|entry| entry.certificate.clone());
    Entry::new(Seat::Tpm(Box::new(held)), certificate)
}

fn is_no_service(error: &WorkError) -> bool {
    matches!(error, WorkError::Flow(failure) if tokens::is_no_service(failure))
}
