use crate::world::{Answer, World};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

async fn plain(w: &World, method: Method, path: &str) -> Answer {
    w.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn unknown_routes_and_methods_are_empty_and_need_no_token() {
    let w = World::new().await;
    for (method, path, status) in [
        (Method::GET, "/api/v1/nothing", 404),
        (Method::GET, "/nothing/", 404),
        (Method::DELETE, "/api/v1/app", 405),
        (Method::PATCH, "/api/v1/app/a/msg/", 405),
    ] {
        let answer = plain(&w, method, path).await;
        assert_eq!((answer.status, answer.bytes.len()), (status, 0), "{path}");
        assert!(answer.headers.get("content-type").is_none());
    }
}

#[tokio::test]
async fn any_origin_may_call() {
    let w = World::new().await;
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/api/v1/app/")
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-mine")
        .body(Body::empty())
        .unwrap();
    let answer = w.send(preflight).await;
    assert_eq!(answer.status, 200);
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("access-control-allow-origin"), "*");
    assert_eq!(header("access-control-allow-methods"), "*");
    assert_eq!(header("access-control-allow-headers"), "authorization,x-mine");
    assert_eq!(header("access-control-max-age"), "600");
}

#[tokio::test]
async fn health_is_asked_without_a_token() {
    let w = World::new().await;
    let body = json!({"database": {"status": "ok"}, "queue": {"status": "ok"}, "cache": {"status": "ok"}});
    for path in ["/health", "/health/", "/health/ready", "/api/v1/health/"] {
        assert_eq!(plain(&w, Method::GET, path).await.is(200), body, "{path}");
        let head = plain(&w, Method::HEAD, path).await;
        assert_eq!((head.status, head.bytes.len()), (200, 0));
    }
    for path in ["/health/ping", "/health/live", "/api/v1/health/ping"] {
        assert_eq!(plain(&w, Method::GET, path).await.status, 204, "{path}");
    }
}

#[tokio::test]
async fn the_reference_is_a_page_without_scripts() {
    let w = World::new().await;
    let root = plain(&w, Method::GET, "/").await;
    assert_eq!((root.status, root.headers["location"].to_str().unwrap()), (307, "/docs"));
    let page = plain(&w, Method::GET, "/docs/").await;
    let html = String::from_utf8_lossy(&page.bytes);
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert!(!html.contains("<script") && html.contains("v1.message.create"));
    assert_eq!(plain(&w, Method::GET, "/docs/style.css").await.headers["content-type"], "text/css; charset=utf-8");
}

#[tokio::test]
async fn the_document_names_every_operation() {
    let w = World::new().await;
    let document = plain(&w, Method::GET, "/api/v1/openapi.json").await.is(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids: Vec<String> = Vec::new();
    let mut undescribed = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.values().all(|a| a["description"].as_str().is_some_and(|d| !d.is_empty())), "{path}");
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            if operation["summary"].as_str().is_none_or(str::is_empty) || operation["responses"]["401"].is_null() {
                undescribed.push(format!("{method} {path}"));
            }
            ids.push(id);
        }
    }
    let free =
        ["get /api/lti/jwks/{app_id}", "get /api/v1/health", "get /api/v1/health/ping", "post /api/v1/auth/logout"];
    // Tools ask for their tokens without one.
    undescribed.retain(|o| !free.contains(&o.as_str()) && !o.ends_with("/authorize"));
    assert_eq!(undescribed, [] as [&str; 0]);
    for expected in OPERATIONS.split_whitespace() {
        assert_eq!(ids.iter().filter(|id| *id == expected).count(), 1, "{expected}");
    }
    // What is named is there.
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert_ne!(document["components"]["schemas"][name], Value::Null, "{name}");
    }
}

const OPERATIONS: &str = "
    v1.application.list v1.application.create v1.application.get v1.application.update v1.application.patch
    v1.application.delete v1.event-type.list v1.event-type.create v1.event-type.get v1.event-type.update
    v1.event-type.patch v1.event-type.delete v1.endpoint.list v1.endpoint.create v1.endpoint.get v1.endpoint.update
    v1.endpoint.patch v1.endpoint.delete v1.endpoint.get-secret v1.endpoint.rotate-secret v1.endpoint.get-headers
    v1.endpoint.update-headers v1.endpoint.patch-headers v1.endpoint.get-stats v1.endpoint.send-example
    v1.endpoint.recover v1.endpoint.replay-missing v1.message-attempt.list-attempted-messages v1.message.list
    v1.message.create v1.message.create-batch v1.message.get v1.message.expunge-content
    v1.message-attempt.list-by-endpoint v1.message-attempt.list-by-msg v1.message-attempt.get
    v1.message-attempt.expunge-content v1.message-attempt.list-attempted-destinations v1.message-attempt.resend
    v1.authentication.app-portal-access v1.authentication.logout v1.health.get v1.background-task.list
    v1.background-task.get v1.organization.get-settings v1.organization.update-settings
    v1.signing-keys.get v1.signing-keys.rotate lti.jwks";
