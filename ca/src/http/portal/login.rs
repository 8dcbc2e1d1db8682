//! 電子証明書ログイン and ログアウト.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ca_core::{
    app::{
        login::{LoggedIn as Opened, Login, LoginError},
        refuse_form::Forgery,
        session::csrf_token,
    },
    domain::ids::UserId,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;

use super::{
    Portal, cookies, message,
    pages::{Frame, LoginForm, page},
    renewal::first_page,
    see, too_often, unavailable,
    visitor::{LoggedIn, Presented, Visitor, explain, presented},
};

/// The certificate login page: whose certificate it is, and the password field.
pub(super) async fn form(State(portal): State<Arc<Portal>>, visitor: Visitor) -> Response {
    match presented(&portal, &visitor).await {
        Ok(Presented::Of(user)) => ask(&portal, &visitor, &user, StatusCode::OK, None),
        Ok(Presented::NotGood(reason)) => explain(reason, &visitor, &portal),
        Err(failure) => {
            unavailable("looking up a certificate", &failure, visitor.language, visitor.support_id, &portal)
        }
    }
}

/// The login form. Its token hangs on a cookie of its own, since there is no session yet.
fn ask(
    portal: &Portal,
    visitor: &Visitor,
    user: &UserId,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    let random = BASE64_URL_SAFE_NO_PAD.encode(portal.rng.bytes::<32>());
    let template = LoginForm {
        frame: Frame::anonymous(visitor.language),
        user_id: user.to_string(),
        csrf: csrf_token(&random),
        problem,
    };
    with_cookie(page(status, &template), cookies::set(cookies::FORM, &random))
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The login form's fields.
#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(deserialize_with = "secret")]
    password: SecretString,
    csrf: String,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(Into::into)
}

/// The password came in.
pub(super) async fn submit(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Form(fields): Form<Fields>,
) -> Response {
    let t = visitor.language.catalogue();
    let user = match presented(&portal, &visitor).await {
        Ok(Presented::Of(user)) => user,
        // The attempt is judged and written down all the same; the answer is the explaining page.
        Ok(Presented::NotGood(_)) => return finish(&portal, &visitor, None, fields.password).await,
        Err(failure) => {
            let (language, support_id) = (visitor.language, visitor.support_id);
            return unavailable("looking up a certificate", &failure, language, support_id, &portal);
        }
    };
    let expected = visitor.form.as_deref().map(csrf_token).unwrap_or_default();
    let belongs = !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(fields.csrf.as_bytes()));
    if !belongs {
        portal.forged(visitor.certificate.as_deref(), "login", Forgery::Token).await;
        return ask(&portal, &visitor, &user, StatusCode::FORBIDDEN, Some(t.form_expired));
    }
    finish(&portal, &visitor, Some(user), fields.password).await
}

async fn finish(
    portal: &Arc<Portal>,
    visitor: &Visitor,
    user: Option<UserId>,
    password: SecretString,
) -> Response {
    let (certificate, source) = (visitor.certificate.clone(), visitor.source.clone());
    let login = Login { certificate, login_id: None, password, source };
    // On its own task: a connection that breaks off doesn't leave a counted attempt half done.
    let use_case = portal.login.clone();
    let result = portal.detached.spawn(async move { use_case.run(login).await }).await;
    let t = visitor.language.catalogue();
    match (result, user) {
        (Ok(Ok(opened)), _) => {
            end_before(portal, visitor, &opened).await;
            admitted(portal, &opened)
        }
        (Ok(Err(LoginError::Certificate(reason))), _) => {
            portal.metrics.outcome("login", reason.code());
            explain(reason, visitor, portal)
        }
        (Ok(Err(LoginError::Refused)), Some(user)) => {
            portal.metrics.outcome("login", "refused");
            ask(portal, visitor, &user, StatusCode::FORBIDDEN, Some(t.login_failed))
        }
        (Ok(Err(LoginError::Refused)), None) => {
            portal.metrics.outcome("login", "refused");
            see("/login")
        }
        (Ok(Err(LoginError::TooOften { retry_at })), _) => {
            too_often("login", retry_at, visitor, "/login", portal)
        }
        (Ok(Err(LoginError::Failure(failure))), _) => {
            portal.metrics.outcome("login", "failed");
            unavailable("a login", &failure, visitor.language, visitor.support_id, portal)
        }
        (Err(panicked), _) => unavailable("a login", &panicked, visitor.language, visitor.support_id, portal),
    }
}

/// Ends the session that this browser had before: it has a new one now.
async fn end_before(portal: &Portal, visitor: &Visitor, opened: &Opened) {
    let Some(before) = &visitor.session else { return };
    if let Err(failure) = portal.logout.superseded(before, &opened.certificate.serial).await {
        let error = crate::logging::chain(&failure);
        tracing::warn!(error, "the session before a login couldn't be ended; it ends by itself");
    }
}

fn admitted(portal: &Portal, opened: &Opened) -> Response {
    portal.metrics.outcome("login", "admitted");
    tracing::info!(user = %opened.user.id, serial = %opened.certificate.serial, "logged in");
    let session = cookies::set(cookies::SESSION, opened.session_token.expose_secret());
    let first = first_page(portal.clock.now(), opened.certificate.not_after);
    with_cookie(with_cookie(see(first), session), cookies::delete(cookies::FORM))
}

/// The one field that every form has.
#[derive(Deserialize)]
pub(super) struct Token {
    csrf: String,
}

/// ログアウト.
pub(super) async fn logout(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(token): Form<Token>,
) -> Response {
    let visitor = &logged_in.visitor;
    if !logged_in.active.csrf_matches(&token.csrf) {
        portal.forged(visitor.certificate.as_deref(), "logout", Forgery::Token).await;
        return see("/home");
    }
    let session = visitor.session.clone().unwrap_or_default();
    if let Err(failure) = portal.logout.run(&session).await {
        return unavailable("a logout", &failure, visitor.language, visitor.support_id, &portal);
    }
    with_cookie(see("/logged-out"), cookies::delete(cookies::SESSION))
}

/// After the logout.
pub(super) async fn logged_out(State(portal): State<Arc<Portal>>, visitor: Visitor) -> Response {
    let t = visitor.language.catalogue();
    let text = (t.logged_out_title, t.logged_out_text);
    message(StatusCode::OK, visitor.language, text, None, None, &portal)
}
