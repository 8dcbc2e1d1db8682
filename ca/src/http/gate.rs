//! Holds requests off until ledger and journals have caught up with each other. Before that the ledger may be one from a
//! backup: it would call certificates good that are revoked, and let people in with them.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use ca_core::app::accord::Accords;

use super::layers::plain;

/// Puts the gate before a router.
pub(crate) fn until_caught_up(router: Router, accords: Accords) -> Router {
    router.layer(middleware::from_fn_with_state(accords, gate))
}

async fn gate(State(accords): State<Accords>, request: Request, next: Next) -> Response {
    if accords.are_caught_up() {
        return next.run(request).await;
    }
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Starting; try again in a moment.\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use ca_core::domain::ids::IssuerId;
    use tower::ServiceExt;

    use super::*;

    async fn status(accords: &Accords) -> u16 {
        let router = Router::new().route("/", get(|| async {}));
        let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
        let answer = until_caught_up(router, accords.clone()).oneshot(request).await;
        answer.expect("a response").status().as_u16()
    }

    #[tokio::test]
    async fn nobody_is_answered_before_the_journals_are_read() {
        assert_eq!(status(&Accords::new([])).await, 200, "there is nothing to catch up with");
        let issuer = IssuerId::parse("customer").expect("an issuer");
        assert_eq!(status(&Accords::new([issuer])).await, 503);
    }
}
