//! The window itself: one page at a time, and the flow that is under way.

use std::sync::Arc;

use eframe::egui::{self, Context, Ui, ViewportCommand};

use super::{
    Setup,
    desk::Desk,
    look,
    pages::{Page, failed::Failed},
    reminder::Reminder,
    work::{Ended, Machine, News},
};
use crate::{
    messages::{Lang, window::Word},
    token::watch::Watch,
};

/// The application.
pub(super) struct Window {
    desk: Desk,
    page: Page,
    /// Somebody tried to close it while it was at work.
    held: bool,
    reminder: Reminder,
}

impl Window {
    pub(super) fn new(setup: Setup, context: &Context) -> Self {
        let reminder = Reminder::new(setup.remind_after);
        let mut desk = Desk {
            lang: setup.lang,
            route: Arc::new(setup.route),
            user_id: setup.user_id,
            fresh: true,
            untold: 0,
            to_revoke: 0,
            watch: Watch::start({
                let context = context.clone();
                move || context.request_repaint()
            }),
            machine: Machine {
                state_dir: setup.state_dir,
                pkcs11_module: setup.pkcs11_module,
                permitted: setup.permitted,
                tpm: setup.tpm,
                pin_length: setup.pin_length,
                grace: setup.grace,
            },
            context: context.clone(),
        };
        desk.look_what_is_left();
        Self { desk, page: Page::Start, held: false, reminder }
    }

    fn turn_to(&mut self, page: Page) {
        self.page = page;
        self.desk.fresh = true;
        self.desk.look_what_is_left();
        self.held = false;
        self.desk.context.request_repaint();
    }

    /// A flow that is interrupted can be resumed, but a token that is left in the middle of a command is no state that
    /// anybody should need.
    fn guard_closing(&mut self) {
        let closing = self.desk.context.input(|input| input.viewport().close_requested());
        let Page::Working(working) = &mut self.page else { return };
        if closing && !working.withdraw() {
            self.desk.context.send_viewport_cmd(ViewportCommand::CancelClose);
            self.held = true;
        }
    }

    fn hear(&mut self) {
        let Page::Working(working) = &mut self.page else { return };
        let news: Vec<News> = working.work.news().collect();
        for item in news {
            match item {
                News::Step(step) => working.progress.on(step),
                News::Asks(ask) => working.ask(ask),
                News::Looking(_) => {}
                News::Ended(Ok(ended)) => {
                    let next = match ended {
                        Ended::Obtained(outcome) => {
                            Page::obtained(*outcome, &working.progress, self.desk.lang)
                        }
                        Ended::Renewed(outcome) => Page::renewed(*outcome, &working.progress, self.desk.lang),
                        Ended::ClearedAway(done) => Page::ClearedAway(done),
                        Ended::PinChanged(changed) => Page::PinChanged(changed),
                        Ended::Erased(gone, told) => Page::erased(*gone, told),
                        Ended::Unblocked(unblocked) => Page::Unblocked(unblocked),
                        Ended::Looked(_) | Ended::Surveyed(_) | Ended::Diagnosed(_) | Ended::Standing(_) => {
                            Page::Start
                        }
                        #[cfg(target_os = "linux")]
                        Ended::BrowsersSetUp(_) => Page::Start,
                    };
                    return self.turn_to(next);
                }
                News::Ended(Err(error)) => {
                    if error.wants_proxy_password() {
                        self.desk.route.forget_asked_password();
                    }
                    let next = match Failed::of(error, working.purpose) {
                        Some(failed) => Page::Failed(Box::new(failed)),
                        None => working.purpose.begin(&self.desk),
                    };
                    return self.turn_to(next);
                }
            }
        }
    }
}

impl eframe::App for Window {
    fn logic(&mut self, _: &Context, _: &mut eframe::Frame) {
        self.guard_closing();
        self.hear();
    }

    fn clear_color(&self, _: &egui::Visuals) -> [f32; 4] {
        look::PAPER.to_normalized_gamma_f32()
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        // An administrator who has set the language has set it for good.
        let other = if self.desk.route.fixed.lang { "" } else { self.desk.word(Word::OtherLanguage) };
        if look::header(ui, self.desk.word(Word::Product), other) {
            self.desk.lang = match self.desk.lang {
                Lang::Ja => Lang::En,
                Lang::En => Lang::Ja,
            };
            let title = self.desk.word(Word::Product).to_owned();
            ui.ctx().send_viewport_cmd(ViewportCommand::Title(title));
        }
        if let Page::Working(working) = &mut self.page {
            working.ask_beside(ui.ctx(), &self.desk);
        }
        let held = self.held;
        let remind = self.reminder.is_due(ui.ctx(), self.desk.watch.sees_card());
        let (desk, page) = (&mut self.desk, &mut self.page);
        let next = look::page(ui, page.name(), |ui| {
            if held {
                look::callout(ui, look::AMBER, |ui| {
                    look::status(ui, egui::RichText::new(desk.word(Word::NotNow)));
                });
            }
            if remind {
                Reminder::show(ui, desk.lang);
            }
            page.show(ui, desk)
        });
        self.desk.fresh = false;
        if let Some(next) = next {
            self.turn_to(next);
        }
    }
}
