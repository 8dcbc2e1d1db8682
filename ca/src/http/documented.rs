//! What the OpenAPI document says of every API alike.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type},
};

/// Every API refuses with `ca_wire`'s problem details (RFC 9457); `code` says which of them.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |text: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(text);
            response.content("application/problem+json", content)
        };
        let retry_after = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).build()))
            .description(Some("Seconds until it is worth trying again"))
            .build();
        let busy = "Not possible at the moment, such as while the node starts, or not within 30 seconds: what was begun \
                    goes on, and the same again gets its result; nothing was lost";
        let responses = [
            ("4XX", problem("Refused; `code` says why, `detail` what to do next")),
            ("503", problem(busy).header("Retry-After", retry_after)),
            ("5XX", problem("Not possible at the moment, or a defect; nothing was lost")),
        ];
        responses.map(|(status, response)| (status.to_owned(), RefOr::T(response.build()))).into()
    }
}
