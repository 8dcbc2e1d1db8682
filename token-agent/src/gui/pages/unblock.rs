//! PINロック解除: the token, the login ID and the login password. Somebody else approves meanwhile.

use std::sync::Arc;

use eframe::egui::{Key, Response, Ui};

use super::{
    Page,
    tokens::Tokens,
    working::{Purpose, Working},
};
use crate::{
    gui::{
        app::Desk,
        field::{self, SecretField},
        look,
        work::Job,
    },
    messages::window::Word,
};

/// The form.
pub(in crate::gui) struct Unblock {
    tokens: Tokens,
    password: SecretField,
}

impl Unblock {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        Self { tokens: Tokens::new(desk), password: SecretField::default() }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        look::title(ui, desk.word(Word::Unblock));
        look::paragraph(ui, desk.word(Word::UnblockIntroduction));
        if desk.route.server.is_none() {
            look::callout(ui, look::AMBER, |ui| look::paragraph(ui, desk.word(Word::ServerMissing)));
        }
        ui.add_space(6.0);
        self.tokens.show(ui, desk);
        let entered = self.fields(ui, desk);
        let complete = !desk.user_id.trim().is_empty()
            && !self.password.is_empty()
            && self.tokens.chosen.is_some()
            && desk.route.server.is_some();
        let (submit, connection, back) = look::buttons(ui, |ui| {
            (
                look::primary(ui, desk.word(Word::UnblockAsk), complete).clicked(),
                desk.route.server.is_none() && look::secondary(ui, desk.word(Word::Connection)).clicked(),
                look::secondary(ui, desk.word(Word::Back)).clicked(),
            )
        });
        if (submit || (entered && complete))
            && let Some(token) = self.tokens.chosen.clone()
        {
            return Some(self.begin(desk, token));
        }
        if connection {
            return Some(Page::Connection);
        }
        back.then_some(Page::Start)
    }

    /// Draws the fields; whether Enter was pressed in one of them.
    fn fields(&mut self, ui: &mut Ui, desk: &mut Desk) -> bool {
        let mut entered = false;
        let mut shown = |ui: &Ui, response: Response| {
            let response = look::focusable(response);
            entered |= response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            response
        };
        let login = field::text(ui, desk.word(Word::LoginId), &mut desk.user_id);
        let login = shown(ui, login);
        let password = field::secret(ui, desk.word(Word::LoginPassword), &mut self.password);
        let password = shown(ui, password);
        if desk.fresh {
            let first = if desk.user_id.is_empty() { login } else { password };
            first.request_focus();
        }
        entered
    }

    fn begin(&mut self, desk: &mut Desk, token: String) -> Page {
        desk.user_id = desk.user_id.trim().to_owned();
        let job = Job::Unblock {
            user_id: desk.user_id.clone(),
            password: self.password.take_secret(),
            token,
            route: Arc::clone(&desk.route),
        };
        Page::Working(Box::new(Working::new(desk.start(job), Purpose::Unblock)))
    }
}
