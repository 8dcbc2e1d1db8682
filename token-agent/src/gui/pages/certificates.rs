//! 証明書の確認 and 証明書の消去: what the connected tokens hold.

use eframe::egui::{RichText, Ui};
use jiff::Timestamp;

use super::{
    Page,
    saving::Saving,
    tokens,
    working::{Purpose as WorkPurpose, Working},
};
use crate::{
    certificate::{CertificateDetails, ValidityState, local_time, printable, rows},
    gui::{
        app::Desk,
        failure_words, look,
        work::{Ended, Job, News, Work, WorkError},
    },
    messages::{Label, explain_token, window::Word},
    token::{ReaderState, Slot, TokenError, TokenIdentity},
};

/// What the page was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gui) enum Purpose {
    Read,
    Erase,
}

/// What a slot holds.
struct Entry {
    token: TokenIdentity,
    slot: Slot,
    content: Content,
    der: Vec<u8>,
    open: Option<Saving>,
}

/// What stands there.
enum Content {
    Certificate(Box<CertificateDetails>),
    /// Octets that somebody else wrote.
    Unreadable,
    OnlyKey,
}

impl Content {
    fn of(certificate: Option<&[u8]>) -> Self {
        match certificate.map(CertificateDetails::read) {
            Some(Ok(details)) => Self::Certificate(Box::new(details)),
            Some(Err(_)) => Self::Unreadable,
            None => Self::OnlyKey,
        }
    }
}

/// What was found.
struct Found {
    entries: Vec<Entry>,
    unreadable: Vec<(TokenIdentity, TokenError)>,
    tokens: usize,
}

/// The page.
pub(in crate::gui) struct Holdings {
    purpose: Purpose,
    looking: Option<Work>,
    found: Option<Result<Found, WorkError>>,
}

impl Holdings {
    pub(in crate::gui) fn new(desk: &Desk, purpose: Purpose) -> Self {
        Self { purpose, looking: Some(desk.start(Job::Survey)), found: None }
    }

    fn hear(&mut self) {
        let Some(looking) = &self.looking else { return };
        let ended = looking.news().find_map(|news| match news {
            News::Ended(ended) => Some(ended),
            _ => None,
        });
        let Some(ended) = ended else { return };
        self.looking = None;
        self.found = Some(ended.map(|ended| sort(ended, self.purpose)));
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        self.hear();
        let lang = desk.lang;
        let erases = self.purpose == Purpose::Erase;
        look::title(ui, desk.word(if erases { Word::Erase } else { Word::Certificates }));
        if erases {
            look::callout(ui, look::AMBER, |ui| look::paragraph(ui, desk.word(Word::EraseIntroduction)));
        }
        let mut erase = None;
        match &mut self.found {
            None => {
                look::status(ui, desk.word(Word::TokenLooking).into());
            }
            Some(Err(error)) => {
                let words = failure_words(error, lang);
                look::callout(ui, look::RED, |ui| {
                    look::status(ui, RichText::new(words.what).color(look::RED));
                    look::paragraph(ui, &words.next);
                });
            }
            Some(Ok(found)) => {
                if let Some(word) = found.lack(self.purpose) {
                    look::card(ui, |ui| look::status(ui, desk.word(word).into()));
                }
                for (token, error) in &found.unreadable {
                    let words = explain_token(error, lang);
                    look::callout(ui, look::RED, |ui| {
                        ui.label(RichText::new(tokens::name(token, lang)).strong());
                        look::paragraph(ui, &words.what);
                    });
                }
                for entry in &mut found.entries {
                    if entry.show(ui, desk, self.purpose) {
                        erase = Some((entry.token.serial.clone(), entry.slot));
                    }
                }
            }
        }
        if let Some((token, slot)) = erase {
            let work = desk.start(Job::Erase { token, slot, route: desk.route.clone() });
            return Some(Page::Working(Box::new(Working::new(work, WorkPurpose::Erase))));
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
    /// What there is to say when there is nothing to show.
    fn lack(&self, purpose: Purpose) -> Option<Word> {
        if !self.entries.is_empty() || !self.unreadable.is_empty() {
            return None;
        }
        Some(match purpose {
            _ if self.tokens == 0 => Word::NoTokens,
            Purpose::Read => Word::NoCertificates,
            Purpose::Erase => Word::EraseNothing,
        })
    }
}

fn sort(ended: Ended, purpose: Purpose) -> Found {
    let mut found = Found { entries: Vec::new(), unreadable: Vec::new(), tokens: 0 };
    let Ended::Surveyed(surveyed) = ended else { return found };
    for surveyed in surveyed {
        let ReaderState::Token(token) = surveyed.reader.state else { continue };
        found.tokens += 1;
        match surveyed.report {
            Some(Ok(report)) => {
                let entries = report.occupied.into_iter().map(|(slot, state)| {
                    let content = Content::of(state.certificate.as_deref());
                    let der = state.certificate.unwrap_or_default();
                    Entry { token: token.clone(), slot, content, der, open: None }
                });
                let wanted =
                    |entry: &Entry| purpose == Purpose::Erase || !matches!(entry.content, Content::OnlyKey);
                found.entries.extend(entries.filter(wanted));
            }
            Some(Err(error)) => found.unreadable.push((token, error)),
            None => {}
        }
    }
    found
}

impl Entry {
    /// Draws the entry; whether it is to be erased.
    fn show(&mut self, ui: &mut Ui, desk: &Desk, purpose: Purpose) -> bool {
        let lang = desk.lang;
        let (colour, title, state) = self.summary(desk);
        look::callout(ui, colour, |ui| {
            ui.label(RichText::new(title).size(17.0));
            if let Some(state) = state {
                ui.label(RichText::new(state).color(colour));
            }
            let place =
                format!("{}  {} {}", tokens::name(&self.token, lang), Label::Slot.text(lang), self.slot);
            look::hint(ui, &place);
            if purpose == Purpose::Erase {
                return look::destructive(ui, desk.word(Word::EraseButton)).clicked();
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
    fn summary(&self, desk: &Desk) -> (eframe::egui::Color32, String, Option<String>) {
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
