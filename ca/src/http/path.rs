//! What stands in a path: one spelling for each thing, so that it has one address.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The parts of a path that its route leaves open; `None` when they aren't UTF-8, and so name nothing that there is.
/// [`Path`] would say so in its own words, and before anybody asked who wants to know.
pub(crate) struct Named<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Path::from_request_parts(parts, state).await.ok().map(|Path(names)| names)))
    }
}

/// An identifier as it is printed: no braces, no capital letters, no `urn:uuid:`.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|uuid| uuid.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        extract::Request,
        routing::get,
    };
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_a_path_names_is_for_the_handler_to_judge() {
        async fn handler(Named(names): Named<(String, String)>) -> String {
            names.map_or_else(|| "nothing".to_owned(), |(one, other)| format!("{one} {other}"))
        }
        for (path, expected) in [
            ("/a/b", "a b"),
            ("/%E9%8A%80/b", "\u{9280} b"),
            ("/a/%FF", "nothing"),
            ("/%FF/b", "nothing"),
            ("/a/%zz", "a %zz"),
        ] {
            let router = Router::new().route("/{one}/{other}", get(handler));
            let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
            let response = router.oneshot(request).await.expect("a response");
            assert_eq!(response.status(), 200, "{path}");
            let octets = to_bytes(response.into_body(), 64).await.expect("a body");
            assert_eq!(octets, expected, "{path}");
        }
    }

    #[test]
    fn identifiers_have_one_spelling() {
        let right = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(uuid(right).expect("an identifier").to_string(), right);
        for other in [
            &*right.to_uppercase(),
            &*right.replace('-', ""),
            &*format!("{{{right}}}"),
            &*format!("urn:uuid:{right}"),
            "",
        ] {
            assert_eq!(uuid(other), None, "{other:?} was taken");
        }
    }
}
