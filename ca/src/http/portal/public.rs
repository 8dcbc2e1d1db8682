//! The pages that anybody can read: where to log in, how to obtain a certificate, the agent with its checksums, what the
//! service works with, help.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    catalogue::{Catalogue, Language},
    language,
    pages::{self, Frame, Message, page},
};
use crate::{
    http::path::Named,
    material::{Package, Packages},
};

/// What the public pages show.
pub(crate) struct Public {
    pub(crate) client_url: String,
    pub(crate) url: String,
    pub(crate) always_open: bool,
    /// Where the agent is, when it isn't here.
    pub(crate) download: Option<String>,
    pub(crate) lowest_agent: String,
    pub(crate) newest_agent: String,
    pub(crate) packages: Packages,
}

#[derive(Template)]
#[template(path = "public_top.html")]
struct Top<'a> {
    frame: Frame,
    client_url: &'a str,
    hours: &'static str,
}

#[derive(Template)]
#[template(path = "obtain.html")]
struct Obtain<'a> {
    frame: Frame,
    public_url: &'a str,
    hours: &'static str,
}

#[derive(Template)]
#[template(path = "agent.html")]
struct Agent<'a> {
    frame: Frame,
    public: &'a Public,
}

#[derive(Template)]
#[template(path = "environments.html")]
struct Environments {
    frame: Frame,
    parts: [(&'static str, &'static [&'static str]); 5],
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    frame: Frame,
    /// Anchor, title, paragraphs.
    parts: [(&'static str, &'static str, &'static [&'static str]); 7],
}

/// The public pages' routes.
pub(crate) fn router(public: Arc<Public>) -> Router {
    Router::new()
        .route("/", get(top))
        .route("/obtain", get(obtain))
        .route("/agent", get(agent))
        .route("/agent/{file}", get(file))
        .route("/environments", get(environments))
        .route("/help", get(help))
        .layer(middleware::from_fn(language))
        .with_state(public)
        .route(pages::STYLESHEET_PATH, get(pages::stylesheet))
}

impl Public {
    fn hours(&self, t: &Catalogue) -> &'static str {
        if self.always_open { t.hours_always } else { t.hours_bank }
    }
}

async fn top(State(public): State<Arc<Public>>, Extension(language): Extension<Language>) -> Response {
    let frame = Frame::anonymous(language);
    let hours = public.hours(frame.t);
    page(StatusCode::OK, &Top { frame, client_url: &public.client_url, hours })
}

async fn obtain(State(public): State<Arc<Public>>, Extension(language): Extension<Language>) -> Response {
    let frame = Frame::anonymous(language);
    let hours = public.hours(frame.t);
    page(StatusCode::OK, &Obtain { frame, public_url: &public.url, hours })
}

async fn agent(State(public): State<Arc<Public>>, Extension(language): Extension<Language>) -> Response {
    page(StatusCode::OK, &Agent { frame: Frame::anonymous(language), public: &public })
}

impl Package {
    fn size(&self, t: &Catalogue) -> String {
        let digits = self.octets.len().to_string();
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
        Catalogue::fill(t.public.agent_bytes, &groups.join(","))
    }
}

async fn file(
    State(public): State<Arc<Public>>,
    Extension(language): Extension<Language>,
    Named(name): Named<String>,
) -> Response {
    let Some(name) = name else {
        return not_found(language);
    };
    let Packages { offered, files, .. } = &public.packages;
    let package = offered.iter().find(|package| package.name == name).map(|package| &package.octets);
    let octets = package.or_else(|| files.iter().find(|(file, _)| *file == name).map(|(_, octets)| octets));
    let Some(octets) = octets else {
        return not_found(language);
    };
    // The name has no character that would end the quoted string: whoever read the list saw to it.
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let disposition = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    let kind = HeaderValue::from_static("application/octet-stream");
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)];
    (headers, octets.clone()).into_response()
}

fn not_found(language: Language) -> Response {
    let t = language.catalogue();
    let template = Message {
        frame: Frame::anonymous(language),
        title: t.not_found_title,
        paragraphs: t.not_found_text,
        support_id: None,
        link: Some((t.to_top, "/".to_owned())),
    };
    page(StatusCode::NOT_FOUND, &template)
}

/// ご利用環境.
pub(super) async fn environments(Extension(language): Extension<Language>) -> Response {
    let frame = Frame::anonymous(language);
    let t = &frame.t.public;
    let parts = [
        (t.environments_tokens, t.environments_tokens_text),
        (t.environments_browsers, t.environments_browsers_text),
        (t.environments_agent, t.environments_agent_text),
        (t.environments_network, t.environments_network_text),
        (t.environments_accessibility, t.environments_accessibility_text),
    ];
    page(StatusCode::OK, &Environments { frame, parts })
}

/// ヘルプ.
pub(super) async fn help(Extension(language): Extension<Language>) -> Response {
    let frame = Frame::anonymous(language);
    let t = &frame.t.help;
    let parts = [
        ("mail", t.mail_title, t.mail_text),
        ("lost", t.lost_title, t.lost_text),
        ("pin", t.pin_title, t.pin_text),
        ("password", t.password_title, t.password_text),
        ("expired", t.expired_title, t.expired_text),
        ("replace", t.replace_title, t.replace_text),
        ("missing", t.missing_title, t.missing_text),
    ];
    page(StatusCode::OK, &Help { frame, parts })
}
