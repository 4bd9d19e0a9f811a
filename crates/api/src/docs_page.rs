//! `/docs`: the API's reference as one page without scripts, made from the OpenAPI document.

use crate::state::ApiState;
use axum::{Router, response::IntoResponse as _, routing::get};
use http::header;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};
use utoipa::openapi::OpenApi;

const STYLE: &str = include_str!("docs_page.css");
/// The page needs nothing but its own style sheet.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the page.
pub(crate) fn routes(document: &OpenApi) -> Router<Arc<ApiState>> {
    let html: Arc<str> = page(&serde_json::to_value(document).unwrap_or_default()).into();
    let page = move || async move {
        let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
        (headers, html.to_string()).into_response()
    };
    let style = || async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) };
    Router::new().route("/docs", get(page)).route("/docs/style.css", get(style))
}

/// Text as it may stand in HTML.
fn text(value: &Value) -> String {
    let raw = value.as_str().unwrap_or_default();
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(document: &Value) -> String {
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                let group = groups.entry(text(&operation["tags"][0])).or_default();
                operation_html(group, method, path, operation);
            }
        }
    }
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Schoolbell API</title><link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body><nav>",
    );
    // Writing to a String cannot fail.
    for group in groups.keys() {
        let _ = write!(html, "<a href=\"#{group}\">{group}</a>");
    }
    let info = &document["info"];
    let _ = write!(
        html,
        "</nav><main><h1>{} <small>{}</small></h1><p>{}</p><p>For programs: \
         <a href=\"/api/v1/openapi.json\">openapi.json</a></p>",
        text(&info["title"]),
        text(&info["version"]),
        text(&info["description"])
    );
    for (group, operations) in groups {
        let _ = write!(html, "<section id=\"{group}\"><h2>{group}</h2>{operations}</section>");
    }
    html.push_str("<section id=\"Schemas\"><h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        schema_html(&mut html, name, schema);
    }
    html.push_str("</section></main></body></html>");
    html
}

fn operation_html(html: &mut String, method: &str, path: &str, operation: &Value) {
    let (path, summary) = (text(&Value::from(path)), text(&operation["summary"]));
    let _ = write!(
        html,
        "<details><summary><b class=\"{method}\">{}</b> <code>{path}</code> {summary}</summary><p>{}</p>\
         <p><small>{}</small></p>",
        method.to_uppercase(),
        text(&operation["description"]),
        text(&operation["operationId"]),
    );
    if let Some(parameters) = operation["parameters"].as_array() {
        html.push_str("<table><tr><th>Parameter</th><th>In</th><th></th></tr>");
        for p in parameters {
            let (name, place, about) = (text(&p["name"]), text(&p["in"]), text(&p["description"]));
            let _ = write!(html, "<tr><td><code>{name}</code></td><td>{place}</td><td>{about}</td></tr>");
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = write!(html, "<p>Body: {}</p>", type_html(body));
    }
    html.push_str("<table><tr><th>Answer</th><th></th><th>Body</th></tr>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let schema = type_html(&response["content"]["application/json"]["schema"]);
        let about = text(&response["description"]);
        let _ = write!(html, "<tr><td>{status}</td><td>{about}</td><td>{schema}</td></tr>");
    }
    html.push_str("</table></details>");
}

fn schema_html(html: &mut String, name: &str, schema: &Value) {
    let name = text(&Value::from(name));
    let _ = write!(
        html,
        "<details id=\"schema-{name}\"><summary><code>{name}</code></summary><p>{}</p>",
        text(&schema["description"])
    );
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    html.push_str("<table><tr><th>Field</th><th>Type</th><th></th></tr>");
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        let star = if required.iter().any(|r| *r == field) { " ✱" } else { "" };
        let (about, kind) = (text(&property["description"]), type_html(property));
        let _ = write!(html, "<tr><td><code>{field}</code>{star}</td><td>{kind}</td><td>{about}</td></tr>");
    }
    html.push_str("</table></details>");
}

/// A schema in a few words, with links to those that have a name.
fn type_html(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        let name = text(&Value::from(name));
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let several = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).or(schema["allOf"].as_array());
    if let Some(several) = several {
        return several.iter().map(type_html).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", type_html(&schema["items"])),
        Value::Array(kinds) => {
            let words: Vec<_> = kinds
                .iter()
                .map(|k| if k == "array" { format!("list of {}", type_html(&schema["items"])) } else { text(k) })
                .collect();
            words.join(" or ")
        }
        kind => text(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_document_says_is_escaped() {
        let html = page(&json!({
            "info": {"title": "<script>", "version": "1", "description": "a & b"},
            "paths": {"/x": {"get": {"tags": ["T"], "operationId": "v1.x", "responses": {"200": {"description": "<"}}}}},
            "components": {"schemas": {"A": {"properties": {"b": {"type": ["array", "null"], "items":
                {"$ref": "#/components/schemas/B"}}}}}},
        }));
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"));
        assert!(html.contains("a &amp; b") && html.contains("v1.x"));
        assert!(html.contains("list of <a href=\"#schema-B\">B</a> or null"));
    }
}
