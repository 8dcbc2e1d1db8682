//! The pages' templates, and what goes into each. askama escapes every value.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::catalogue::{Catalogue, Language};

/// The stylesheet, and its path; the path changes with the content, so that browsers may keep it.
pub(super) const STYLESHEET: &str = include_str!("../../../templates/portal.css");
pub(crate) const STYLESHEET_PATH: &str = concat!("/assets/portal-", env!("CARGO_PKG_VERSION"), ".css");

/// What every page has round its content.
pub(super) struct Frame {
    pub(super) t: &'static Catalogue,
    pub(super) stylesheet: &'static str,
    /// The part of the menu that is marked.
    pub(super) section: &'static str,
    /// Who is logged in.
    pub(super) who: Option<Who>,
    /// What the language switch keeps of the address, such as `user=a&`.
    pub(super) query: String,
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
        Self {
            t: language.catalogue(),
            stylesheet: STYLESHEET_PATH,
            section: "",
            who: None,
            query: String::new(),
        }
    }
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

/// Renders a page.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
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
pub(crate) async fn stylesheet() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, STYLESHEET).into_response()
}
