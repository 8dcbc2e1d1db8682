//! What is erased, whether the bank knows of it, and what to do where it doesn't.

use eframe::egui::{RichText, Ui};

use super::{
    Page,
    said::printable_lines,
    working::{Purpose, Working},
};
use crate::{
    erase::Gone,
    farewell::Telling,
    gui::{
        desk::Desk,
        look, route_words,
        work::{Job, Target},
    },
    messages::{erased, window::Word},
};

/// What came of erasing.
pub(in crate::gui) struct Erased {
    gone: Gone,
    told: Telling,
}

impl Erased {
    pub(in crate::gui) fn new(gone: Gone, told: Telling) -> Self {
        Self { gone, told }
    }

    pub(super) fn show(&self, ui: &mut Ui, desk: &Desk) -> Option<Page> {
        look::title(ui, desk.word(Word::Erase));
        let (untold, to_revoke) = (self.told.left > 0, !self.told.to_revoke.is_empty());
        look::callout(ui, if untold || to_revoke { look::AMBER } else { look::GREEN }, |ui| {
            let text = erased(&self.gone, &self.told, desk.lang);
            look::status(ui, RichText::new(printable_lines(&text)))
        });
        if let Some(why) = &self.told.why {
            look::card(ui, |ui| look::paragraph(ui, &route_words(why, desk.lang).next));
        }
        let (close, connection, tell, asked) = look::buttons(ui, |ui| {
            let close = look::primary(ui, desk.word(Word::Close), true);
            if desk.fresh {
                close.request_focus();
            }
            let tell = untold && look::secondary(ui, desk.word(Word::TellNow)).clicked();
            let connection = untold && look::secondary(ui, desk.word(Word::Connection)).clicked();
            let asked = to_revoke && look::secondary(ui, desk.word(Word::RevocationAskedFor)).clicked();
            (close.clicked(), connection, tell, asked)
        });
        if tell {
            return Some(tell_now(desk));
        }
        if connection {
            return Some(Page::connection(desk));
        }
        if asked {
            desk.revocation_is_asked_for();
        }
        (close || asked).then_some(Page::Start)
    }
}

/// Tells the bank what it doesn't know yet.
pub(super) fn tell_now(desk: &Desk) -> Page {
    let work = desk.start(Job::Erase { target: Target::Nothing, route: desk.route.clone() });
    Page::Working(Box::new(Working::new(work, Purpose::Erase, false)))
}
