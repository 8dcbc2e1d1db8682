//! A request whose headers claim what a trusted reverse proxy alone may say of a client (RFC 9440, 4). It is refused
//! before anything else is read, and written down: somebody tries to be somebody else, or a proxy is set up wrongly.

use std::sync::Arc;

use super::{
    audit_budget::AuditBudget,
    failure::Failure,
    trail::{Details, event, foreign},
};
use crate::{
    domain::audit::Actor,
    ports::{clock::Clock, store::AuditStore},
};

/// The use case.
pub struct RefuseHeader {
    /// Where it is written.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// So many rows a minute.
    pub budget: Arc<AuditBudget>,
}

/// What is wrong with a request's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Who sent it isn't a trusted proxy.
    NotAProxy,
    /// The proxy's header about the client's certificate can't be read.
    Certificate,
    /// The proxy's header about the client's address can't be read.
    Address,
}

impl HeaderFault {
    /// The stable name in audit rows.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAProxy => "header-not-from-a-proxy",
            Self::Certificate => "header-certificate",
            Self::Address => "header-address",
        }
    }
}

impl RefuseHeader {
    /// Writes it down, as far as the budget goes. `source` is where the connection came from, `proxy` the proxy's name.
    ///
    /// # Errors
    /// [`Failure`] when it can't be written; it is refused all the same.
    pub async fn run(&self, source: &str, proxy: Option<&str>, fault: HeaderFault) -> Result<(), Failure> {
        let now = self.clock.now();
        let Some(unwritten) = self.budget.take(fault.code(), now) else { return Ok(()) };
        let mut row = event(now, Actor::System, "proxy.refused", proxy.unwrap_or("unknown"))
            .with("reason", fault.code())
            .with("source", foreign(source));
        if unwritten > 0 {
            row = row.with("unwritten_before", unwritten);
        }
        Ok(self.audit.append(row).await?)
    }
}
