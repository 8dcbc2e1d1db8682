//! 処理中: what is going on, what the person has to do at the token, and the questions that come up.

use std::cmp::Ordering;

use eframe::egui::{Context, RichText, Ui};

use super::{
    Page,
    certificates::{Holdings, Purpose as HoldingsPurpose},
    dialog::Dialog,
    obtain::Obtain,
    renew::Renew,
    tokens::ChangePin,
    unblock::Unblock,
};
use crate::{
    gui::{
        desk::Desk,
        look,
        progress::Progress,
        work::{Answer, Ask, Work},
    },
    messages::window::{Stage, Word},
};

/// What the flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gui) enum Purpose {
    Obtain,
    Renew,
    ChangePin,
    Erase,
    Unblock,
}

impl Purpose {
    /// The page on which it begins.
    pub(in crate::gui) fn begin(self, desk: &Desk) -> Page {
        match self {
            Self::Obtain => Page::Obtain(Box::new(Obtain::new(desk))),
            Self::Renew => Page::Renew(Box::new(Renew::new(desk))),
            Self::ChangePin => Page::ChangePin(Box::new(ChangePin::new(desk))),
            Self::Unblock => Page::Unblock(Box::new(Unblock::new(desk))),
            Self::Erase => Page::Holdings(Box::new(Holdings::new(desk, HoldingsPurpose::Erase))),
        }
    }

    fn title(self) -> Word {
        match self {
            Self::Obtain => Word::Obtain,
            Self::Renew => Word::Renew,
            Self::ChangePin => Word::ChangePin,
            Self::Erase => Word::Erase,
            Self::Unblock => Word::Unblock,
        }
    }
}

/// A flow under way.
pub(in crate::gui) struct Working {
    pub(in crate::gui) work: Work,
    pub(in crate::gui) purpose: Purpose,
    pub(in crate::gui) progress: Progress,
    /// Whether this computer's TPM stands where others have a token.
    in_tpm: bool,
    dialog: Option<Dialog>,
}

impl Working {
    pub(super) fn new(work: Work, purpose: Purpose, in_tpm: bool) -> Self {
        Self { work, purpose, progress: Progress::default(), in_tpm, dialog: None }
    }

    /// The flow asks something.
    pub(in crate::gui) fn ask(&mut self, ask: Ask) {
        if !matches!(ask, Ask::ProxyPassword { .. }) {
            self.progress.at_the_token();
        }
        self.dialog = Some(Dialog::new(ask, self.in_tpm));
    }

    /// Ends the flow where it waits for the person; whether it did.
    pub(in crate::gui) fn withdraw(&mut self) -> bool {
        let asked = self.dialog.take().is_some();
        if asked {
            self.work.answer(Answer::Declined);
        }
        let waits = self.progress.waits_for_approval();
        if waits {
            self.work.give_up();
        }
        asked || waits
    }

    /// Shows the question, if there is one, over the page.
    pub(in crate::gui) fn ask_beside(&mut self, context: &Context, desk: &Desk) {
        let Some(dialog) = &mut self.dialog else { return };
        if let Some(answer) = dialog.show(context, desk.lang) {
            self.dialog = None;
            self.work.answer(answer);
        }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        let lang = desk.lang;
        look::title(ui, desk.word(self.purpose.title()));
        if !self.progress.waits_for_approval() {
            look::hint(ui, desk.word(if self.in_tpm { Word::WorkingHintTpm } else { Word::WorkingHint }));
        }
        ui.add_space(8.0);
        if self.progress.wants_touch() {
            look::callout(ui, look::AMBER, |ui| {
                look::status(ui, RichText::new(desk.word(Word::TouchTitle)).size(22.0).color(look::AMBER));
                look::paragraph(ui, desk.word(Word::TouchHint));
            });
        }
        if matches!(self.purpose, Purpose::Obtain | Purpose::Renew) {
            self.stages(ui, desk);
        }
        if self.dialog.is_none() {
            ui.horizontal(|ui| {
                ui.spinner();
                look::status(ui, RichText::new(self.progress.words(lang)));
            });
        }
        if self.progress.waits_for_approval() {
            look::callout(ui, look::GREEN, |ui| look::paragraph(ui, desk.word(Word::UnblockWaiting)));
            look::buttons(ui, |ui| {
                if look::secondary(ui, desk.word(Word::UnblockLater)).clicked() {
                    self.work.give_up();
                }
            });
        }
        let notes: Vec<String> = self.progress.notes(lang).collect();
        if !notes.is_empty() {
            ui.add_space(6.0);
            look::callout(ui, look::AMBER, |ui| {
                ui.label(RichText::new(desk.word(Word::Noted)).strong());
                for note in &notes {
                    look::paragraph(ui, note);
                }
            });
        }
        None
    }

    fn stages(&self, ui: &mut Ui, desk: &Desk) {
        let present = self.progress.stage.unwrap_or(Stage::Version);
        look::card(ui, |ui| {
            for (number, stage) in Stage::OBTAIN.into_iter().enumerate() {
                let text = format!("{}.  {}", number + 1, stage.text(self.in_tpm, desk.lang));
                let order = stage.cmp(&present);
                let state = match order {
                    Ordering::Less => Word::StageDone,
                    Ordering::Equal => Word::StagePresent,
                    Ordering::Greater => Word::StageToCome,
                };
                look::stage(ui, &text, desk.word(state), order);
            }
        });
    }
}
