//! 証明書更新: which certificate, the login ID and the login password. Superseded certificates whose grace is over are
//! cleared away from here as well.

use std::sync::Arc;

use eframe::egui::{Key, RichText, Ui};

use super::{
    Page,
    working::{Purpose, Working},
};
use crate::{
    gui::{
        app::Desk,
        failure_words,
        field::{self, SecretField},
        look,
        work::{Ended, Job, News, Standing, Work, WorkError},
    },
    messages::{candidate_state, candidate_title, window::Word},
    renew::{Candidate, Readiness},
};

/// The page.
pub(in crate::gui) struct Renew {
    looking: Option<Work>,
    found: Option<Result<Standing, WorkError>>,
    /// Among those that can be renewed.
    chosen: Option<usize>,
    password: SecretField,
}

/// What the person wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Submit,
    Clear,
    Connection,
    Again,
    Back,
}

impl Renew {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        let looking = desk.start(Job::Standing { route: Arc::clone(&desk.route) });
        Self { looking: Some(looking), found: None, chosen: None, password: SecretField::default() }
    }

    fn hear(&mut self, desk: &mut Desk) {
        let Some(looking) = &self.looking else { return };
        let ended = looking.news().find_map(|news| match news {
            News::Ended(ended) => Some(ended),
            _ => None,
        });
        let Some(ended) = ended else { return };
        self.looking = None;
        self.found = Some(ended.map(|ended| match ended {
            Ended::Standing(standing) => *standing,
            _ => Standing::default(),
        }));
        if let [only] = self.due().as_slice() {
            desk.user_id.clone_from(&only.user_id);
            self.chosen = Some(0);
        }
    }

    fn due(&self) -> Vec<&Candidate> {
        let found = self.found.iter().flatten().flat_map(|standing| &standing.candidates);
        found.filter(|candidate| candidate.readiness.is_due()).collect()
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        self.hear(desk);
        look::title(ui, desk.word(Word::Renew));
        look::paragraph(ui, desk.word(Word::RenewIntroduction));
        if desk.route.server.is_none() {
            look::callout(ui, look::AMBER, |ui| look::paragraph(ui, desk.word(Word::ServerMissing)));
        }
        ui.add_space(6.0);
        self.list(ui, desk);
        let clear = self.leftovers(ui, desk).then_some(Wish::Clear);
        let some_due = !self.due().is_empty();
        let entered = some_due && self.fields(ui, desk);
        let filled = !desk.user_id.trim().is_empty() && !self.password.is_empty();
        let complete = filled && self.chosen.is_some() && desk.route.server.is_some();
        let pressed = self.buttons(ui, desk, some_due, complete);
        let submit = (complete && entered).then_some(Wish::Submit);
        match submit.or(pressed).or(clear)? {
            Wish::Submit => self.begin(desk),
            Wish::Clear => {
                let work = desk.start(Job::ClearAway);
                Some(Page::Working(Box::new(Working::new(work, Purpose::Renew))))
            }
            Wish::Connection => Some(Page::Connection),
            Wish::Again => {
                *self = Self::new(desk);
                None
            }
            Wish::Back => Some(Page::Start),
        }
    }

    /// Draws what was found.
    fn list(&mut self, ui: &mut Ui, desk: &mut Desk) {
        let lang = desk.lang;
        match &self.found {
            None => {
                look::status(ui, desk.word(Word::TokenLooking).into());
            }
            Some(Err(error)) => {
                let words = failure_words(error, lang);
                look::callout(ui, look::RED, |ui| {
                    look::status(ui, RichText::new(words.what).color(look::RED));
                    look::paragraph(ui, &words.next);
                });
            }
            Some(Ok(standing)) if standing.candidates.is_empty() => {
                look::card(ui, |ui| look::status(ui, desk.word(Word::NoCertificates).into()));
            }
            Some(Ok(standing)) => {
                let mut number = 0;
                for candidate in &standing.candidates {
                    let (title, state) = (candidate_title(candidate, lang), candidate_state(candidate, lang));
                    let colour = match candidate.readiness {
                        Readiness::Open | Readiness::UnderWay => look::AMBER,
                        Readiness::Expired => look::RED,
                        _ => look::GREEN,
                    };
                    look::callout(ui, colour, |ui| {
                        if candidate.readiness.is_due() {
                            let radio = ui.radio_value(&mut self.chosen, Some(number), title);
                            if look::focusable(radio).clicked() {
                                desk.user_id.clone_from(&candidate.user_id);
                            }
                            number += 1;
                        } else {
                            ui.label(title);
                        }
                        look::hint(ui, &state);
                    });
                }
                if number == 0 {
                    look::status(ui, desk.word(Word::NothingToRenew).into());
                }
            }
        }
    }

    /// Draws what is to be cleared away; whether it shall be.
    fn leftovers(&self, ui: &mut Ui, desk: &Desk) -> bool {
        let left = self.found.iter().flatten().any(|standing| standing.leftovers);
        left && look::callout(ui, look::AMBER, |ui| {
            look::paragraph(ui, desk.word(Word::ClearAwayHint));
            look::secondary(ui, desk.word(Word::ClearAway)).clicked()
        })
    }

    /// Draws the fields; whether Enter was pressed in one of them.
    fn fields(&mut self, ui: &mut Ui, desk: &mut Desk) -> bool {
        let login = look::focusable(field::text(ui, desk.word(Word::LoginId), &mut desk.user_id));
        let password = look::focusable(field::secret(ui, desk.word(Word::LoginPassword), &mut self.password));
        let enter = ui.input(|input| input.key_pressed(Key::Enter));
        enter && (login.lost_focus() || password.lost_focus())
    }

    fn buttons(&self, ui: &mut Ui, desk: &Desk, some_due: bool, complete: bool) -> Option<Wish> {
        look::buttons(ui, |ui| {
            let mut wish = None;
            if some_due && look::primary(ui, desk.word(Word::Authenticate), complete).clicked() {
                wish = Some(Wish::Submit);
            }
            if desk.route.server.is_none() && look::secondary(ui, desk.word(Word::Connection)).clicked() {
                wish = Some(Wish::Connection);
            }
            if self.found.is_some() && look::secondary(ui, desk.word(Word::Refresh)).clicked() {
                wish = Some(Wish::Again);
            }
            let back = look::secondary(ui, desk.word(Word::Back));
            if desk.fresh {
                back.request_focus();
            }
            if back.clicked() { Some(Wish::Back) } else { wish }
        })
    }

    fn begin(&mut self, desk: &mut Desk) -> Option<Page> {
        let candidate = self.chosen.and_then(|chosen| self.due().get(chosen).copied().cloned())?;
        desk.user_id = desk.user_id.trim().to_owned();
        let job = Job::Renew {
            user_id: desk.user_id.clone(),
            password: self.password.take_secret(),
            candidate: Box::new(candidate),
            route: Arc::clone(&desk.route),
        };
        Some(Page::Working(Box::new(Working::new(desk.start(job), Purpose::Renew))))
    }
}
