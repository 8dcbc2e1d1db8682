//! A whole request is answered within a time, whatever it waits for. What it began on a task of its own goes on.
//!
//! Who waited for too long hears it as everything else there: programs as a problem, people as a page, relying parties
//! as text.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use ca_core::ports::clock::Clock;
use ca_wire::problem::Code;
use tokio::time::timeout;

use super::{
    layers::plain,
    portal::{catalogue::Language, language_of},
    problem::Refused,
    support::SupportId,
};

/// A whole request may take so long to be answered.
const REQUEST: Duration = Duration::from_secs(30);

const TOO_SLOW: &str = "This took too long to be waited for; what it began goes on. Send the same again, with the same \
                        idempotency keys, to hear what came of it.";

/// A page for who reads this language.
type Page = Arc<dyn Fn(Language, SupportId) -> Response + Send + Sync>;

/// What is answered in place of an answer that takes too long.
#[derive(Clone)]
pub(crate) enum Late {
    /// To programs.
    Problem(Arc<dyn Clock>),
    /// To people.
    Page(Page),
    /// To relying parties and operations, and where nothing is waited for.
    Text,
}

impl Late {
    /// Puts it before routes, and before whatever they are behind already.
    pub(crate) fn before(self, router: Router) -> Router {
        self.after(REQUEST, router)
    }

    fn after(self, time: Duration, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state((self, time), in_time))
    }

    fn respond(&self, language: Language, support_id: SupportId) -> Response {
        match self {
            Self::Problem(clock) => {
                Refused::new(Code::Unavailable).because(TOO_SLOW).respond(support_id, clock.now())
            }
            Self::Page(page) => page(language, support_id),
            Self::Text => {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Try again later.\n");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }
}

async fn in_time(
    State((late, time)): State<(Late, Duration)>,
    Extension(support_id): Extension<SupportId>,
    request: Request,
    next: Next,
) -> Response {
    let language = match late {
        Late::Page(_) => language_of(&request),
        Late::Problem(_) | Late::Text => Language::default(),
    };
    timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!("a request took too long to be answered");
        late.respond(language, support_id)
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::{
        body::{Body, to_bytes},
        routing::get,
    };
    use ca_wire::problem::Problem;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        adapters::{clock::SystemClock, rng::SystemRng},
        http::layers,
    };

    /// What is answered to a request that nothing answers, on a TLS listener.
    async fn answer(late: Late) -> (SupportId, Response) {
        let support_id = SupportId::random(&SystemRng);
        let stuck = Router::new().route("/", get(pending::<()>));
        let router = layers::private(late.after(Duration::ZERO, stuck)).layer(Extension(support_id));
        let request = Request::builder().uri("/?lang=en").body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("a response");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000");
        (support_id, response)
    }

    #[tokio::test]
    async fn programs_hear_it_as_a_problem_that_says_what_to_do() {
        let (support_id, response) = answer(Late::Problem(Arc::new(SystemClock))).await;
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let octets = to_bytes(response.into_body(), 4096).await.expect("a body");
        let problem: Problem = serde_json::from_slice(&octets).expect("a problem");
        assert_eq!((problem.code, problem.status), (Code::Unavailable, 503));
        assert_eq!(problem.instance, Some(format!("urn:inro:request:{support_id}")));
        let detail = problem.detail.expect("what to do next");
        assert!(detail.contains("goes on") && detail.contains("the same idempotency keys"), "{detail}");
    }

    #[tokio::test]
    async fn people_see_a_page_in_their_language() {
        let page: Page = Arc::new(|language, support_id| {
            let text = format!("{language:?} {support_id}");
            let mut response = Response::new(text.into());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            response
        });
        let (support_id, response) = answer(Late::Page(page)).await;
        let octets = to_bytes(response.into_body(), 4096).await.expect("a body");
        assert_eq!(octets, format!("English {support_id}"));
    }

    #[tokio::test]
    async fn relying_parties_read_it_as_text() {
        let (_, response) = answer(Late::Text).await;
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }

    #[tokio::test]
    async fn an_answer_in_time_is_left_alone() {
        let served = Router::new().route("/", get(|| async { "served" }));
        let router = Late::Text.before(served).layer(Extension(SupportId::random(&SystemRng)));
        let response = router.oneshot(Request::new(Body::empty())).await.expect("a response");
        assert_eq!(response.status(), 200);
    }
}
