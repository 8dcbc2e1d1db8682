//! The OpenAPI 3.1 document of all HTTP APIs. Document and routers come from the same tables (`routes()` of each API), so
//! that neither can have what the other hasn't. Pages for people aren't an API and aren't in it.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Paths, Server,
    path::{HttpMethod, OperationBuilder},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use super::{api, machine, ops, validation};
use crate::config::Config;

/// Where the document is.
const PATH: &str = "/openapi.json";

/// Where the APIs are reached.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) public: String,
    pub(crate) client: String,
    pub(crate) validation: String,
    pub(crate) ops: String,
}

impl Servers {
    /// As the configuration says.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            public: config.listen.public_url.clone(),
            client: config.listen.client_url.clone(),
            validation: config.validation.base_url.clone(),
            ops: format!("http://{}", config.listen.ops),
        }
    }
}

/// The document.
pub(crate) fn document(servers: &Servers) -> OpenApi {
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Inro")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "A certificate authority for corporate banking. Octets in JSON are base64url without padding \
                     (RFC 4648, 5); refusals are problem details (RFC 9457) whose `code` programs may rely on.",
                ))
                .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build())),
        )
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(
                    "bearer",
                    SecurityScheme::Http(
                        HttpBuilder::new()
                            .scheme(HttpAuthScheme::Bearer)
                            .description(Some("What the first step of an enrolment handed out"))
                            .build(),
                    ),
                )
                .security_scheme(
                    "machine",
                    SecurityScheme::MutualTls {
                        description: Some("The client certificate of a registered machine".to_owned()),
                        deprecated: None,
                        extensions: None,
                    },
                )
                .build(),
        ))
        .tags(Some([
            ("enrolment", "Obtaining a certificate, for agents; public listener"),
            ("tokens", "PUKs in custody, blocked PINs and erased keys, for agents; public listener"),
            ("registration", "Obtaining certificates in batches, for registered machines; client listener"),
            ("status", "What certificates are worth, for registered machines; client listener"),
            ("validation", "OCSP, CRLs and CA certificates, for everybody; plain HTTP"),
            ("operations", "Health and metrics; plain HTTP on loopback"),
            ("document", "This document; public listener"),
        ]
        .map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build())))
        .build();
    for (part, server) in [
        (api::routes().into_openapi(), &servers.public),
        (machine::routes().into_openapi(), &servers.client),
        (validation::routes().into_openapi(), &servers.validation),
        (ops::routes().into_openapi(), &servers.ops),
        (own(), &servers.public),
    ] {
        document.merge(at(part, server));
    }
    document
}

/// What there is to say of [`PATH`].
fn own() -> OpenApi {
    let operation = OperationBuilder::new()
        .operation_id(Some("document"))
        .tag("document")
        .summary(Some("This document."))
        .response("200", utoipa::openapi::Response::new("OpenAPI 3.1"));
    let mut paths = Paths::new();
    paths.paths.insert(PATH.to_owned(), PathItem::new(HttpMethod::Get, operation));
    OpenApiBuilder::new().paths(paths).build()
}

/// The paths of one API with the server that they are at. What axum writes `{*rest}` is `{rest}` here.
fn at(mut part: OpenApi, server: &str) -> OpenApi {
    let paths = std::mem::take(&mut part.paths.paths);
    part.paths.paths = paths
        .into_iter()
        .map(|(path, mut item)| {
            item.servers = Some(vec![Server::new(server)]);
            (path.replace("{*", "{"), item)
        })
        .collect();
    part
}

/// The document as it is served and printed.
///
/// # Errors
/// When it can't be written as JSON.
pub(crate) fn json(servers: &Servers) -> serde_json::Result<String> {
    document(servers).to_pretty_json()
}

/// The route of the document.
pub(crate) fn router(text: String) -> Router {
    let text = Bytes::from(text);
    let serve = move || {
        let text = text.clone();
        async move { answer(text) }
    };
    Router::new().route(PATH, axum::routing::get(serve))
}

fn answer(text: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn servers() -> Servers {
        Servers {
            public: "https://www.bank.example".to_owned(),
            client: "https://login.bank.example".to_owned(),
            validation: "http://pki.bank.example".to_owned(),
            ops: "http://127.0.0.1:9090".to_owned(),
        }
    }

    fn value() -> Value {
        serde_json::from_str(&json(&servers()).expect("JSON")).expect("JSON")
    }

    /// Every `$ref` in a value.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.clone());
                }
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_document_holds_together() {
        let document = value();
        assert_eq!(document["openapi"], "3.1.0");
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference into the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            assert!(!path.contains('*') && item["servers"][0]["url"].is_string(), "{path}");
            let parameters: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            for method in ["get", "post"].iter().filter_map(|method| item.get(method)) {
                let name = method["operationId"].as_str().expect("a name").to_owned();
                assert!(names.insert(name.clone()), "{name} twice");
                let told = method["parameters"].as_array().into_iter().flatten();
                let told: BTreeSet<&str> =
                    told.filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
                assert_eq!(told, parameters, "{path}");
                assert!(method["tags"][0].is_string() && method["summary"].is_string(), "{path}");
            }
        }
        for (tag, count) in [
            ("enrolment", 4),
            ("registration", 4),
            ("status", 2),
            ("validation", 7),
            ("operations", 3),
            ("document", 1),
        ] {
            let paths = document["paths"].as_object().expect("paths").values();
            let methods = paths.flat_map(|item| ["get", "post"].iter().filter_map(|method| item.get(method)));
            assert_eq!(methods.filter(|method| method["tags"][0] == tag).count(), count, "{tag}");
        }
    }

    #[test]
    fn every_api_that_refuses_with_problems_says_when_to_come_again() {
        let document = value();
        let paths = document["paths"].as_object().expect("paths").values();
        let operations = paths.flat_map(|item| ["get", "post"].iter().filter_map(|method| item.get(method)));
        let apis = ["enrolment", "registration", "status"];
        let of_apis = operations.filter(|operation| apis.iter().any(|tag| operation["tags"][0] == *tag));
        for operation in of_apis {
            let busy = &operation["responses"]["503"];
            let problem = &busy["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{operation}");
            assert_eq!(busy["headers"]["Retry-After"]["schema"]["type"], "integer", "{operation}");
        }
    }

    /// Routers and document come from the same tables; a route beside them would be in no document.
    #[test]
    fn no_api_has_a_route_beside_its_table() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
        let sources = ["api/mod.rs", "machine/mod.rs", "validation/mod.rs", "ops.rs", "openapi.rs"];
        for source in sources {
            let text = std::fs::read_to_string(folder.join(source)).expect("a source file");
            let code = text.split("mod tests").next().unwrap_or_default();
            let beside: Vec<&str> =
                code.lines().filter(|line| line.contains(".route(")).map(str::trim).collect();
            let expected: &[&str] = match source {
                // Refusals of whatever else there is below.
                "machine/mod.rs" => &[
                    ".route(\"/machine\", any(nothing_here))",
                    ".route(\"/machine/\", any(nothing_here))",
                    ".route(\"/machine/{*rest}\", any(nothing_here))",
                ],
                "openapi.rs" => &["Router::new().route(PATH, axum::routing::get(serve))"],
                _ => &[],
            };
            assert_eq!(beside, expected, "{source}");
        }
    }
}
