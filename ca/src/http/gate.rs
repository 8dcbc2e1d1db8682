//! Holds requests off until ledger and journals have caught up with each other. Before that the ledger may be one from a
//! backup: it would call certificates good that are revoked, and let people in with them.
//!
//! Who is held off hears it as everything else there: programs as a problem, people and relying parties as text.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use ca_core::{app::accord::Accords, ports::clock::Clock};
use ca_wire::problem::Code;
use jiff::SignedDuration;

use super::{layers::plain, problem::Refused, support::SupportId};

/// Catching up takes moments, unless a signer is out of reach.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

/// The gate.
#[derive(Clone)]
pub(crate) struct Gate {
    accords: Accords,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// Opens when all have caught up.
    pub(crate) fn new(accords: Accords, clock: Arc<dyn Clock>) -> Self {
        Self { accords, clock }
    }

    /// Puts it before an API that refuses with problem details.
    pub(crate) fn before_api(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), problem_until_caught_up))
    }

    /// Puts it before anything else.
    pub(crate) fn before(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), text_until_caught_up))
    }
}

async fn problem_until_caught_up(
    State(gate): State<Gate>,
    Extension(support_id): Extension<SupportId>,
    request: Request,
    next: Next,
) -> Response {
    if gate.accords.are_caught_up() {
        return next.run(request).await;
    }
    let now = gate.clock.now();
    Refused::new(Code::Unavailable)
        .because("The service is starting; try again in a moment.")
        .not_before(now.checked_add(RETRY).ok())
        .respond(support_id, now)
}

async fn text_until_caught_up(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if gate.accords.are_caught_up() {
        return next.run(request).await;
    }
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Starting; try again in a moment.\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY.as_secs()));
    response
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        routing::get,
    };
    use ca_core::domain::ids::IssuerId;
    use ca_wire::problem::Problem;
    use tower::ServiceExt;

    use super::*;
    use crate::adapters::{clock::SystemClock, rng::SystemRng};

    fn gate(accords: Accords) -> Gate {
        Gate::new(accords, Arc::new(SystemClock))
    }

    fn starting() -> Gate {
        gate(Accords::new([IssuerId::parse("customer").expect("an issuer")]))
    }

    fn routes(path: &str) -> Router {
        Router::new().route(path, get(|| async { "served" }))
    }

    async fn answer(router: Router, path: &str) -> Response {
        let router = router.layer(Extension(SupportId::random(&SystemRng)));
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        router.oneshot(request).await.expect("a response")
    }

    #[tokio::test]
    async fn nobody_is_answered_before_the_journals_are_read() {
        let open = gate(Accords::new([]));
        assert_eq!(answer(open.before(routes("/")), "/").await.status(), 200, "nothing to catch up with");
        assert_eq!(answer(open.before_api(routes("/")), "/").await.status(), 200);

        let response = answer(starting().before(routes("/")), "/").await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }

    /// RFC 9457: who reads every refusal as a problem can read this one, too, also of a path that isn't there.
    #[tokio::test]
    async fn programs_hear_it_as_a_problem() {
        let api = routes("/api").fallback(|| async { "nothing" });
        let both = starting().before(routes("/")).merge(starting().before_api(api));
        for path in ["/api", "/api/elsewhere"] {
            let response = answer(both.clone(), path).await;
            assert_eq!(response.status(), 503, "{path}");
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
            assert_eq!(response.headers()["retry-after"], "1", "{path}");
            let octets = to_bytes(response.into_body(), 4096).await.expect("a body");
            let problem: Problem = serde_json::from_slice(&octets).expect("a problem");
            assert_eq!((problem.code, problem.status), (Code::Unavailable, 503), "{path}");
            assert!(problem.retry_at.is_some() && problem.support_id.is_some(), "{path}");
        }
        let page = answer(both, "/").await;
        assert_eq!(page.headers()["content-type"], "text/plain; charset=utf-8");
    }
}
