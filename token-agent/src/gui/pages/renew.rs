//! 証明書更新: which certificate, the login ID and the login password. Superseded certificates whose grace is over are
//! cleared away from here as well.

use std::sync::Arc;

use eframe::egui::{RichText, Ui};

use super::{
    Page,
    working::{Purpose, Working},
};
use crate::{
    gui::{
        desk::Desk,
        failure_words,
        login::{self, Buttons, LoginForm, Pressed},
        look,
        work::{Ended, Job, Standing, Work, WorkError},
    },
    messages::{candidate_state, candidate_title, window::Word},
    renew::{Candidate, Readiness, Spot},
};

/// The page.
pub(in crate::gui) struct Renew {
    looking: Option<Work>,
    found: Option<Result<Standing, WorkError>>,
    /// Among those that can be renewed.
    chosen: Option<usize>,
    login: LoginForm,
    /// The list has just arrived.
    arrived: bool,
}

impl Renew {
    pub(in crate::gui) fn new(desk: &Desk) -> Self {
        let looking = desk.start(Job::Standing { route: Arc::clone(&desk.route) });
        Self {
            looking: Some(looking),
            found: None,
            chosen: None,
            login: LoginForm::default(),
            arrived: false,
        }
    }

    fn hear(&mut self, desk: &mut Desk) {
        let Some(ended) = self.looking.as_ref().and_then(Work::ended) else { return };
        self.looking = None;
        self.found = Some(ended.map(|ended| match ended {
            Ended::Standing(standing) => *standing,
            _ => Standing::default(),
        }));
        if let [only] = self.due().as_slice() {
            desk.user_id.clone_from(&only.user_id);
            self.chosen = Some(0);
        }
        self.arrived = true;
    }

    fn due(&self) -> Vec<&Candidate> {
        let found = self.found.iter().flatten().flat_map(|standing| &standing.candidates);
        found.filter(|candidate| candidate.readiness.is_due()).collect()
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        self.hear(desk);
        login::introduction(ui, desk, Word::Renew, Word::RenewIntroduction);
        self.list(ui, desk);
        let clear = self.leftovers(ui, desk);
        let some_due = !self.due().is_empty();
        // Whoever renews the only one types the password next.
        let begin = std::mem::take(&mut self.arrived) && self.chosen.is_some();
        let entered = some_due && self.login.fields(ui, desk, begin);
        let complete = self.chosen.is_some() && self.login.is_complete(desk);
        let submit = some_due.then_some(Word::Authenticate);
        let buttons = Buttons { submit, complete, again: self.found.is_some() };
        if clear {
            let work = desk.start(Job::ClearAway);
            return Some(Page::Working(Box::new(Working::new(work, Purpose::Renew, false))));
        }
        let submit = (entered && complete).then_some(Pressed::Submit);
        match submit.or(buttons.show(ui, desk))? {
            Pressed::Submit => self.begin(desk),
            Pressed::Connection => Some(Page::connection(desk)),
            Pressed::Again => {
                *self = Self::new(desk);
                None
            }
            Pressed::Back => Some(Page::Start),
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

    fn begin(&mut self, desk: &mut Desk) -> Option<Page> {
        let candidate = self.chosen.and_then(|chosen| self.due().get(chosen).copied().cloned())?;
        let login = self.login.take(desk);
        let in_tpm = matches!(candidate.spot, Spot::Tpm { .. });
        let job = Job::Renew {
            user_id: login.user_id,
            password: login.password,
            candidate: Box::new(candidate),
            route: Arc::clone(&desk.route),
        };
        Some(Page::Working(Box::new(Working::new(desk.start(job), Purpose::Renew, in_tpm))))
    }
}
