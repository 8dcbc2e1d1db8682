//! The pages' templates, and what goes into each. askama escapes every value.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::catalogue::{Catalogue, Language};

/// The stylesheet, and its path; the path changes with the content, so that browsers may keep it.
pub(super) const STYLESHEET: &str = include_str!("../../../templates/portal.css");
pub(super) const STYLESHEET_PATH: &str = concat!("/assets/portal-", env!("CARGO_PKG_VERSION"), ".css");

/// What every page has round its content.
pub(super) struct Frame {
    pub(super) t: &'static Catalogue,
    pub(super) stylesheet: &'static str,
    /// The part of the menu that is marked.
    pub(super) section: &'static str,
    /// Who is logged in.
    pub(super) who: Option<Who>,
}

/// Who is logged in.
pub(super) struct Who {
    pub(super) user_id: String,
    pub(super) master: bool,
    pub(super) csrf: String,
}

impl Frame {
    /// Round a page that anybody sees.
    pub(super) fn anonymous(language: Language) -> Self {
        Self { t: language.catalogue(), stylesheet: STYLESHEET_PATH, section: "", who: None }
    }
}

#[derive(Template)]
#[template(path = "public_top.html")]
pub(super) struct PublicTop<'a> {
    pub(super) frame: Frame,
    pub(super) client_url: &'a str,
    pub(super) public_url: &'a str,
    pub(super) hours: &'static str,
    pub(super) download: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginForm {
    pub(super) frame: Frame,
    pub(super) user_id: String,
    pub(super) csrf: String,
    pub(super) problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message {
    pub(super) frame: Frame,
    pub(super) title: &'static str,
    pub(super) paragraphs: &'static [&'static str],
    pub(super) support_id: Option<String>,
    pub(super) link: Option<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct Home {
    pub(super) frame: Frame,
    pub(super) contract_name: String,
    pub(super) contract_number: String,
    pub(super) display_name: String,
    pub(super) user_id: String,
    pub(super) role: &'static str,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) valid_from: String,
    pub(super) valid_until: String,
    pub(super) days_left: String,
    pub(super) device_kind: &'static str,
    pub(super) device_serial: String,
    pub(super) assurance: &'static str,
    pub(super) logins: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "manage.html")]
pub(super) struct Manage {
    pub(super) frame: Frame,
}

/// A general user in the master's list.
pub(super) struct UserLine {
    pub(super) user_id: String,
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) valid_until: String,
    pub(super) revocable: bool,
}

#[derive(Template)]
#[template(path = "revoke_select.html")]
pub(super) struct RevokeSelect {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) users: Vec<UserLine>,
    pub(super) problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "revoke_confirm.html")]
pub(super) struct RevokeConfirm {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) users: Vec<UserLine>,
    /// Value, label, whether it is chosen.
    pub(super) reasons: Vec<(&'static str, &'static str, bool)>,
    pub(super) problem: Option<&'static str>,
}

/// A line of the 証明書失効結果画面.
pub(super) struct ResultLine {
    pub(super) user_id: String,
    pub(super) done: bool,
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "revoke_result.html")]
pub(super) struct RevokeResult {
    pub(super) frame: Frame,
    pub(super) lines: Vec<ResultLine>,
}

/// Renders a page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            (status, [(header::CONTENT_TYPE, kind)], html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page couldn't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The stylesheet.
pub(super) async fn stylesheet() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, STYLESHEET).into_response()
}
