//! The public top page: where to log in, how to obtain a certificate.

use std::sync::Arc;

use axum::{
    Extension, Router, extract::State, http::StatusCode, middleware, response::Response, routing::get,
};

use super::{
    catalogue::Language,
    language,
    pages::{self, Frame, PublicTop, page},
};

/// What the top page shows.
pub(crate) struct Top {
    pub(crate) client_url: String,
    pub(crate) public_url: String,
    pub(crate) always_open: bool,
    pub(crate) download: Option<String>,
}

/// The top page's routes.
pub(crate) fn router(top: Arc<Top>) -> Router {
    Router::new()
        .route("/", get(top_page))
        .layer(middleware::from_fn(language))
        .with_state(top)
        .route(pages::STYLESHEET_PATH, get(pages::stylesheet))
}

async fn top_page(State(top): State<Arc<Top>>, Extension(language): Extension<Language>) -> Response {
    let frame = Frame::anonymous(language);
    let hours = if top.always_open { frame.t.hours_always } else { frame.t.hours_bank };
    let template = PublicTop {
        frame,
        client_url: &top.client_url,
        public_url: &top.public_url,
        hours,
        download: top.download.as_deref(),
    };
    page(StatusCode::OK, &template)
}
