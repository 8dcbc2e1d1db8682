//! 診断: what a login or an enrolment needs, looked at, with remedies; to be copied or saved for the help desk.

use std::path::PathBuf;

use eframe::egui::{RichText, Ui};

use super::{Page, saving};
use crate::{
    certificate::{printable, save_new},
    doctor::{Area, Grade, Report},
    gui::{
        desk::Desk,
        field, keep, look,
        work::{Ended, Job, News, Work},
    },
    messages::{
        Lang, diagnosis, summary,
        window::{Word, finding_in_window},
    },
};

/// The page.
pub(in crate::gui) struct Diagnosis {
    looking: Option<Work>,
    area: Area,
    report: Option<Box<Report>>,
    path: String,
    copied: bool,
    said: Option<Result<String, String>>,
}

impl Diagnosis {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        let route = std::sync::Arc::clone(&desk.route);
        Self {
            looking: Some(desk.start(Job::Diagnose { route })),
            area: Area::Reader,
            report: None,
            path: String::new(),
            copied: false,
            said: None,
        }
    }

    fn hear(&mut self) {
        let Some(looking) = &self.looking else { return };
        let mut done = false;
        for news in looking.news() {
            match news {
                News::Looking(area) => self.area = area,
                News::Ended(Ok(Ended::Diagnosed(report))) => {
                    self.path = keep::diagnosis_file(report.at).to_string_lossy().into_owned();
                    (self.report, done) = (Some(report), true);
                }
                News::Ended(_) => done = true,
                News::Step(_) | News::Asks(_) => {}
            }
        }
        if done {
            self.looking = None;
        }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        self.hear();
        let lang = desk.lang;
        look::title(ui, desk.word(Word::Diagnosis));
        match &self.report {
            Some(report) => {
                let colour = if report.wrong() == 0 { look::GREEN } else { look::RED };
                look::callout(ui, colour, |ui| {
                    look::status(ui, RichText::new(summary(report, lang)).strong());
                });
                findings(ui, report, lang);
            }
            None if self.looking.is_some() => {
                ui.horizontal(|ui| {
                    ui.spinner();
                    let what = format!("{} {}", desk.word(Word::DiagnosisLooking), self.area.text(lang));
                    look::status(ui, RichText::new(what));
                });
            }
            None => {
                look::callout(ui, look::RED, |ui| {
                    look::status(ui, RichText::new(desk.word(Word::DiagnosisFailed)));
                });
            }
        }
        self.keep(ui, desk);
        let (again, close) = look::buttons(ui, |ui| {
            let again = look::primary(ui, desk.word(Word::DiagnosisAgain), self.looking.is_none()).clicked();
            (again, look::secondary(ui, desk.word(Word::Close)).clicked())
        });
        if again {
            return Some(Page::Diagnosis(Box::new(Self::new(desk))));
        }
        close.then_some(Page::Start)
    }

    fn keep(&mut self, ui: &mut Ui, desk: &Desk) {
        let Some(report) = &self.report else { return };
        let lang = desk.lang;
        look::card(ui, |ui| {
            look::hint(ui, desk.word(Word::DiagnosisKeep));
            ui.horizontal(|ui| {
                let copy = look::secondary(ui, desk.word(Word::CopySupport));
                if desk.fresh {
                    copy.request_focus();
                }
                if copy.clicked() {
                    ui.ctx().copy_text(diagnosis(report, lang));
                    self.copied = true;
                }
                if self.copied {
                    look::status(ui, RichText::new(desk.word(Word::Copied)).color(look::GREEN));
                }
            });
            look::focusable(field::text(ui, desk.word(Word::SaveAs), &mut self.path));
            if look::secondary(ui, desk.word(Word::Save)).clicked() {
                let path = PathBuf::from(self.path.trim());
                let name = printable(&path.display().to_string());
                let saved = save_new(&path, &diagnosis(report, lang));
                self.said = Some(match saved {
                    Ok(()) => Ok(saving::saved(&name, lang)),
                    Err(error) => Err(saving::not_saved(&name, &error, lang)),
                });
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
}

/// A card for each area.
fn findings(ui: &mut Ui, report: &Report, lang: Lang) {
    let mut rest = report.facts.as_slice();
    while let Some(first) = rest.first() {
        let area = first.area();
        let length = rest.iter().take_while(|fact| fact.area() == area).count();
        let (present, others) = rest.split_at(length);
        rest = others;
        look::card(ui, |ui| {
            ui.label(RichText::new(area.text(lang)).strong());
            for fact in present {
                let words = finding_in_window(fact, lang);
                let grade = fact.grade();
                let colour = match grade {
                    Grade::Good => look::GREEN,
                    Grade::Note => look::AMBER,
                    Grade::Wrong => look::RED,
                };
                let text = format!("{}: {}", grade.text(lang), words.what);
                look::paragraph_in(ui, RichText::new(text).color(colour));
                if !words.next.is_empty() {
                    look::paragraph(ui, &words.next);
                }
            }
        });
    }
}
