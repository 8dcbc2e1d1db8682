//! How use cases write the audit trail: one spelling of events, and refusals that change nothing else.

use std::fmt::Display;

use jiff::Timestamp;

use crate::{
    domain::audit::{Actor, AuditEvent},
    ports::store::{AuditStore, StoreResult},
};

/// Foreign text that enters the trail is cut to so many characters.
const MAX_FOREIGN_CHARS: usize = 64;

/// The beginning of an event, to be completed by [`Details::with`].
pub(super) fn event(at: Timestamp, actor: Actor, action: &'static str, subject: impl Display) -> AuditEvent {
    AuditEvent { at, actor, action, subject: subject.to_string(), details: Vec::new() }
}

/// Completes an event.
pub(super) trait Details {
    /// Adds one particular.
    fn with(self, name: &'static str, value: impl Display) -> Self;
}

impl Details for AuditEvent {
    fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.details.push((name, value.to_string()));
        self
    }
}

/// Text from outside that isn't an identifier yet: cut to a sensible length, and nothing in it that a terminal or a
/// database would take for more than text.
pub(super) fn foreign(text: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(MAX_FOREIGN_CHARS).map(shown).collect()
}

/// Writes down a refusal, then returns it. Only when it can't be written does the failure go first.
pub(super) async fn refused<E: From<crate::ports::store::StoreError>>(
    audit: &dyn AuditStore,
    event: AuditEvent,
    refusal: E,
) -> E {
    let written: StoreResult<()> = audit.append(event).await;
    match written {
        Ok(()) => refusal,
        Err(error) => error.into(),
    }
}
