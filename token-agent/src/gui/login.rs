//! What the pages have in common that ask for login ID and login password: how they begin, the two fields, the buttons.

use eframe::egui::{Key, Response, Ui};

use super::{
    desk::Desk,
    field::{self, SecretField},
    look,
};
use crate::{messages::window::Word, secret::Secret};

/// The two fields. The login ID is the desk's, so that it stands on the next page as well.
#[derive(Default)]
pub(super) struct LoginForm {
    password: SecretField,
}

/// What was typed.
pub(super) struct Login {
    pub(super) user_id: String,
    pub(super) password: Secret,
}

/// The buttons of such a page.
pub(super) struct Buttons {
    /// What the page is for; `None` while there is nothing to do.
    pub(super) submit: Option<Word>,
    /// Whether everything is filled in.
    pub(super) complete: bool,
    /// Whether looking again could help.
    pub(super) again: bool,
}

/// The button that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    Submit,
    Connection,
    Again,
    Back,
}

/// Draws how the page begins, and says what is missing before anything can be done.
pub(super) fn introduction(ui: &mut Ui, desk: &Desk, title: Word, text: Word) {
    look::title(ui, desk.word(title));
    look::paragraph(ui, desk.word(text));
    if desk.route.server.is_none() {
        look::callout(ui, look::AMBER, |ui| look::paragraph(ui, desk.word(Word::ServerMissing)));
    }
    ui.add_space(6.0);
}

impl LoginForm {
    /// Draws the fields; whether Enter was pressed in one of them. `begin` puts the focus where something is missing.
    pub(super) fn fields(&mut self, ui: &mut Ui, desk: &mut Desk, begin: bool) -> bool {
        let login = field::text(ui, desk.word(Word::LoginId), &mut desk.user_id);
        let password = field::secret(ui, desk.word(Word::LoginPassword), &mut self.password);
        if begin {
            let first = if desk.user_id.is_empty() { &login } else { &password };
            first.request_focus();
        }
        // Both are drawn, whatever happened in the first.
        [login, password].map(|field| entered(ui, field)).contains(&true)
    }

    /// Whether both are filled in and it is known where to send them.
    pub(super) fn is_complete(&self, desk: &Desk) -> bool {
        !desk.user_id.trim().is_empty() && !self.password.is_empty() && desk.route.server.is_some()
    }

    /// Takes what was typed; the password is empty afterwards.
    pub(super) fn take(&mut self, desk: &mut Desk) -> Login {
        desk.user_id = desk.user_id.trim().to_owned();
        Login { user_id: desk.user_id.clone(), password: self.password.take_secret() }
    }
}

/// Whether Enter was pressed in a field.
pub(super) fn entered(ui: &Ui, field: Response) -> bool {
    look::focusable(field).lost_focus() && ui.input(|input| input.key_pressed(Key::Enter))
}

impl Buttons {
    pub(super) fn show(&self, ui: &mut Ui, desk: &Desk) -> Option<Pressed> {
        look::buttons(ui, |ui| {
            let mut pressed = None;
            if let Some(submit) = self.submit
                && look::primary(ui, desk.word(submit), self.complete).clicked()
            {
                pressed = Some(Pressed::Submit);
            }
            if desk.route.server.is_none() && look::secondary(ui, desk.word(Word::Connection)).clicked() {
                pressed = Some(Pressed::Connection);
            }
            if self.again && look::secondary(ui, desk.word(Word::Refresh)).clicked() {
                pressed = Some(Pressed::Again);
            }
            let back = look::secondary(ui, desk.word(Word::Back));
            if desk.fresh && self.submit.is_none() {
                back.request_focus();
            }
            if back.clicked() { Some(Pressed::Back) } else { pressed }
        })
    }
}
