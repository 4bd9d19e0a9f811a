//! The API's own description, OpenAPI 3.1, made from the handlers.

use crate::state::ApiState;
use axum::{Router, routing::get};
use http::header;
use std::sync::Arc;
use utoipa::{
    OpenApi as Derived, ToSchema,
    openapi::{
        Components, ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Server,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// An error.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described here; `Problem` writes it.
pub(crate) struct HttpErrorOut {
    /// For programs.
    code: String,
    /// For people.
    detail: String,
}

/// Fields that break a rule.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described here; `Problem` writes it.
#[schema(as = HTTPValidationError)]
pub(crate) struct ValidationErrors {
    /// All of them.
    detail: Vec<ValidationError>,
}

/// A field that breaks a rule.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described here; `Problem` writes it.
pub(crate) struct ValidationError {
    /// Where.
    loc: Vec<String>,
    /// What is wrong, for people.
    msg: String,
    /// What is wrong, for programs.
    r#type: String,
}

/// What the handlers do not say themselves.
#[derive(Derived)]
#[openapi(
    info(
        title = "Schoolbell API",
        description = "Svix's REST API on a server of your own, and what Schoolbell adds to it. Every call but the \
                       health checks needs `Authorization: Bearer <token>`; `schoolbell token` makes one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(HttpErrorOut, ValidationErrors, ValidationError))
)]
pub(crate) struct Base;

/// The errors that any operation may answer with.
const ERRORS: [(&str, &str, &str); 6] = [
    ("401", "The token is missing or not valid.", "HttpErrorOut"),
    ("403", "The token does not permit this.", "HttpErrorOut"),
    ("404", "There is no such object.", "HttpErrorOut"),
    ("409", "Another object is in the way.", "HttpErrorOut"),
    ("422", "Fields break a rule.", "HTTPValidationError"),
    ("503", "The database is full, busy or away; nothing was stored.", "HttpErrorOut"),
];

/// Adds what is the same for all operations.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.servers = Some(vec![Server::new("/")]);
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_with(Components::new).add_security_scheme("HTTPBearer", scheme);
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("HTTPBearer", [])]);
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete, &mut item.head];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = describe(status).to_owned();
                }
            }
            // Those that need no token say so.
            if operation.security.is_none() {
                add_errors(operation);
            }
        }
    }
    document
}

/// What is said of an answer that its handler describes by its body alone.
fn describe(status: &str) -> &'static str {
    match status {
        "200" => "It is done, or this is it.",
        "201" => "It was created.",
        "202" => "It was accepted.",
        _ => "It is done.",
    }
}

fn add_errors(operation: &mut Operation) {
    for (status, description, schema) in ERRORS {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        let response = ResponseBuilder::new().description(description).content("application/json", content).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}

/// The document as JSON.
pub(crate) fn to_json(document: &OpenApi) -> String {
    document.to_json().unwrap_or_else(|e| unreachable!("a document made of strings and maps is always JSON: {e}"))
}

/// Serves the document.
pub(crate) fn routes(document: &OpenApi) -> Router<Arc<ApiState>> {
    let json: Arc<str> = to_json(document).into();
    let serve = move || async move { ([(header::CONTENT_TYPE, "application/json")], json.to_string()) };
    Router::new().route("/api/v1/openapi.json", get(serve))
}
