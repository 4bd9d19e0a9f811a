use crate::world::{Answer, World};
use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

async fn with(w: &World, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().uri("/api/v1/app");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    w.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_call_needs_a_token() {
    let w = World::new().await;
    let good = format!("Bearer {}", w.organization);
    assert_eq!(with(&w, Some(&good)).await.status, 200);
    for bad in [None, Some("Bearer x"), Some("Basic abc"), Some("Bearer "), Some(w.organization.as_str())] {
        let json = with(&w, bad).await.is(401);
        assert_eq!(json, json!({"code": "authentication_failed", "detail": "Invalid token"}), "{bad:?}");
    }
    let json = with(&w, Some("Bearer secret")).await.is(401);
    assert!(json["detail"].as_str().unwrap().contains("not a token"));
}

#[tokio::test]
async fn an_application_token_opens_its_application_by_id_or_uid_and_no_other() {
    let w = World::new().await;
    w.app("mine").await;
    w.app("other").await;
    let access = w.post("/auth/app-portal-access/mine", json!({})).await.is(200);
    let token = access["token"].as_str().unwrap();
    assert!(access["url"].as_str().unwrap().ends_with(token));
    let id = w.get("/app/mine").await.is(200)["id"].as_str().unwrap().to_owned();
    for path in ["/app/mine".to_owned(), format!("/app/{id}"), "/app/mine/endpoint".to_owned()] {
        w.call_as(token, Method::GET, &path, &[], "").await.is(200);
    }
    assert_eq!(w.call_as(token, Method::GET, "/app/other", &[], "").await.fails(404), "not_found");
    for (method, path) in [
        (Method::GET, "/app"),
        (Method::POST, "/app"),
        (Method::PUT, "/app/mine"),
        (Method::DELETE, "/app/mine"),
        (Method::POST, "/auth/app-portal-access/mine"),
        (Method::GET, "/organization/settings"),
        (Method::POST, "/admin/redrive-dlq"),
    ] {
        assert_eq!(w.call_as(token, method, path, &[], "{}").await.fails(403), "insufficient access", "{path}");
    }
    w.delete("/app/mine").await.is(204);
    w.call_as(token, Method::GET, &format!("/app/{id}"), &[], "").await.fails(404);
}

#[tokio::test]
async fn capabilities_restrict_a_portal_link() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let body = json!({"capabilities": ["ViewBase", "ManageEndpointSecret"], "expiry": 3600});
    let access = w.post("/auth/app-portal-access/a", body).await.is(200);
    let token = access["token"].as_str().unwrap();
    let path = |rest: &str| format!("/app/a/endpoint/{e}{rest}");
    w.call_as(token, Method::GET, &path(""), &[], "").await.is(200);
    w.call_as(token, Method::GET, &path("/secret"), &[], "").await.fails(403);
    assert_eq!(w.call_as(token, Method::POST, &path("/secret/rotate"), &[], "{}").await.status, 204);
    w.call_as(token, Method::PATCH, &path(""), &[], "{}").await.fails(403);
    w.call_as(token, Method::DELETE, &path(""), &[], "").await.fails(403);
    let since = json!({"since": w.now()}).to_string();
    w.call_as(token, Method::POST, &path("/recover"), &[], since).await.fails(403);
    w.later(std::time::Duration::from_secs(3600 + 901));
    w.call_as(token, Method::GET, &path(""), &[], "").await.fails(401);
    assert_eq!(w.post("/auth/app-portal-access/a", json!({"expiry": 1})).await.invalid().0, "body/expiry");
}

#[tokio::test]
async fn portal_links_may_make_the_application_and_the_old_name_works() {
    let w = World::new().await;
    w.post("/auth/app-portal-access/new", json!({})).await.fails(404);
    let body = json!({"application": {"name": "N", "uid": "new"}});
    w.post("/auth/app-portal-access/new", body).await.is(200);
    w.call_as(&w.organization, Method::POST, "/auth/dashboard-access/new/", &[], "").await.is(200);
    let logout = w.send(Request::post("/api/v1/auth/logout/").body(Body::empty()).unwrap()).await;
    assert_eq!((logout.status, logout.bytes.len()), (204, 0));
}
