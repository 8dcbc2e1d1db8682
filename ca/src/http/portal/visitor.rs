//! Who a request comes from: the certificate of its connection, looked up in the ledger, and the session of its cookie.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use ca_core::{
    app::{
        failure::Failure,
        session::{ActiveSession, Ended, SessionError, csrf_token},
    },
    domain::{
        ids::{SerialNumber, UserId},
        login::{Reason, still_good},
        user::{PasswordKind, Role},
    },
};
use std::sync::Arc;

use super::{
    Portal,
    catalogue::Language,
    cookies, message,
    pages::{Frame, Who},
    see, unavailable,
};
use crate::http::{connection::Peer, support::SupportId};

/// What every handler knows of its request.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) language: Language,
    pub(super) support_id: SupportId,
    /// Where the request comes from, as throttles know it.
    pub(super) source: String,
    /// The certificate whose key the connection proved, DER.
    pub(super) certificate: Option<Vec<u8>>,
    /// The session cookie.
    pub(super) session: Option<String>,
    /// The cookie behind the login form's token.
    pub(super) form: Option<String>,
    /// The address's query without the language, as the language switch keeps it.
    pub(super) query: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        let missing = StatusCode::INTERNAL_SERVER_ERROR;
        let peer = parts.extensions.get::<Peer>().ok_or(missing)?;
        let cookie = |name| cookies::value(&parts.headers, name).map(ToOwned::to_owned);
        Ok(Self {
            language: *parts.extensions.get::<Language>().ok_or(missing)?,
            support_id: *parts.extensions.get::<SupportId>().ok_or(missing)?,
            source: peer.throttled_as(),
            certificate: peer.identity.customer().map(|certificate| certificate.to_vec()),
            session: cookie(cookies::SESSION),
            form: cookie(cookies::FORM),
            query: kept(parts.uri.query().unwrap_or_default()),
        })
    }
}

fn kept(query: &str) -> String {
    let kept = |pair: &&str| !pair.is_empty() && !pair.starts_with("lang=");
    query.split('&').filter(kept).flat_map(|pair| [pair, "&"]).collect()
}

/// What can be said of the certificate before a password is asked for.
pub(super) enum Presented {
    /// Of this user, and good. Account and password are judged together, later.
    Of(UserId),
    /// Not good, and why.
    NotGood(Reason),
}

/// Looks up the visitor's certificate.
pub(super) async fn presented(portal: &Portal, visitor: &Visitor) -> Result<Presented, Failure> {
    let Some(der) = &visitor.certificate else { return Ok(Presented::NotGood(Reason::NoCertificate)) };
    let unknown = Presented::NotGood(Reason::UnknownCertificate);
    let Some(serial) = SerialNumber::of_certificate(der) else { return Ok(unknown) };
    let Some(shown) = portal.certificates.show(&portal.issuer, &serial).await? else { return Ok(unknown) };
    if shown.record.der() != Some(der) {
        return Ok(unknown);
    }
    let user = match portal.customers.user(&shown.record.user).await {
        Ok(user) => user,
        Err(ca_core::app::customers::CustomerError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(unknown),
    };
    Ok(match still_good(&shown.record, &user, portal.clock.now()) {
        // The login says the same of these as of a wrong password.
        Ok(()) | Err(Reason::AccountClosed | Reason::Locked) => Presented::Of(shown.record.user),
        Err(reason) => Presented::NotGood(reason),
    })
}

/// The page that explains why a certificate or an account can't be used.
pub(super) fn explain(reason: Reason, visitor: &Visitor, portal: &Portal) -> Response {
    let t = visitor.language.catalogue();
    let text = match reason {
        Reason::NoCertificate => (t.no_certificate_title, t.no_certificate_text),
        Reason::Revoked => (t.revoked_title, t.revoked_text),
        Reason::Superseded => (t.superseded_title, t.superseded_text),
        Reason::Expired | Reason::NotYetValid => (t.expired_title, t.expired_text),
        Reason::UnknownCertificate | Reason::OtherUser => (t.unusable_title, t.unusable_text),
        Reason::AccountClosed => (t.suspended_title, t.suspended_text),
        Reason::Locked | Reason::WrongPassword => (t.session_ended_title, t.session_ended_text),
    };
    message(StatusCode::FORBIDDEN, visitor.language, text, None, Some(visitor.support_id), portal)
}

/// A visitor who is logged in, on a session that the ledger just confirmed.
pub(super) struct LoggedIn {
    pub(super) visitor: Visitor,
    pub(super) active: ActiveSession,
    pub(super) csrf: String,
}

impl LoggedIn {
    pub(super) fn is_master(&self) -> bool {
        self.active.user.role == Role::Master
    }

    /// The frame of a page for this visitor.
    pub(super) fn frame(&self, section: &'static str) -> Frame {
        let who = Who {
            user_id: self.active.user.id.to_string(),
            master: self.is_master(),
            csrf: self.csrf.clone(),
        };
        let query = self.visitor.query.clone();
        Frame { section, who: Some(who), query, ..Frame::anonymous(self.visitor.language) }
    }
}

impl<S> FromRequestParts<S> for LoggedIn
where
    S: Send + Sync,
    Arc<Portal>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let portal = Arc::<Portal>::from_ref(state);
        let visitor = Visitor::from_request_parts(parts, state)
            .await
            .map_err(axum::response::IntoResponse::into_response)?;
        let token = visitor.session.clone().ok_or_else(|| see("/login"))?;
        let error = match portal.session.run(&token, visitor.certificate.as_deref()).await {
            Ok(active) => match first_of_all(&active, parts.uri.path()) {
                Some(path) => return Err(see(path)),
                None => return Ok(Self { visitor, active, csrf: csrf_token(&token) }),
            },
            Err(error) => error,
        };
        Err(ended(error, &visitor, &portal))
    }
}

/// The address of the form for a password.
pub(super) fn password_path(kind: PasswordKind) -> &'static str {
    match kind {
        PasswordKind::Login => "/settings/password",
        PasswordKind::Confirmation => "/settings/confirmation-password",
    }
}

/// Where a user is sent who has a password that somebody else knows: it is changed before anything else is done. Logging
/// out and stopping the ID can't wait for it.
fn first_of_all(active: &ActiveSession, path: &str) -> Option<&'static str> {
    let form = password_path(active.to_change?);
    (![form, "/logout", "/settings/stop"].contains(&path)).then_some(form)
}

fn ended(error: SessionError, visitor: &Visitor, portal: &Portal) -> Response {
    let t = visitor.language.catalogue();
    let mut response = match error {
        SessionError::Unknown => see("/login"),
        SessionError::Ended(Ended::NoLongerGood(reason)) => explain(reason, visitor, portal),
        SessionError::Ended(Ended::Idle | Ended::TooOld | Ended::OtherCertificate) => {
            let text = (t.session_ended_title, t.session_ended_text);
            let link = Some((t.to_login, "/login".to_owned()));
            message(StatusCode::FORBIDDEN, visitor.language, text, link, None, portal)
        }
        SessionError::Failure(failure) => {
            return unavailable("checking a session", &failure, visitor.language, visitor.support_id, portal);
        }
    };
    if let Some(cookie) = cookies::delete(cookies::SESSION) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
