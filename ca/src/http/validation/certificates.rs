//! `GET /ca/{name}.cer`: CA certificates as DER (RFC 5280, 4.2.2.1).

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

use super::Validation;
use crate::http::{layers::plain, path::Named};

/// Certificates by the name before `.cer`.
pub(crate) struct CaCertificates(pub(crate) HashMap<String, Bytes>);

/// A CA certificate (RFC 5280, 4.2.2.1).
#[utoipa::path(
    get,
    path = "/ca/{name}",
    tag = "validation",
    operation_id = "caCertificate",
    params(("name" = String, Path, description = "Such as customer.cer or root.cer")),
    responses(
        (status = 200, description = "A certificate, DER", content_type = "application/pkix-cert", body = [u8]),
        (status = 404, description = "There is no such certificate", content_type = "text/plain", body = String),
    )
)]
pub(crate) async fn get(State(state): State<Arc<Validation>>, Named(name): Named<String>) -> Response {
    let name = name.as_deref().and_then(|name| name.strip_suffix(".cer"));
    let found = name.and_then(|name| state.certificates.0.get(name));
    let Some(der) = found else {
        return plain(StatusCode::NOT_FOUND, "There is no such CA certificate.\n");
    };
    let mut response = Response::new(der.clone().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pkix-cert"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
