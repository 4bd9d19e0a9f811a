use crate::world::{World, column};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_message_is_answered_and_kept_as_the_bytes_that_came_in() {
    let w = World::new().await;
    w.app("a").await;
    let payload = r#"{ "b" : 1e3,"a":"\u00e9",  "b":2 }"#;
    let body = format!(r#"{{"eventType":"x.y","payload":{payload},"channels":["c:1"],"eventId":"e1"}} rest"#);
    let answer = w.post_text("/app/a/msg/", &body).await;
    assert_eq!(answer.status, 202);
    assert!(String::from_utf8_lossy(&answer.bytes).contains(payload));
    let m = answer.json();
    assert_eq!((&m["eventType"], &m["eventId"], &m["channels"]), (&json!("x.y"), &json!("e1"), &json!(["c:1"])));
    assert_eq!(m["timestamp"], json!(w.now()));
    let got = w.get("/app/a/msg/e1").await;
    assert!(String::from_utf8_lossy(&got.bytes).contains(payload));
    let bare = w.post("/app/a/msg?with_content=false", json!({"eventType": "x", "payload": {"a": 1}})).await.is(202);
    let id = bare["id"].as_str().unwrap();
    assert_eq!(
        bare,
        json!({"id": id, "eventType": "x", "eventId": null, "payload": {}, "channels": null, "timestamp": w.now()})
    );
    let raw = w.get(&format!("/app/a/msg/{id}/raw")).await.is(200);
    assert_eq!(raw, json!({"payload": "{\"a\":1}"}));
}

#[tokio::test]
async fn a_repeated_event_is_answered_as_the_first_time_and_another_one_with_its_id_is_refused() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let event = json!({"eventType": "x", "eventId": "e1", "payload": {"n": 1}});
    let first = w.post("/app/a/msg", event.clone()).await.is(202);
    assert_eq!(w.post("/app/a/msg", event).await.is(202), first);
    let other = w.post("/app/a/msg", json!({"eventType": "x", "eventId": "e1", "payload": {"n": 2}})).await;
    let json = other.is(409);
    assert_eq!(json["code"], "conflict");
    assert!(json["detail"].as_str().unwrap().contains(first["id"].as_str().unwrap()));
    assert_eq!(w.answer_all("a", &e, 200, store::Settle::Delivered).await, 1);
}

#[tokio::test]
async fn broken_rules_are_named() {
    let w = World::new().await;
    w.app("a").await;
    let cases = [
        (json!({"payload": {}}), "body//"),
        (json!({"eventType": "x"}), "body//"),
        (json!({"eventType": "x", "payload": [1]}), "body/payload"),
        (json!({"eventType": "x", "payload": null}), "body/payload"),
        (json!({"eventType": "x", "payload": {}, "data": {}}), "body//"),
        (json!({"eventType": "x y", "payload": {}}), "body/event_type/__all__"),
        (json!({"eventType": "x", "payload": {}, "eventId": "msg_1"}), "body/uid/__all__"),
        (json!({"eventType": "x", "payload": {}, "channels": []}), "body/channels"),
        (json!({"eventType": "x", "payload": {}, "payloadRetentionPeriod": 91}), "body/payload_retention_period"),
        (json!({"eventType": "x", "payload": {}, "application": {"name": ""}}), "body/application/name"),
    ];
    for (body, loc) in cases {
        assert_eq!(w.post("/app/a/msg", body.clone()).await.invalid().0, loc, "{body}");
    }
    w.post("/app/a/msg", json!({"eventType": "x", "data": {}})).await.is(202);
    assert_eq!(w.post_text("/app/a/msg", "{").await.fails(400), "invalid_json");
    assert_eq!(w.post_text("/app/a/msg", r#"{"eventType":"x","payload":{"a":}}"#).await.fails(400), "invalid_json");
    let huge = format!(r#"{{"eventType":"x","payload":{{"a":"{}"}}}}"#, "x".repeat(2 * 1024 * 1024));
    assert_eq!(w.post_text("/app/a/msg", &huge).await.fails(413), "payload_too_large");
    let fits = format!(r#"{{"eventType":"x","payload":{{"a":"{}"}}}}"#, "x".repeat(2 * 1024 * 1024 - 40));
    assert_eq!(w.post_text("/app/a/msg?with_content=false", &fits).await.status, 202);
}

#[tokio::test]
async fn an_application_is_made_on_the_way() {
    let w = World::new().await;
    let event = |application: Value| json!({"eventType": "x", "payload": {}, "application": application});
    assert_eq!(w.post("/app/new/msg", json!({"eventType": "x", "payload": {}})).await.fails(404), "not_found");
    let (loc, _, kind) = w.post("/app/new/msg", event(json!({"name": "N"}))).await.invalid();
    assert_eq!((loc.as_str(), kind.as_str()), ("body/application/uid", "application_uid_missing"));
    let (_, msg, kind) = w.post("/app/new/msg", event(json!({"name": "N", "uid": "old"}))).await.invalid();
    let mismatch = "Application UID in the path and body must match";
    assert_eq!((msg.as_str(), kind.as_str()), (mismatch, "application_uid_mismatch"));
    w.post("/app/new/msg", event(json!({"name": "N", "uid": "new"}))).await.is(202);
    assert_eq!(w.get("/app/new").await.is(200)["name"], "N");
    w.post("/app/new/msg", event(json!({"name": "M", "uid": "new"}))).await.is(202);
    assert_eq!(w.get("/app/new").await.is(200)["name"], "N");
}

#[tokio::test]
async fn raw_payloads_are_sent_and_shown_honestly() {
    let w = World::new().await;
    w.app("a").await;
    let body = |raw: &str| json!({"eventType": "x", "payload": {}, "transformationsParams": {"rawPayload": raw}});
    let m = w.post("/app/a/msg", body("plain <text>")).await.is(202);
    assert_eq!(m["payload"], json!({"raw": "plain <text>"}));
    let m = w.post("/app/a/msg", body(r#"{"ok":1}"#)).await.is(202);
    assert_eq!(m["payload"], json!({"ok": 1}));
}

#[tokio::test]
async fn an_expunged_message_says_so_and_cannot_be_sent_again() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let m = w.message("a").await;
    w.post(&format!("/app/a/msg/{m}/endpoint/{e}/resend"), json!({})).await.is(202);
    w.delete(&format!("/app/a/msg/{m}/content")).await.is(204);
    assert_eq!(w.get(&format!("/app/a/msg/{m}")).await.is(200)["payload"], json!({"expired": true}));
    let resend = w.post(&format!("/app/a/msg/{m}/endpoint/{e}/resend"), json!({})).await;
    assert_eq!(resend.fails(400), "missing_payload");
    w.delete("/app/a/msg/unknown/content").await.fails(404);
}

#[tokio::test]
async fn lists_are_filtered_and_cut_by_time() {
    let w = World::new().await;
    w.app("a").await;
    let mut times = Vec::new();
    for (event_type, channel) in [("one", "c1"), ("two", "c2"), ("one", "c2")] {
        let body = json!({"eventType": event_type, "payload": {"k": 1}, "channels": [channel]});
        let m = w.post("/app/a/msg", body).await.is(202);
        times.push(m["timestamp"].as_str().unwrap().to_owned());
        w.later(Duration::from_secs(60));
    }
    let list = |query: String| {
        let w = &w;
        async move { column(&w.get(&format!("/app/a/msg?{query}")).await.is(200), "timestamp") }
    };
    let newest_first: Vec<_> = times.iter().rev().cloned().collect();
    assert_eq!(list(String::new()).await, newest_first);
    assert_eq!(list("event_types=two".into()).await, times[1..2]);
    assert_eq!(list("event_types=two,three&event_types[]=one&channel=c2".into()).await, newest_first[..2]);
    assert_eq!(list(format!("before={}", times[1])).await, times[..1]);
    assert_eq!(list(format!("after={}", times[1])).await, newest_first[..2]);
    assert_eq!(list(format!("after={}&limit=1", times[0])).await, times[..1]);
    assert_eq!(list(format!("after={}&before={}", times[0], times[2])).await, newest_first[1..]);
    let first = w.get("/app/a/msg?limit=2&with_content=false").await.is(200);
    assert_eq!((&first["data"][0]["payload"], &first["done"]), (&json!({}), &json!(false)));
    let next = first["iterator"].as_str().unwrap();
    let page = w.get(&format!("/app/a/msg?limit=2&iterator={next}")).await.is(200);
    assert_eq!((column(&page, "timestamp"), &page["done"]), (times[..1].to_vec(), &json!(true)));
    let back = page["prevIterator"].as_str().unwrap();
    assert_eq!(column(&w.get(&format!("/app/a/msg?iterator={back}")).await.is(200), "timestamp"), newest_first[..2]);
    assert_eq!(w.get("/app/a/msg?event_types=a%20b").await.invalid().0, "query/__all__");
    assert_eq!(w.get("/app/a/msg?before=yesterday").await.fails(400), "generic_error");
    assert_eq!(w.get("/app/a/msg?iterator=msg_x").await.invalid().0, "query/iterator/__all__");
}

#[tokio::test]
async fn a_batch_answers_each_event_on_its_own() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let messages = json!([
        {"eventType": "x", "payload": {"n": 1}, "eventId": "one"},
        {"eventType": "x"},
        {"eventType": "x", "payload": {"n": 2}, "eventId": "one"},
        {"eventType": "x", "payload": {"n": 1}, "eventId": "one"},
        {"eventType": "x y", "payload": {}},
        {"eventType": "x", "payload": {"n": 3}},
    ]);
    let answer = w.post("/app/a/msg/batch/", json!({ "messages": messages })).await.is(200);
    let data = answer["data"].as_array().unwrap();
    let statuses: Vec<_> = data.iter().map(|d| d["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 422, 409, 202, 422, 202]);
    assert_eq!(data[0]["message"], data[3]["message"]);
    assert_eq!(data[0]["message"]["payload"], json!({"n": 1}));
    assert_eq!(data[1]["error"]["detail"][0]["loc"], json!(["body", "", ""]));
    assert_eq!(data[2]["error"]["code"], "conflict");
    assert_eq!(data[4]["error"]["detail"][0]["loc"], json!(["body", "event_type", "__all__"]));
    assert_eq!(w.answer_all("a", &e, 200, store::Settle::Delivered).await, 2);
    let many = vec![json!({"eventType": "x", "payload": {}}); 1001];
    assert_eq!(w.post("/app/a/msg/batch", json!({ "messages": many })).await.invalid().0, "body/messages");
    w.post("/app/nobody/msg/batch", json!({"messages": [{"eventType": "x", "payload": {}}]})).await.fails(404);
}

#[tokio::test]
async fn only_an_organization_publishes() {
    let w = World::new().await;
    w.app("a").await;
    let access = w.post("/auth/app-portal-access/a", json!({})).await.is(200);
    let token = access["token"].as_str().unwrap();
    // Before the body is looked at.
    let refused = w.call_as(token, Method::POST, "/app/a/msg", &[], "{}").await;
    assert_eq!(refused.fails(403), "insufficient access");
    w.call_as(token, Method::GET, "/app/a/msg", &[], "").await.is(200);
}

#[tokio::test]
async fn a_precheck_says_whether_anybody_would_hear() {
    let w = World::new().await;
    w.app("a").await;
    let ask = json!({"eventType": "x"});
    assert_eq!(w.post("/app/a/msg/precheck/active/", ask.clone()).await.is(200), json!({"active": false}));
    w.endpoint("a").await;
    assert_eq!(w.post("/app/a/msg/precheck/active/", ask).await.is(200), json!({"active": true}));
}
