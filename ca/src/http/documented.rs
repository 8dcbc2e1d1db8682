//! What the OpenAPI document says of every API alike.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

/// Every API refuses with `ca_wire`'s problem details (RFC 9457); `code` says which of them.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |text: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(text);
            RefOr::T(response.content("application/problem+json", content).build())
        };
        BTreeMap::from([
            ("4XX".to_owned(), problem("Refused; `code` says why, `detail` what to do next")),
            ("5XX".to_owned(), problem("Not possible at the moment, or a defect; nothing was lost")),
        ])
    }
}
