//! What all pages share: language, connection, and how a flow is started.

use std::sync::Arc;

use eframe::egui::{Context, ViewportCommand};
use jiff::Timestamp;

use super::work::{Job, Machine, Work};
use crate::{
    farewell::Farewells,
    messages::{Lang, window::Word},
    route::Route,
    token::watch::Watch,
};

/// What all pages share.
pub(super) struct Desk {
    pub(super) lang: Lang,
    pub(super) route: Arc<Route>,
    /// What was typed last; the password never stays.
    pub(super) user_id: String,
    /// Whether the page is shown for the first time.
    pub(super) fresh: bool,
    /// How much the bank doesn't know yet of what was erased.
    pub(super) untold: usize,
    /// How many certificates are to be revoked by hand, because their keys could not sign that they go.
    pub(super) to_revoke: usize,
    /// Cards that come and go.
    pub(super) watch: Watch,
    pub(super) machine: Machine,
    pub(super) context: Context,
}

impl Desk {
    pub(super) fn word(&self, word: Word) -> &'static str {
        word.text(self.lang)
    }

    /// Whether a new key may be made in this computer's TPM.
    pub(super) fn permits_tpm(&self) -> bool {
        self.machine.permitted.covers_tpm()
    }

    /// Starts a flow.
    pub(super) fn start(&self, job: Job) -> Work {
        Work::start(job, self.machine.clone(), self.context.clone())
    }

    fn farewells(&self) -> Farewells {
        Farewells::new(&self.machine.state_dir)
    }

    /// Looks what the bank doesn't know.
    pub(super) fn look_what_is_left(&mut self) {
        let (farewells, now) = (self.farewells(), Timestamp::now());
        self.untold = farewells.count().unwrap_or_default();
        let to_revoke = farewells.settle(|_, details| details.not_after < now);
        self.to_revoke = to_revoke.map_or(0, |certificates| certificates.len());
    }

    /// The person has asked for the revocation of what is to be revoked by hand.
    pub(super) fn revocation_is_asked_for(&self) {
        if let Err(error) = self.farewells().settle(|_, _| true) {
            tracing::warn!(%error, "the notes of erased keys can't be removed");
        }
    }

    pub(super) fn close_window(&self) {
        self.context.send_viewport_cmd(ViewportCommand::Close);
    }
}
