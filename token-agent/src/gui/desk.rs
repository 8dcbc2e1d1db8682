//! What all pages share: language, connection, and how a flow is started.

use std::sync::Arc;

use eframe::egui::{Context, ViewportCommand};

use super::{
    pages::connection::ConnectionForm,
    work::{Job, Machine, Work},
};
use crate::{
    messages::{Lang, window::Word},
    route::Route,
    token::watch::Watch,
};

/// What all pages share.
pub(super) struct Desk {
    pub(super) lang: Lang,
    pub(super) route: Arc<Route>,
    pub(super) connection: ConnectionForm,
    /// What was typed last; the password never stays.
    pub(super) user_id: String,
    /// Whether the page is shown for the first time.
    pub(super) fresh: bool,
    /// How much the bank doesn't know yet of what was erased.
    pub(super) untold: usize,
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

    pub(super) fn close_window(&self) {
        self.context.send_viewport_cmd(ViewportCommand::Close);
    }
}
