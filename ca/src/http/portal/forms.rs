//! What forms bring: their fields, and whether they are this session's.

use axum::{http::StatusCode, response::Response};
use ca_core::app::refuse_form::Forgery;
use secrecy::SecretString;

use super::{Portal, message, unavailable, visitor::LoggedIn};

/// A form's fields in the order of the page; a name may occur several times.
pub(super) type Fields = Vec<(String, String)>;

/// The first field with this name; empty when there is none.
pub(super) fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
}

/// Takes a password out of the fields, so that no page can show it again.
pub(super) fn secret(fields: &mut Fields, name: &str) -> SecretString {
    let found = fields.iter_mut().find(|(other, _)| other == name);
    found.map(|(_, value)| std::mem::take(value)).unwrap_or_default().into()
}

/// The answer to a form that isn't this session's; `None` when it is. `form` names it in the trail, `back` is its page.
pub(super) async fn foreign(
    portal: &Portal,
    logged_in: &LoggedIn,
    fields: &Fields,
    (form, back): (&'static str, &str),
) -> Option<Response> {
    if logged_in.active.csrf_matches(field(fields, "csrf")) {
        return None;
    }
    let visitor = &logged_in.visitor;
    portal.forged(visitor.certificate.as_deref(), form, Forgery::Token).await;
    let t = visitor.language.catalogue();
    let link = Some((t.back, back.to_owned()));
    let text = (t.not_understood_title, t.not_understood_text);
    Some(message(StatusCode::FORBIDDEN, visitor.language, text, link, None, portal))
}

/// Only the master may do this.
pub(super) fn not_permitted(portal: &Portal, logged_in: &LoggedIn) -> Response {
    let visitor = &logged_in.visitor;
    let t = visitor.language.catalogue();
    let text = (t.not_permitted_title, t.not_permitted_text);
    let link = Some((t.to_home, "/home".to_owned()));
    message(StatusCode::FORBIDDEN, visitor.language, text, link, Some(visitor.support_id), portal)
}

/// Something below failed.
pub(super) fn failed(
    what: &'static str,
    error: &(dyn std::error::Error + 'static),
    portal: &Portal,
    logged_in: &LoggedIn,
) -> Response {
    let visitor = &logged_in.visitor;
    unavailable(what, error, visitor.language, visitor.support_id, portal)
}
