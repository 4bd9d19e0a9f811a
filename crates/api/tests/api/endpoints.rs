use crate::world::{World, column};
use http::Method;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn an_endpoint_has_svix_s_shape() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.post("/app/a/endpoint", json!({"url": "http://Example.com:80/a/../b?q#f"})).await.is(201);
    let (id, now) = (e["id"].as_str().unwrap(), w.now().to_string());
    assert_eq!(
        e,
        json!({"id": id, "uid": null, "url": "http://example.com/b?q#f", "description": "", "disabled": false,
            "eventTypes": null, "filterTypes": null, "channels": null, "throttleRate": null, "rateLimit": null,
            "version": 1, "metadata": {}, "createdAt": now, "updatedAt": now})
    );
    assert_eq!(w.get(&format!("/app/a/endpoint/{id}")).await.is(200), e);
}

#[tokio::test]
async fn what_schoolbell_adds_is_kept_by_a_put_that_leaves_it_out() {
    let w = World::new().await;
    w.app("a").await;
    let body = json!({"url": "https://example.com", "uid": "e", "retrySchedule": ["1s"], "finalStatuses": [404],
        "concurrency": 4, "ordered": true, "headers": {"X-A": "1"}});
    w.post("/app/a/endpoint", body).await.is(201);
    let e = w.put("/app/a/endpoint/e", json!({"url": "https://example.com/2", "uid": "e"})).await.is(200);
    assert_eq!((&e["retrySchedule"], &e["finalStatuses"]), (&json!(["1s"]), &json!([404])));
    assert_eq!((&e["concurrency"], &e["ordered"]), (&json!(4), &json!(true)));
    let headers = w.get("/app/a/endpoint/e/headers").await.is(200);
    assert_eq!(headers, json!({"headers": {"X-A": "1"}, "sensitive": []}));
    let e = w.patch("/app/a/endpoint/e", json!({"concurrency": null, "ordered": false})).await.is(200);
    assert!(e.get("concurrency").is_none() && e.get("ordered").is_none());
    let (loc, ..) = w.patch("/app/a/endpoint/e", json!({"concurrency": 257})).await.invalid();
    assert_eq!(loc, "body/concurrency");
}

#[tokio::test]
async fn broken_rules_are_named() {
    let w = World::new().await;
    w.app("a").await;
    w.put("/event-type/known", json!({"description": ""})).await.is(201);
    let cases = [
        (json!({}), "body//"),
        (json!({"url": "nonsense"}), "body/url"),
        (json!({"url": "ftp://example.com"}), "body/url"),
        (json!({"url": "http://10.0.0.1/"}), "body/url"),
        (json!({"url": "http://x", "eventTypes": []}), "body/event_types"),
        (json!({"url": "http://x", "eventTypes": ["known", "unknown"]}), "body/eventTypes"),
        (json!({"url": "http://x", "eventTypes": ["known"], "filterTypes": ["known"]}), "body//"),
        (json!({"url": "http://x", "channels": []}), "body/channels"),
        (json!({"url": "http://x", "channels": ["a b"]}), "body/channels/[0]/__all__"),
        (json!({"url": "http://x", "uid": "ep_1"}), "body/uid/__all__"),
        (json!({"url": "http://x", "throttleRate": 0}), "body/throttle_rate"),
        (json!({"url": "http://x", "version": 0}), "body/version"),
        (json!({"url": "http://x", "secret": "nope"}), "body/secret"),
        (json!({"url": "http://x", "secret": "whsec_AAEC"}), "body/key/__all__"),
        (json!({"url": "http://x", "headers": {"Host": "x", "content-type": "y"}}), "body/headers"),
        (json!({"url": "http://x", "retrySchedule": ["soon"]}), "body/retrySchedule"),
    ];
    for (body, loc) in cases {
        assert_eq!(w.post("/app/a/endpoint", body.clone()).await.invalid().0, loc, "{body}");
    }
    let (_, msg, _) = w.post("/app/a/endpoint", json!({"url": "http://10.0.0.1/"})).await.invalid();
    assert_eq!(msg, "10.0.0.1 is a private address");
    let (_, msg, _) = w.post("/app/a/endpoint", json!({"url": "http://x", "eventTypes": ["unknown"]})).await.invalid();
    assert!(msg.contains("unknown"), "{msg}");
    w.post("/app/a/endpoint", json!({"url": "http://x", "filterTypes": ["known"], "uid": "e"})).await.is(201);
    let conflict = w.post("/app/a/endpoint", json!({"url": "http://x", "uid": "e"})).await;
    assert_eq!(conflict.fails(409), "conflict");
}

#[tokio::test]
async fn a_put_creates_under_its_own_uid_and_a_delete_frees_it() {
    let w = World::new().await;
    w.app("a").await;
    w.put("/app/a/endpoint/e", json!({"url": "http://x", "uid": "e"})).await.is(201);
    w.put("/app/a/endpoint/e", json!({"url": "http://y", "uid": "e"})).await.is(200);
    w.delete("/app/a/endpoint/e").await.is(204);
    w.get("/app/a/endpoint/e").await.fails(404);
    w.patch("/app/a/endpoint/e", json!({})).await.fails(404);
    w.put("/app/a/endpoint/e", json!({"url": "http://x", "uid": "e"})).await.is(201);
    assert_eq!(w.get("/app/nobody/endpoint/e").await.fails(404), "not_found");
}

#[tokio::test]
async fn lists_come_newest_first() {
    let w = World::new().await;
    w.app("a").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(w.endpoint("a").await);
    }
    ids.reverse();
    let page = w.get("/app/a/endpoint?limit=2").await.is(200);
    assert_eq!(column(&page, "id"), ids[..2]);
    let page = w.get(&format!("/app/a/endpoint?iterator={}", ids[1])).await.is(200);
    assert_eq!(column(&page, "id"), ids[2..]);
    let page = w.get("/app/a/endpoint?order=ascending&limit=1").await.is(200);
    assert_eq!(column(&page, "id"), ids[2..]);
}

#[tokio::test]
async fn secrets_are_shown_and_rotated_up_to_a_limit() {
    let w = World::new().await;
    w.app("a").await;
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    w.post("/app/a/endpoint", json!({"url": "http://x", "uid": "e", "secret": secret})).await.is(201);
    assert_eq!(w.get("/app/a/endpoint/e/secret").await.is(200), json!({ "key": secret }));
    let path = "/app/a/endpoint/e/secret/rotate";
    let rotated = w.post(path, json!({})).await.is(200);
    assert_ne!(rotated["key"], secret);
    assert_eq!(w.get("/app/a/endpoint/e/secret").await.is(200), rotated);
    assert_eq!(w.post(path, json!({ "key": secret })).await.is(200)["key"], secret);
    let (loc, msg, _) = w.post(path, json!({"gracePeriodSeconds": 604_801})).await.invalid();
    assert_eq!((loc.as_str(), msg.as_str()), ("body/grace_period_seconds", "Duration must be between 0 and 7 days"));
    assert_eq!(w.post(path, json!({"key": "whpk_x"})).await.invalid().1, "invalid prefix");
    let mismatched = format!("whsk_{}==", "AQEB".repeat(21) + "AQ");
    assert_eq!(w.post(path, json!({ "key": mismatched })).await.invalid().1, "the halves do not belong together");
    assert_eq!(w.post_text(path, "").await.invalid().0, "body//");
    for _ in 0..8 {
        w.post(path, json!({})).await.is(200);
    }
    assert_eq!(w.post(path, json!({})).await.fails(400), "limit_reached");
    w.later(Duration::from_secs(24 * 3600));
    w.post(path, json!({})).await.is(200);
}

#[tokio::test]
async fn headers_are_replaced_merged_and_never_show_credentials() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let path = format!("/app/a/endpoint/{e}/headers");
    w.put(&path, json!({"headers": {"X-One": "1", "Authorization": "Bearer x"}})).await.is(204);
    let shown = json!({"headers": {"X-One": "1"}, "sensitive": ["Authorization"]});
    assert_eq!(w.get(&path).await.is(200), shown);
    w.patch(&path, json!({"headers": {"X-Two": "2", "x-one": null}, "deleteHeaders": ["authorization"]})).await.is(204);
    assert_eq!(w.get(&path).await.is(200), json!({"headers": {"X-Two": "2"}, "sensitive": []}));
    let (loc, msg, kind) = w.put(&path, json!({"headers": {"svix-id": "1"}})).await.invalid();
    assert_eq!(
        (loc.as_str(), msg.as_str(), kind.as_str()),
        ("body/headers", "Header starts with a forbidden prefix.", "value_error.jsondecode")
    );
    let (loc, msg, _) = w.patch(&path, json!({"headers": {"X-A": "a\u{1}"}})).await.invalid();
    assert_eq!((loc.as_str(), msg.as_str()), ("body/headers/__all__", "Invalid Header Value."));
}

#[tokio::test]
async fn the_operator_hears_about_endpoints() {
    let w = World::new().await;
    let manager = w.service.tokens().for_organization(&domain::OrganizationId::management(), w.now());
    let organization = domain::OrganizationId::DEFAULT;
    let types = w.call_as(&manager, Method::GET, "/event-type", &[], "").await.is(200);
    assert_eq!(types["data"].as_array().unwrap().len(), 7);
    w.app("a").await;
    w.endpoint("a").await; // Nobody hears this.
    let app = json!({"name": "op", "uid": organization}).to_string();
    w.call_as(&manager, Method::POST, "/app", &[], app).await.is(201);
    w.put("/app/a/endpoint/e", json!({"url": "http://x", "uid": "e"})).await.is(201);
    w.patch("/app/a/endpoint/e", json!({"description": "d"})).await.is(200);
    w.delete("/app/a/endpoint/e").await.is(204);
    let path = format!("/app/{organization}/msg");
    let list = w.call_as(&manager, Method::GET, &path, &[], "").await.is(200);
    assert_eq!(column(&list, "eventType"), ["endpoint.deleted", "endpoint.updated", "endpoint.created"]);
    let payload = &list["data"][2]["payload"];
    assert_eq!((&payload["type"], &payload["data"]["endpointUid"]), (&json!("endpoint.created"), &json!("e")));
    assert_eq!(payload["data"]["appUid"], "a");
}

#[tokio::test]
async fn examples_are_sent_to_one_endpoint() {
    let w = World::new().await;
    w.app("a").await;
    let (e, other) = (w.endpoint("a").await, w.endpoint("a").await);
    let path = format!("/app/a/endpoint/{e}/send-example");
    let sent = w.post(&path, json!({"eventType": "svix.ping"})).await.is(200);
    assert_eq!((&sent["eventType"], &sent["payload"]), (&json!("svix.ping"), &json!({})));
    assert_eq!(w.answer_all("a", &e, 200, store::Settle::Delivered).await, 1);
    assert_eq!(w.answer_all("a", &other, 200, store::Settle::Delivered).await, 0);
    w.post(&path, json!({"eventType": "unknown"})).await.fails(404);
    w.put("/event-type/bare", json!({"description": ""})).await.is(201);
    assert_eq!(w.post(&path, json!({"eventType": "bare"})).await.fails(400), "invalid_scheme");
    let schemas = json!({"1": {"type": "object", "examples": [{"n": 1}, {"n": 2}]}});
    w.put("/event-type/full", json!({"description": "", "schemas": schemas})).await.is(201);
    let sent = w.post(&path, json!({"eventType": "full", "exampleIndex": 1})).await.is(200);
    let message = w.get(&format!("/app/a/msg/{}", sent["id"].as_str().unwrap())).await.is(200);
    assert_eq!(message["payload"], json!({"n": 2}));
}

#[tokio::test]
async fn tasks_are_begun_and_found_again() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let day = Duration::from_secs(24 * 3600);
    let recover = format!("/app/a/endpoint/{e}/recover");
    let task = w.post(&recover, json!({"since": w.now().minus(day)})).await.is(202);
    let id = task["id"].as_str().unwrap();
    assert_eq!(task, json!({"id": id, "status": "running", "task": "endpoint.recover", "updatedAt": w.now()}));
    let (loc, msg, _) = w.post(&recover, json!({"since": w.now().minus(day * 15)})).await.invalid();
    assert_eq!((loc.as_str(), msg.as_str()), ("body/since", "Cannot recover more than 14 days of messages"));
    let missing = format!("/app/a/endpoint/{e}/replay-missing");
    let replay = w.post(&missing, json!({"since": w.now().minus(day * 30)})).await.is(202);
    assert_eq!(replay["task"], "endpoint.replay");
    assert_eq!(w.get(&format!("/background-task/{id}")).await.is(200)["data"], json!({"messagesSent": 0}));
    let list = w.get("/background-task").await.is(200);
    assert_eq!(column(&list, "task"), ["endpoint.replay", "endpoint.recover"]);
    let list = w.get("/background-task?task=endpoint.recover&order=ascending").await.is(200);
    assert_eq!(column(&list, "id"), [id]);
    assert_eq!(w.get("/background-task?status=finished").await.is(200)["data"], json!([]));
    w.get("/background-task/qtask_000000000000000000000000000").await.fails(404);
    w.get("/background-task/qtask_2x").await.fails(404);
    assert_eq!(w.get("/background-task/x").await.invalid().0, "path/task_id/__all__");
}

#[tokio::test]
async fn statistics_count_attempts() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    w.message("a").await;
    w.answer_all("a", &e, 500, store::Settle::RetryAt(w.now())).await;
    w.answer_all("a", &e, 200, store::Settle::Delivered).await;
    let path = format!("/app/a/endpoint/{e}/stats");
    let stats = w.get(&path).await.is(200);
    assert_eq!(stats, json!({"success": 1, "pending": 0, "sending": 0, "fail": 1, "canceled": 0}));
    assert_eq!(w.get(&format!("{path}?until=2099-01-01T00:00:00Z")).await.fails(400), "invalid_range");
    assert_eq!(w.get(&format!("{path}?since=2020-01-01T00:00:00Z")).await.fails(400), "invalid_range");
    assert_eq!(w.get(&format!("{path}?since=yesterday")).await.fails(400), "generic_error");
    let none = w.get(&format!("{path}?since=2026-08-30%2000:00:00%20UTC&until=2026-08-31T00:00:00%2B00:00")).await;
    assert_eq!(none.is(200)["success"], json!(0));
}
