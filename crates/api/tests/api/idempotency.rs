use crate::world::{Answer, World};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn keyed(w: &World, key: &str, path: &str, body: Value) -> Answer {
    w.call_as(&w.organization, Method::POST, path, &[("idempotency-key", key)], body.to_string()).await
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_whatever_the_body() {
    let w = World::new().await;
    let first = keyed(&w, "k", "/app", json!({"name": "A"})).await.is(201);
    let again = keyed(&w, "k", "/app/", json!({"name": "B"})).await;
    assert_eq!(again.headers["content-type"], "application/json");
    assert_eq!(again.is(201), first);
    assert_ne!(keyed(&w, "k2", "/app", json!({"name": "A"})).await.is(201), first);
    assert_ne!(keyed(&w, "k", "/app?get_if_exists=true", json!({"name": "A"})).await.is(201), first);
    w.later(Duration::from_secs(12 * 3600 + 1));
    assert_ne!(keyed(&w, "k", "/app", json!({"name": "A"})).await.is(201), first);
}

#[tokio::test]
async fn failures_are_not_kept() {
    let w = World::new().await;
    keyed(&w, "k", "/app", json!({"name": ""})).await.is(422);
    keyed(&w, "k", "/app", json!({"name": "A"})).await.is(201);
}

#[tokio::test]
async fn a_repeated_message_is_answered_as_the_first_time_and_sent_once() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let event = json!({"eventType": "x", "payload": {"n": 1}});
    let first = keyed(&w, "k", "/app/a/msg", event.clone()).await.is(202);
    let again = keyed(&w, "k", "/app/a/msg", json!({"eventType": "x", "payload": {"n": 2}})).await.is(202);
    assert_eq!(again, first);
    let other = keyed(&w, "k2", "/app/a/msg", event.clone()).await.is(202);
    assert_ne!(other["id"], first["id"]);
    w.later(Duration::from_secs(12 * 3600 + 1));
    assert_ne!(keyed(&w, "k", "/app/a/msg", event).await.is(202)["id"], first["id"]);
    assert_eq!(w.answer_all("a", &e, 200, store::Settle::Delivered).await, 3);
}

#[tokio::test]
async fn a_repeated_batch_is_answered_as_the_first_time() {
    let w = World::new().await;
    w.app("a").await;
    let batch = json!({"messages": [{"eventType": "x", "payload": {}}, {"eventType": "x", "payload": {}}]});
    let first = keyed(&w, "k", "/app/a/msg/batch", batch.clone()).await.is(200);
    assert_ne!(first["data"][0]["message"]["id"], first["data"][1]["message"]["id"]);
    assert_eq!(keyed(&w, "k", "/app/a/msg/batch", batch).await.is(200), first);
}

#[tokio::test]
async fn a_repeated_rotation_rotates_once_and_keeps_no_secret() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let path = format!("/app/a/endpoint/{e}/secret/rotate");
    let first = keyed(&w, "k", &path, json!({})).await.is(200);
    assert_eq!(keyed(&w, "k", &path, json!({})).await.is(200), first);
    assert_ne!(keyed(&w, "k2", &path, json!({})).await.is(200), first);
}

#[tokio::test]
async fn two_at_the_same_time_with_one_key_are_one() {
    let w = World::new().await;
    let (a, b) =
        tokio::join!(keyed(&w, "k", "/app", json!({"name": "A"})), keyed(&w, "k", "/app", json!({"name": "A"})),);
    assert_eq!(a.is(201), b.is(201));
}
