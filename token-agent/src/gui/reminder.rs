//! A token that stays in a computer where nobody works is one that anybody can take, or use with the PIN that they saw.

use std::time::Duration;

use eframe::egui::{Context, RichText, Ui, UserAttentionType, ViewportCommand};

use super::look;
use crate::messages::{Lang, window::Word};

/// When a person is reminded of it; `None` for never.
pub(super) struct Reminder {
    after: Option<Duration>,
    /// When somebody last did something at the window, in seconds of its clock.
    active_at: f64,
    reminded: bool,
}

impl Reminder {
    pub(super) fn new(after: Option<Duration>) -> Self {
        Self { after, active_at: 0.0, reminded: false }
    }

    /// Looks at what happened since the last frame; whether to remind now.
    pub(super) fn is_due(&mut self, context: &Context, card: bool) -> bool {
        let Some(after) = self.after else { return false };
        let (now, active) = context.input(|input| (input.time, !input.events.is_empty()));
        if active || !card {
            (self.active_at, self.reminded) = (now, false);
            return false;
        }
        let idle = now - self.active_at;
        if idle < after.as_secs_f64() {
            context.request_repaint_after_secs(as_f32(after.as_secs_f64() - idle));
            return false;
        }
        if !self.reminded {
            self.reminded = true;
            let attention = UserAttentionType::Informational;
            context.send_viewport_cmd(ViewportCommand::RequestUserAttention(attention));
        }
        true
    }

    /// What is said.
    pub(super) fn show(ui: &mut Ui, lang: Lang) {
        look::callout(ui, look::AMBER, |ui| {
            look::status(ui, RichText::new(Word::ReminderTitle.text(lang)).size(18.0).color(look::AMBER));
            look::paragraph(ui, Word::ReminderHint.text(lang));
        });
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a wait of some minutes, to the second")]
fn as_f32(seconds: f64) -> f32 {
    seconds.max(0.1) as f32
}
