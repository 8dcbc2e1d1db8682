//! The questions that come up while a flow runs, each over its page: PIN, new PIN, consent. Escape declines.

use eframe::egui::{Context, Frame, Key, Modal, RichText, Ui};

use crate::{
    enrol::{EnrolError, Question},
    gui::{
        field::{self, SecretField},
        id, look,
        progress::Progress,
        work::{Answer, Ask},
    },
    messages::{Lang, explain, window::Word},
    secret::{Pin, WeakPin},
    token::TokenError,
};

/// A question with what was typed so far.
pub(super) struct Dialog {
    ask: Ask,
    first: SecretField,
    second: SecretField,
    weak: Option<WeakPin>,
    fresh: bool,
}

impl Dialog {
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask, first: SecretField::default(), second: SecretField::default(), weak: None, fresh: true }
    }

    /// Shows the question; the answer, once there is one.
    pub(super) fn show(&mut self, context: &Context, lang: Lang) -> Option<Answer> {
        let frame = Frame::popup(&context.global_style()).inner_margin(24);
        let modal = Modal::new(id("question")).frame(frame).show(context, |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 80.0).min(460.0));
            match &self.ask {
                Ask::Pin { wrong } => {
                    let wrong = *wrong;
                    self.pin(ui, wrong, lang)
                }
                Ask::NewPin => self.new_pin(ui, lang),
                Ask::Agreement(question) => agreement(ui, question, self.fresh, lang),
            }
        });
        self.fresh = false;
        let escaped = context.input(|input| input.key_pressed(Key::Escape));
        modal.inner.or(escaped.then_some(Answer::Declined))
    }

    fn pin(&mut self, ui: &mut Ui, wrong: Option<u8>, lang: Lang) -> Option<Answer> {
        look::title(ui, Word::PinTitle.text(lang));
        look::hint(ui, Word::PinHint.text(lang));
        if let Some(tries_left) = wrong {
            let error = EnrolError::Token(TokenError::PinWrong { tries_left });
            look::status(ui, RichText::new(explain(&error, lang).what).color(look::RED));
        }
        ui.add_space(6.0);
        let pin = look::focusable(field::secret(ui, Word::Pin.text(lang), &mut self.first));
        let entered = pin.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if self.fresh {
            pin.request_focus();
        }
        let typed = Pin::new(self.first.expose());
        if ok_or_cancel(ui, typed.is_some(), entered, lang)? {
            typed.map(Answer::Pin)
        } else {
            Some(Answer::Declined)
        }
    }

    fn new_pin(&mut self, ui: &mut Ui, lang: Lang) -> Option<Answer> {
        look::title(ui, Word::NewPinTitle.text(lang));
        look::hint(ui, Word::NewPinHint.text(lang));
        ui.add_space(6.0);
        let first = look::focusable(field::secret(ui, Word::NewPin.text(lang), &mut self.first));
        let second = look::focusable(field::secret(ui, Word::NewPinAgain.text(lang), &mut self.second));
        if self.fresh {
            first.request_focus();
        }
        let enter = ui.input(|input| input.key_pressed(Key::Enter));
        if first.lost_focus() && enter {
            second.request_focus();
        }
        let entered = second.lost_focus() && enter;
        if let Some(weak) = self.weak {
            let why = explain(&EnrolError::WeakPin(weak), lang);
            look::status(ui, RichText::new(format!("{} {}", why.what, why.next)).color(look::RED));
        }
        let filled = !self.first.is_empty() && !self.second.is_empty();
        if !ok_or_cancel(ui, filled, entered, lang)? {
            return Some(Answer::Declined);
        }
        let chosen = Pin::chosen(self.first.expose());
        let same = self.first.expose() == self.second.expose();
        match chosen.and_then(|pin| if same { Ok(pin) } else { Err(WeakPin::Different) }) {
            Ok(pin) => Some(Answer::Pin(pin)),
            Err(weak) => {
                *self = Self { weak: Some(weak), ..Self::new(Ask::NewPin) };
                ui.ctx().request_repaint();
                None
            }
        }
    }
}

/// The two buttons: `Some(true)` for OK.
fn ok_or_cancel(ui: &mut Ui, complete: bool, entered: bool, lang: Lang) -> Option<bool> {
    look::buttons(ui, |ui| {
        let ok = look::primary(ui, Word::Ok.text(lang), complete).clicked();
        let cancel = look::secondary(ui, Word::Cancel.text(lang)).clicked();
        if ok || (entered && complete) { Some(true) } else { cancel.then_some(false) }
    })
}

fn agreement(ui: &mut Ui, question: &Question, fresh: bool, lang: Lang) -> Option<Answer> {
    let (title, button) = match question {
        Question::Overwrite { .. } => (Word::OverwriteTitle, Word::Overwrite),
        _ => (Word::EraseTitle, Word::EraseButton),
    };
    look::title(ui, title.text(lang));
    look::paragraph(ui, &Progress::question(question, lang));
    look::buttons(ui, |ui| {
        // What can be undone comes first.
        let cancel = look::secondary(ui, Word::Cancel.text(lang));
        if fresh {
            cancel.request_focus();
        }
        let agreed = look::destructive(ui, button.text(lang)).clicked();
        if agreed { Some(Answer::Agreed) } else { cancel.clicked().then_some(Answer::Declined) }
    })
}
