//! A form at the portal that didn't come from one of its own pages: another site's, or one that somebody put together. It
//! changes nothing, and it is written down, because an attack may be under way.

use std::sync::Arc;

use super::{
    audit_budget::AuditBudget,
    failure::Failure,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        ids::{IssuerId, SerialNumber},
    },
    ports::{
        clock::Clock,
        store::{AuditStore, CertificateStore},
    },
};

/// The use case.
pub struct RefuseForm {
    /// Whose browser it was.
    pub certificates: Arc<dyn CertificateStore>,
    /// Where it is written.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The customers' issuer.
    pub issuer: IssuerId,
    /// So many rows a minute.
    pub budget: Arc<AuditBudget>,
}

/// What gave it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// The browser said that another site sent it.
    CrossSite,
    /// It lacks the token of the page that it should come from, as it does when that page is older than the session.
    Token,
}

impl Forgery {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::CrossSite => "form-cross-site",
            Self::Token => "form-token",
        }
    }
}

impl RefuseForm {
    /// Writes it down, as far as the budget goes. `certificate` is the connection's, DER; `form` names the form.
    ///
    /// # Errors
    /// [`Failure`] when it can't be written; it is refused all the same.
    pub async fn run(
        &self,
        certificate: Option<&[u8]>,
        form: &'static str,
        forgery: Forgery,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        let Some(unwritten) = self.budget.take(forgery.code(), now) else { return Ok(()) };
        let serial = certificate.and_then(SerialNumber::of_certificate);
        let record = match &serial {
            Some(serial) => self.certificates.certificate(&self.issuer, serial).await?,
            None => None,
        };
        // Another authority's certificate with the same number says nothing about our user.
        let record = record.filter(|record| record.der() == certificate);
        let user = record.as_ref().map(|record| record.user.to_string());
        let actor = user.clone().map_or(Actor::System, Actor::User);
        let mut row = event(now, actor, "form.refused", user.as_deref().unwrap_or("unknown"))
            .with("reason", forgery.code())
            .with("form", form);
        if let Some(record) = record {
            row = row.with("serial", record.serial);
        }
        if unwritten > 0 {
            row = row.with("unwritten_before", unwritten);
        }
        Ok(self.audit.append(row).await?)
    }
}
