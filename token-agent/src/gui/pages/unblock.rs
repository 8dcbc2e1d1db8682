//! PINロック解除: the token, the login ID and the login password. Somebody else approves meanwhile.

use std::sync::Arc;

use eframe::egui::Ui;

use super::{
    Page,
    tokens::{Offer, Tokens},
    working::{Purpose, Working},
};
use crate::{
    gui::{
        desk::Desk,
        login::{self, Buttons, LoginForm, Pressed},
        work::{Device, Job},
    },
    messages::window::Word,
};

/// The form.
pub(in crate::gui) struct Unblock {
    tokens: Tokens,
    login: LoginForm,
}

impl Unblock {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        Self { tokens: Tokens::new(desk, Offer::Cards), login: LoginForm::default() }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        login::introduction(ui, desk, Word::Unblock, Word::UnblockIntroduction);
        self.tokens.show(ui, desk);
        let entered = self.login.fields(ui, desk, desk.fresh);
        let complete = self.tokens.chosen.is_some() && self.login.is_complete(desk);
        let buttons = Buttons { submit: Some(Word::UnblockAsk), complete, again: false };
        let submit = (entered && complete).then_some(Pressed::Submit);
        match submit.or(buttons.show(ui, desk))? {
            Pressed::Submit => self.begin(desk),
            Pressed::Connection => Some(Page::connection(desk)),
            Pressed::Again => None,
            Pressed::Back => Some(Page::Start),
        }
    }

    fn begin(&mut self, desk: &mut Desk) -> Option<Page> {
        let Some(Device::Card(token)) = self.tokens.chosen.clone() else { return None };
        let login = self.login.take(desk);
        let job = Job::Unblock {
            user_id: login.user_id,
            password: login.password,
            token,
            route: Arc::clone(&desk.route),
        };
        Some(Page::Working(Box::new(Working::new(desk.start(job), Purpose::Unblock, false))))
    }
}
