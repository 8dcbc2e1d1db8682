//! What the OpenAPI document says of every API alike.

use std::collections::BTreeMap;

use ca_wire::problem::Problem;
use utoipa::{
    IntoResponses, PartialSchema,
    openapi::{ContentBuilder, RefOr, Response, ResponseBuilder},
};

/// Every API refuses with problem details (RFC 9457); `code` says which of them.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |text: &str| {
            let content = ContentBuilder::new().schema(Some(Problem::schema())).build();
            let response = ResponseBuilder::new().description(text);
            RefOr::T(response.content("application/problem+json", content).build())
        };
        BTreeMap::from([
            ("4XX".to_owned(), problem("Refused; `code` says why, `detail` what to do next")),
            ("5XX".to_owned(), problem("Not possible at the moment, or a defect; nothing was lost")),
        ])
    }
}
