//! The style sheet, the script and the icon, in the binary. Their addresses change with their content, so that browsers
//! may keep them for ever.

use axum::{Router, extract::Path, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use std::sync::LazyLock;

const CSS: &str = include_str!("../assets/style.css");
const JS: &str = include_str!("../assets/script.js");
const ICON: &str = include_str!("../assets/icon.svg");

static STYLE: LazyLock<String> = LazyLock::new(|| named("style", CSS, "css"));
static SCRIPT: LazyLock<String> = LazyLock::new(|| named("script", JS, "js"));

/// Where the style sheet is.
pub(crate) fn style() -> &'static str {
    &STYLE
}
/// Where the script is.
pub(crate) fn script() -> &'static str {
    &SCRIPT
}

fn named(name: &str, content: &str, extension: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
    let short: String = hash.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("/assets/{name}-{short}.{extension}")
}

/// The files.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{file}", get(serve)).route("/assets/theme/{name}", get(crate::theme::serve))
}

async fn serve(Path(file): Path<String>) -> impl IntoResponse {
    let path = format!("/assets/{file}");
    let (content, kind) = if path == *STYLE {
        (CSS, "text/css; charset=utf-8")
    } else if path == *SCRIPT {
        (JS, "text/javascript; charset=utf-8")
    } else if path == "/assets/icon.svg" {
        (ICON, "image/svg+xml")
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content).into_response()
}
