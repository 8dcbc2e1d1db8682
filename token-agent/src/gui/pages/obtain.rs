//! 証明書発行: the token, the login ID and the login password.

use std::sync::Arc;

use eframe::egui::{Key, Response, RichText, Ui};

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
pub(in crate::gui) struct Obtain {
    tokens: Tokens,
    password: SecretField,
    has_code: bool,
    code: SecretField,
}

impl Obtain {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        Self {
            tokens: Tokens::new(desk),
            password: SecretField::default(),
            has_code: false,
            code: SecretField::default(),
        }
    }

    fn is_complete(&self, desk: &Desk) -> bool {
        let filled = !desk.user_id.trim().is_empty() && !self.password.is_empty();
        let code = !self.has_code || !self.code.is_empty();
        filled && code && self.tokens.chosen.is_some() && desk.route.server.is_some()
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        look::title(ui, desk.word(Word::Obtain));
        look::paragraph(ui, desk.word(Word::ObtainIntroduction));
        if desk.route.server.is_none() {
            look::callout(ui, look::AMBER, |ui| look::paragraph(ui, desk.word(Word::ServerMissing)));
        }
        ui.add_space(6.0);
        self.tokens.show(ui, desk);
        let mut entered = self.fields(ui, desk);
        let complete = self.is_complete(desk);
        let (submit, connection, back) = look::buttons(ui, |ui| {
            (
                look::primary(ui, desk.word(Word::Authenticate), complete).clicked(),
                desk.route.server.is_none() && look::secondary(ui, desk.word(Word::Connection)).clicked(),
                look::secondary(ui, desk.word(Word::Back)).clicked(),
            )
        });
        entered &= complete;
        if (submit || entered)
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
        look::focusable(ui.checkbox(&mut self.has_code, desk.word(Word::HasAcquisitionCode)));
        if self.has_code {
            let code = field::secret(ui, desk.word(Word::AcquisitionCode), &mut self.code);
            shown(ui, code);
        }
        look::hint(ui, desk.word(Word::AcquisitionCodeHint));
        if let Some(server) = &desk.route.server {
            ui.add_space(4.0);
            let server = crate::certificate::printable(server);
            ui.label(RichText::new(format!("{}: {server}", desk.word(Word::Server))).small());
        }
        entered
    }

    fn begin(&mut self, desk: &mut Desk, token: String) -> Page {
        desk.user_id = desk.user_id.trim().to_owned();
        let job = Job::Obtain {
            user_id: desk.user_id.clone(),
            password: self.password.take_secret(),
            acquisition_code: self.has_code.then(|| self.code.take_secret()),
            token,
            route: Arc::clone(&desk.route),
        };
        Page::Working(Box::new(Working::new(desk.start(job), Purpose::Obtain)))
    }
}
