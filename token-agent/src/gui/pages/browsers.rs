//! ブラウザの設定: browsers find a key in this computer's TPM once they know the module for it.

use eframe::egui::{RichText, Ui};

use crate::{
    browser::{Change, Outcome},
    gui::{
        desk::Desk,
        failure_words, look,
        work::{Ended, Job, Work, WorkError},
    },
    messages::window::Word,
};

/// The button, and what came of it.
#[derive(Default)]
pub(super) struct Browsers {
    setting_up: Option<Work>,
    done: Option<Result<Vec<Change>, WorkError>>,
}

impl Browsers {
    fn hear(&mut self) {
        let Some(ended) = self.setting_up.as_ref().and_then(Work::ended) else { return };
        self.setting_up = None;
        self.done = Some(ended.map(|ended| match ended {
            Ended::BrowsersSetUp(changes) => changes,
            _ => Vec::new(),
        }));
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) {
        self.hear();
        look::card(ui, |ui| {
            ui.label(RichText::new(desk.word(Word::Browsers)).strong());
            look::paragraph(ui, desk.word(Word::BrowsersHint));
            match &self.done {
                Some(Ok(changes)) => {
                    let already = changes.iter().all(|change| change.outcome == Outcome::Already);
                    let word = if already { Word::BrowsersAlready } else { Word::BrowsersDone };
                    look::status(ui, RichText::new(desk.word(word)).color(look::GREEN));
                }
                Some(Err(error)) => {
                    let words = failure_words(error, desk.lang);
                    look::status(ui, RichText::new(words.what).color(look::RED));
                    look::paragraph(ui, &words.next);
                }
                None => {}
            }
            if self.setting_up.is_some() {
                ui.horizontal(|ui| {
                    ui.spinner();
                    look::status(ui, RichText::new(desk.word(Word::StagePresent)));
                });
            } else if look::secondary(ui, desk.word(Word::BrowsersButton)).clicked() {
                self.done = None;
                self.setting_up = Some(desk.start(Job::SetUpBrowsers));
            }
        });
    }
}
