//! 証明書発行: the token or this computer's TPM, the login ID and the login password.

use std::sync::Arc;

use eframe::egui::{RichText, Ui};

use super::{
    Page,
    tokens::{Offer, Tokens},
    working::{Purpose, Working},
};
use crate::{
    gui::{
        desk::Desk,
        field::{self, SecretField},
        login::{self, Buttons, LoginForm, Pressed},
        look,
        work::{Device, Job},
    },
    messages::window::Word,
};

/// The form.
pub(in crate::gui) struct Obtain {
    tokens: Tokens,
    login: LoginForm,
    has_code: bool,
    code: SecretField,
}

impl Obtain {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        Self {
            tokens: Tokens::new(desk, Offer::CardsAndTpm),
            login: LoginForm::default(),
            has_code: false,
            code: SecretField::default(),
        }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        login::introduction(ui, desk, Word::Obtain, Word::ObtainIntroduction);
        self.tokens.show(ui, desk);
        let entered = self.login.fields(ui, desk, desk.fresh) | self.code(ui, desk);
        let code = !self.has_code || !self.code.is_empty();
        let complete = code && self.tokens.chosen.is_some() && self.login.is_complete(desk);
        let buttons = Buttons { submit: Some(Word::Authenticate), complete, again: false };
        let submit = (entered && complete).then_some(Pressed::Submit);
        match submit.or(buttons.show(ui, desk))? {
            Pressed::Submit => self.tokens.chosen.clone().map(|device| self.begin(desk, device)),
            Pressed::Connection => Some(Page::connection(desk)),
            Pressed::Again => None,
            Pressed::Back => Some(Page::Start),
        }
    }

    /// Draws the field of the acquisition code; whether Enter was pressed in it.
    fn code(&mut self, ui: &mut Ui, desk: &Desk) -> bool {
        look::focusable(ui.checkbox(&mut self.has_code, desk.word(Word::HasAcquisitionCode)));
        let mut entered = false;
        if self.has_code {
            let code = field::secret(ui, desk.word(Word::AcquisitionCode), &mut self.code);
            entered = login::entered(ui, code);
        }
        look::hint(ui, desk.word(Word::AcquisitionCodeHint));
        if let Some(server) = &desk.route.server {
            ui.add_space(4.0);
            let server = crate::certificate::printable(server);
            ui.label(RichText::new(format!("{}: {server}", desk.word(Word::Server))).small());
        }
        entered
    }

    fn begin(&mut self, desk: &mut Desk, device: Device) -> Page {
        let login = self.login.take(desk);
        let in_tpm = device.is_tpm();
        let job = Job::Obtain {
            user_id: login.user_id,
            password: login.password,
            acquisition_code: self.has_code.then(|| self.code.take_secret()),
            device,
            route: Arc::clone(&desk.route),
        };
        Page::Working(Box::new(Working::new(desk.start(job), Purpose::Obtain, in_tpm)))
    }
}
