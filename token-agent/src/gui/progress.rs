//! How far a flow is: what a page at work shows.

use crate::{
    enrol::{Question, Step},
    messages::{Lang, question, step, window::Stage},
};

/// The stages that are passed, the present step, and what was said beside them.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) stage: Option<Stage>,
    pub(super) step: Option<Step>,
    /// What matters after the moment as well.
    pub(super) notes: Vec<Step>,
}

impl Progress {
    pub(super) fn on(&mut self, step: Step) {
        self.stage = self.stage.max(Stage::of(&step));
        if matches!(
            step,
            Step::NewerAgent { .. }
                | Step::ClockDiffers { .. }
                | Step::Resuming
                | Step::BeginningAnew
                | Step::PukForgotten
                | Step::PukKept
                | Step::ManagementKeyKept(_)
        ) {
            self.notes.push(step);
        } else {
            self.step = Some(step);
        }
    }

    /// Whatever is asked is asked for the token's sake.
    pub(super) fn at_the_token(&mut self) {
        self.stage = self.stage.max(Some(Stage::Token));
    }

    /// Whether the person has to touch the token now.
    pub(super) fn wants_touch(&self) -> bool {
        self.step == Some(Step::Touch)
    }

    /// Whether somebody else has to approve first.
    pub(super) fn waits_for_approval(&self) -> bool {
        matches!(self.step, Some(Step::WaitingForApproval { .. }))
    }

    /// The present step in words.
    pub(super) fn words(&self, lang: Lang) -> String {
        self.step.as_ref().map(|now| step(now, lang)).unwrap_or_default()
    }

    pub(super) fn notes(&self, lang: Lang) -> impl Iterator<Item = String> {
        self.notes.iter().map(move |note| step(note, lang))
    }

    pub(super) fn question(asked: &Question, lang: Lang) -> String {
        question(asked, lang)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_only_go_forward_and_notes_stay() {
        let mut progress = Progress::default();
        for step in [Step::CheckingVersion, Step::Resuming, Step::Authenticating, Step::Requesting] {
            progress.on(step);
        }
        // A challenge that ran out is renewed.
        progress.on(Step::Authenticating);
        assert_eq!(progress.stage, Some(Stage::Request));
        assert_eq!(progress.step, Some(Step::Authenticating));
        assert_eq!(progress.notes, [Step::Resuming]);
        progress.on(Step::Touch);
        assert!(progress.wants_touch());
    }
}
