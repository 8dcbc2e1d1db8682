//! The questions that come up while a flow runs, each over its page: PIN, new PIN, consent. Escape declines.

use agent_tpm::TpmError;
use eframe::egui::{Context, Frame, Key, Modal, RichText, Ui};

use crate::{
    certificate::printable,
    enrol::{EnrolError, Question},
    gui::{
        field::{self, SecretField},
        id,
        login::entered,
        look,
        progress::Progress,
        work::{Answer, Ask},
    },
    messages::{Lang, explain, pin_length, say, window::Word},
    secret::{Pin, PinLength, WeakPin},
    token::TokenError,
};

/// A question with what was typed so far.
pub(super) struct Dialog {
    ask: Ask,
    /// Whether it is about a key in this computer's TPM.
    in_tpm: bool,
    first: SecretField,
    second: SecretField,
    /// What nobody needs to hide.
    typed: String,
    weak: Option<WeakPin>,
    fresh: bool,
}

impl Dialog {
    pub(super) fn new(ask: Ask, in_tpm: bool) -> Self {
        Self {
            ask,
            in_tpm,
            first: SecretField::default(),
            second: SecretField::default(),
            typed: String::new(),
            weak: None,
            fresh: true,
        }
    }

    /// Shows the question; the answer, once there is one.
    pub(super) fn show(&mut self, context: &Context, lang: Lang) -> Option<Answer> {
        let frame = Frame::popup(&context.global_style()).inner_margin(24);
        let modal = Modal::new(id("question")).frame(frame).show(context, |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 80.0).min(460.0));
            match &self.ask {
                Ask::Pin { wrong } => {
                    let wrong = *wrong;
                    self.pin(ui, wrong, false, lang)
                }
                Ask::PinIfKnown { wrong } => {
                    let wrong = *wrong;
                    self.pin(ui, wrong, true, lang)
                }
                Ask::ProxyPassword { user } => {
                    let user = printable(user);
                    self.proxy_password(ui, &user, lang)
                }
                Ask::NewPin(length) => {
                    let length = *length;
                    self.new_pin(ui, length, lang)
                }
                Ask::Agreement(question) => agreement(ui, question, &mut self.typed, self.fresh, lang),
            }
        });
        self.fresh = false;
        let escaped = context.input(|input| input.key_pressed(Key::Escape));
        modal.inner.or(escaped.then_some(Answer::Declined))
    }

    fn pin(&mut self, ui: &mut Ui, wrong: Option<u8>, may_be_forgotten: bool, lang: Lang) -> Option<Answer> {
        let (title, hint) =
            if self.in_tpm { (Word::PinTitleTpm, Word::PinHintTpm) } else { (Word::PinTitle, Word::PinHint) };
        look::title(ui, title.text(lang));
        look::hint(ui, hint.text(lang));
        if may_be_forgotten {
            look::paragraph(ui, Word::PinIfKnown.text(lang));
        }
        if let Some(tries_left) = wrong {
            let error = if self.in_tpm {
                EnrolError::Tpm(TpmError::PinWrong { tries_left: tries_left.into() })
            } else {
                EnrolError::Token(TokenError::PinWrong { tries_left })
            };
            look::status(ui, RichText::new(explain(&error, lang).what).color(look::RED));
        }
        ui.add_space(6.0);
        let entered = self.secret(ui, Word::Pin, lang);
        let typed = Pin::new(self.first.expose());
        let mut unknown = false;
        let pressed = look::buttons(ui, |ui| {
            let pressed = ok_or_cancel(ui, typed.is_some(), entered, lang);
            unknown = may_be_forgotten && look::secondary(ui, Word::PinUnknown.text(lang)).clicked();
            pressed
        });
        match pressed {
            _ if unknown => Some(Answer::NoPin),
            None => None,
            Some(true) => typed.map(Answer::Pin),
            Some(false) => Some(Answer::Declined),
        }
    }

    fn proxy_password(&mut self, ui: &mut Ui, user: &str, lang: Lang) -> Option<Answer> {
        look::title(ui, Word::ProxyPasswordTitle.text(lang));
        look::paragraph(ui, Word::ProxyWarning.text(lang));
        look::hint(ui, &format!("{}: {user}", Word::ProxyUser.text(lang)));
        ui.add_space(6.0);
        let entered = self.secret(ui, Word::ProxyPassword, lang);
        let filled = !self.first.is_empty();
        let ok = look::buttons(ui, |ui| ok_or_cancel(ui, filled, entered, lang))?;
        Some(if ok { Answer::Password(self.first.take_secret()) } else { Answer::Declined })
    }

    /// Draws the only secret field, which begins with the focus; whether Enter was pressed in it.
    fn secret(&mut self, ui: &mut Ui, label: Word, lang: Lang) -> bool {
        let field = field::secret(ui, label.text(lang), &mut self.first);
        if self.fresh {
            field.request_focus();
        }
        entered(ui, field)
    }

    fn new_pin(&mut self, ui: &mut Ui, length: PinLength, lang: Lang) -> Option<Answer> {
        look::title(ui, Word::NewPinTitle.text(lang));
        let hint = Word::NewPinHint.text(lang);
        let characters = pin_length(length, lang);
        look::hint(ui, &say!(lang, "{characters}. {hint}", "{characters}。{hint}"));
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
        if !look::buttons(ui, |ui| ok_or_cancel(ui, filled, entered, lang))? {
            return Some(Answer::Declined);
        }
        let chosen = Pin::chosen(self.first.expose(), length);
        let same = self.first.expose() == self.second.expose();
        match chosen.and_then(|pin| if same { Ok(pin) } else { Err(WeakPin::Different) }) {
            Ok(pin) => Some(Answer::Pin(pin)),
            Err(weak) => {
                *self = Self { weak: Some(weak), ..Self::new(Ask::NewPin(length), self.in_tpm) };
                ui.ctx().request_repaint();
                None
            }
        }
    }
}

/// The two buttons: `Some(true)` for OK.
fn ok_or_cancel(ui: &mut Ui, complete: bool, entered: bool, lang: Lang) -> Option<bool> {
    let ok = look::primary(ui, Word::Ok.text(lang), complete).clicked();
    let cancel = look::secondary(ui, Word::Cancel.text(lang)).clicked();
    if ok || (entered && complete) { Some(true) } else { cancel.then_some(false) }
}

fn agreement(
    ui: &mut Ui,
    question: &Question,
    typed: &mut String,
    fresh: bool,
    lang: Lang,
) -> Option<Answer> {
    let (title, button) = match question {
        Question::Overwrite { .. } => (Word::OverwriteTitle, Word::Overwrite),
        Question::EraseAll { .. } => (Word::WholeToken, Word::WholeTokenButton),
        _ => (Word::EraseTitle, Word::EraseButton),
    };
    look::title(ui, title.text(lang));
    look::paragraph(ui, &Progress::question(question, lang));
    let wanted = question.to_be_typed().map(printable);
    if let Some(wanted) = &wanted {
        ui.add_space(6.0);
        let label = say!(
            lang,
            "To go on, type the last characters of its serial number: {wanted}",
            "続けるには、シリアル番号の末尾 {wanted} を入力してください"
        );
        let field = look::focusable(field::text(ui, label, typed));
        if fresh {
            field.request_focus();
        }
    }
    let complete = wanted.as_ref().is_none_or(|wanted| typed.trim().eq_ignore_ascii_case(wanted));
    look::buttons(ui, |ui| {
        // What can be undone comes first.
        let cancel = look::secondary(ui, Word::Cancel.text(lang));
        if fresh && wanted.is_none() {
            cancel.request_focus();
        }
        let agreed = look::destructive(ui, button.text(lang), complete).clicked();
        if agreed { Some(Answer::Agreed) } else { cancel.clicked().then_some(Answer::Declined) }
    })
}
