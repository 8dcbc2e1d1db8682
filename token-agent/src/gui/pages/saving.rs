//! 内容の保存・印刷: to a file of the person's choice; printing opens it in the browser.

use std::{io, path::PathBuf};

use eframe::egui::{RichText, Ui};
use jiff::Timestamp;

use crate::{
    certificate::printable,
    gui::{
        desk::Desk,
        field,
        keep::{self, Format},
        look,
    },
    messages::{Lang, say, window::Word},
};

/// The form, and how the last try ended.
pub(super) struct Saving {
    der: Vec<u8>,
    user_id: String,
    format: Format,
    path: String,
    said: Option<Result<String, String>>,
}

impl Saving {
    pub(super) fn new(der: Vec<u8>, user_id: String) -> Self {
        let mut saving = Self { der, user_id, format: Format::Page, path: String::new(), said: None };
        saving.suggest();
        saving
    }

    fn suggest(&mut self) {
        let path = keep::suggestion(&self.user_id, self.format, Timestamp::now());
        self.path = path.to_string_lossy().into_owned();
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) {
        let lang = desk.lang;
        look::card(ui, |ui| {
            ui.label(RichText::new(Word::SaveTitle.text(lang)).strong());
            let before = self.format;
            ui.horizontal_wrapped(|ui| {
                for (format, word) in [(Format::Page, Word::FormatPage), (Format::Text, Word::FormatText)] {
                    look::focusable(ui.radio_value(&mut self.format, format, word.text(lang)));
                }
            });
            if before != self.format {
                self.suggest();
            }
            look::focusable(field::text(ui, Word::SaveAs.text(lang), &mut self.path));
            let (save, print) = look::buttons(ui, |ui| {
                (
                    look::secondary(ui, Word::Save.text(lang)).clicked(),
                    look::secondary(ui, Word::Print.text(lang)).clicked(),
                )
            });
            if save || print {
                self.said = Some(self.save(print, desk));
            }
            match &self.said {
                Some(Ok(done)) => {
                    look::status(ui, RichText::new(done).color(look::GREEN));
                }
                Some(Err(failed)) => {
                    look::status(ui, RichText::new(failed).color(look::RED));
                }
                None => {}
            }
        });
    }

    /// Saves, and opens what was saved; the words for how that ended.
    fn save(&mut self, print: bool, desk: &Desk) -> Result<String, String> {
        let lang = desk.lang;
        let path = PathBuf::from(self.path.trim());
        let name = printable(&path.display().to_string());
        keep::save(&path, &self.der, self.format, lang, Timestamp::now())
            .map_err(|error| not_saved(&name, &error, lang))?;
        self.suggest();
        if !print {
            return Ok(saved(&name, lang));
        }
        match open::that_detached(&path) {
            Ok(()) => Ok(say!(
                lang,
                "Saved and opened: {name}. Print it from there.",
                "保存して開きました: {name}。開いた画面から印刷してください。"
            )),
            Err(_) => Err(say!(
                lang,
                "Saved: {name}. It could not be opened; open the file yourself and print it.",
                "保存しました: {name}。自動で開けないため、ファイルを開いて印刷してください。"
            )),
        }
    }
}

pub(super) fn saved(name: &str, lang: Lang) -> String {
    say!(lang, "Saved: {name}", "保存しました: {name}")
}

pub(super) fn not_saved(name: &str, error: &io::Error, lang: Lang) -> String {
    let error = printable(&error.to_string());
    say!(
        lang,
        "{name} could not be written ({error}). Choose another name; nothing is overwritten.",
        "{name} に保存できませんでした({error})。別の名前を指定してください(上書きはしません)。"
    )
}
