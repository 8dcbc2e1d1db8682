//! Who a request comes from: the staff certificate of its connection, and the session of its cookie, both looked up in
//! the ledger at each request.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use ca_core::{
    app::{
        session::csrf_token,
        staff::{
            Acting,
            session::{ActiveStaff, Presented, StaffSessionError, Unfit},
        },
    },
    domain::{ids::SerialNumber, machine::ValiditySpan, staff::Task},
};
use der::{Decode, Encode};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

use super::{
    Console,
    catalogue::{Catalogue, done},
    page::{Frame, Page, Who},
};
use crate::{
    http::{
        connection::Peer,
        portal::{catalogue::Language, cookies},
        support::SupportId,
    },
    logging,
};

/// The session's cookie. Cookies know no port: it isn't the portal's, should both be on one host.
pub(super) const SESSION: &str = "__Host-inro-staff-session";
/// The random value behind the login form's token, before there is a session.
pub(super) const FORM: &str = "__Host-inro-staff-form";

/// What every handler knows of its request.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) language: Language,
    pub(super) support_id: SupportId,
    /// The certificate whose key the connection proved.
    pub(super) presented: Option<Presented>,
    pub(super) session: Option<String>,
    pub(super) form: Option<String>,
    /// What the language switch keeps of the address.
    pub(super) query: String,
}

impl Visitor {
    pub(super) fn t(&self) -> &'static Catalogue {
        Catalogue::of(self.language)
    }

    pub(super) fn frame(&self) -> Frame {
        Frame { query: self.query.clone(), ..Frame::anonymous(self.language) }
    }

    /// A page that explains something to somebody who isn't logged in.
    pub(super) fn explain(&self, status: StatusCode, title: &'static str, paragraphs: &[&str]) -> Response {
        Page::new(self.frame(), title).paragraphs(paragraphs).support(self.support_id).respond(status)
    }

    /// The page for what went wrong below; what it was stands in the log under the support ID.
    pub(super) fn unavailable(&self, error: &(dyn std::error::Error + 'static)) -> Response {
        tracing::error!(error = %logging::chain(error), "the console failed");
        not_now(self.frame(), self.support_id)
    }
}

/// The page for what isn't possible at the moment.
pub(super) fn not_now(frame: Frame, support_id: SupportId) -> Response {
    let (title, text) = (frame.t.unavailable_title, frame.t.unavailable_text);
    let page = Page::new(frame, title).paragraphs(text).support(support_id);
    let mut response = page.respond(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        let missing = StatusCode::INTERNAL_SERVER_ERROR;
        let peer = parts.extensions.get::<Peer>().ok_or(missing)?;
        let cookie = |name| cookies::value(&parts.headers, name).map(ToOwned::to_owned);
        let kept = parts.uri.query().unwrap_or_default().split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("lang="));
        Ok(Self {
            language: *parts.extensions.get::<Language>().ok_or(missing)?,
            support_id: *parts.extensions.get::<SupportId>().ok_or(missing)?,
            presented: presented(peer),
            session: cookie(SESSION),
            form: cookie(FORM),
            query: kept.map(|pair| format!("{pair}&")).collect::<Vec<_>>().concat(),
        })
    }
}

/// What the connection's certificate says, when there is one.
pub(super) fn presented(peer: &Peer) -> Option<Presented> {
    peer.identity.customer().and_then(|certificate| read(certificate))
}

/// The verifier has checked its signature before.
fn read(certificate: &[u8]) -> Option<Presented> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let tbs = certificate.tbs_certificate();
    let key = tbs.subject_public_key_info().to_der().ok()?;
    let serial = SerialNumber::from_bytes(tbs.serial_number().as_bytes()).ok()?;
    Some(Presented { serial, key_sha256: Sha256::digest(key).into(), validity: ValiditySpan::of(tbs) })
}

/// A member of staff on a session that the ledger just confirmed.
#[derive(Clone)]
pub(super) struct Officer {
    pub(super) visitor: Visitor,
    pub(super) active: ActiveStaff,
    pub(super) csrf: String,
}

impl Officer {
    pub(super) fn acting(&self) -> &Acting {
        &self.active.acting
    }

    pub(super) fn t(&self) -> &'static Catalogue {
        self.visitor.t()
    }

    pub(super) fn may(&self, task: Task) -> bool {
        self.acting().may(task)
    }

    /// A moment in Japan time.
    pub(super) fn time(&self, at: Timestamp) -> String {
        self.visitor.language.catalogue().time(at)
    }

    /// What was just done, told by the page that follows.
    pub(super) fn notice(&self) -> Option<&'static str> {
        let word = self.visitor.query.split('&').find_map(|pair| pair.strip_prefix("done="))?;
        done(self.t(), word)
    }

    /// A page with the menu that the member's roles have.
    pub(super) fn page(&self, section: &'static str, title: impl Into<String>) -> Page {
        let t = self.t();
        let all = [
            (None, t.home, "/home"),
            (Some(Task::ReadCustomers), t.customers, "/search"),
            (Some(Task::ReadCustomers), t.tokens, "/tokens"),
            (Some(Task::ReadApprovals), t.approvals, "/approvals"),
            (Some(Task::ReadStaff), t.staff, "/staff"),
            (Some(Task::ReadHealth), t.health, "/health"),
            (Some(Task::ReadCustomers), t.mail, "/mail"),
            (Some(Task::ReadHealth), t.calendar, "/calendar"),
            (Some(Task::ReadAudit), t.audit, "/audit"),
        ];
        let shown = all.into_iter().filter(|(task, ..)| task.is_none_or(|task| self.may(task)));
        let menu = shown.map(|(_, label, href)| (label, href)).collect();
        let who = Who { id: self.acting().id().to_string(), csrf: self.csrf.clone(), menu };
        Page::new(Frame { section, who: Some(who), ..self.visitor.frame() }, title)
    }
}

impl FromRequestParts<Arc<Console>> for Officer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        let visitor =
            Visitor::from_request_parts(parts, console).await.map_err(IntoResponse::into_response)?;
        let token = visitor.session.clone().ok_or_else(|| Redirect::to("/").into_response())?;
        match console.sessions.check(&token, visitor.presented.as_ref()).await {
            Ok(active) => Ok(Self { visitor, active, csrf: csrf_token(&token) }),
            Err(error) => Err(no_session(error, &visitor)),
        }
    }
}

/// What somebody without a session is told.
pub(super) fn no_session(error: StaffSessionError, visitor: &Visitor) -> Response {
    let t = visitor.t();
    let mut response = match error {
        StaffSessionError::None => Redirect::to("/").into_response(),
        StaffSessionError::Over | StaffSessionError::OtherCertificate => {
            let page = Page::new(visitor.frame(), t.session_over_title).paragraphs(t.session_over_text);
            page.linked(t.to_login, "/").respond(StatusCode::FORBIDDEN)
        }
        StaffSessionError::Unfit(unfit) => unfit_page(unfit, visitor),
        StaffSessionError::Failure(failure) => return visitor.unavailable(&failure),
    };
    if let Some(cookie) = cookies::delete(SESSION) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Why a certificate opens nothing.
pub(super) fn unfit_page(unfit: Unfit, visitor: &Visitor) -> Response {
    let t = visitor.t();
    let (title, text) = match unfit {
        Unfit::Missing => (t.no_certificate_title, t.no_certificate_text),
        Unfit::Unknown => (t.unknown_title, t.unknown_text),
        Unfit::Withdrawn => (t.withdrawn_title, t.withdrawn_text),
        Unfit::Revoked => (t.revoked_title, t.revoked_text),
        Unfit::Expired | Unfit::NotYetValid => (t.expired_title, t.expired_text),
    };
    visitor.explain(StatusCode::FORBIDDEN, title, text)
}
