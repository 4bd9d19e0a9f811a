use crate::world::{World, column};
use serde_json::{Value, json};
use std::time::Duration;
use store::Settle;

#[tokio::test]
async fn attempts_are_listed_by_endpoint_and_by_message() {
    let w = World::new().await;
    w.app("a").await;
    let (e, other) = (w.endpoint("a").await, w.endpoint("a").await);
    let m = w.message("a").await;
    let (e, other) = (e.as_str(), other.as_str());
    w.answer_all("a", e, 503, Settle::RetryAt(w.now())).await;
    w.answer_all("a", e, 200, Settle::Delivered).await;
    w.answer_all("a", other, 404, Settle::Failed).await;

    let list = w.get(&format!("/app/a/attempt/endpoint/{e}")).await.is(200);
    let (newest, id) = (&list["data"][0], list["data"][0]["id"].as_str().unwrap());
    assert_eq!(
        *newest,
        json!({"id": id, "msgId": m, "endpointId": e, "url": "https://example.com/hook", "timestamp": w.now(),
            "status": 0, "statusText": "success", "triggerType": 0, "response": "answered",
            "responseStatusCode": 200, "responseDurationMs": 7})
    );
    assert_eq!(column(&list, "statusText"), ["success", "fail"]);
    assert_eq!(w.get(&format!("/app/a/msg/{m}/attempt/{id}")).await.is(200), *newest);

    let by_message = |query: &str| format!("/app/a/attempt/msg/{m}?{query}");
    assert_eq!(column(&w.get(&by_message("")).await.is(200), "endpointId"), [other, e, e]);
    assert_eq!(column(&w.get(&by_message("status=0")).await.is(200), "endpointId"), [e]);
    assert_eq!(column(&w.get(&by_message("status_code_class=500")).await.is(200), "endpointId"), [e]);
    assert_eq!(column(&w.get(&by_message(&format!("endpoint_id={other}"))).await.is(200), "endpointId"), [other]);
    assert_eq!(w.get(&by_message("with_content=false&limit=1")).await.is(200)["data"][0]["response"], "{}");
    assert_eq!(w.get(&by_message("event_types=other")).await.is(200)["data"], json!([]));
    for bad in ["status=9", "status=x", "status_code_class=250"] {
        assert_eq!(w.get(&by_message(bad)).await.fails(400), "generic_error", "{bad}");
    }
    // The old paths.
    assert_eq!(column(&w.get(&format!("/app/a/msg/{m}/attempt")).await.is(200), "endpointId").len(), 3);
    let old = w.get(&format!("/app/a/msg/{m}/endpoint/{other}/attempt/")).await.is(200);
    assert_eq!(column(&old, "endpointId"), [other]);

    w.delete(&format!("/app/a/msg/{m}/attempt/{id}/content")).await.is(204);
    assert_eq!(w.get(&format!("/app/a/msg/{m}/attempt/{id}")).await.is(200)["response"], "EXPUNGED");
    let nobody = "atmpt_000000000000000000000000000";
    assert_eq!(w.get(&format!("/app/a/msg/{m}/attempt/{nobody}")).await.is(404)["detail"], "Message attempt not found");
    assert_eq!(w.get(&format!("/app/a/msg/x/attempt/{nobody}")).await.is(404)["detail"], "Message not found");
    w.get(&format!("/app/a/msg/{m}/attempt/atmpt_2x")).await.fails(404);
    assert_eq!(w.get(&format!("/app/a/msg/{m}/attempt/x")).await.invalid().0, "path/attempt_id/__all__");
}

#[tokio::test]
async fn attempted_messages_and_destinations_show_the_latest_attempt() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let failed = w.message("a").await;
    w.answer_all("a", &e, 404, Settle::Failed).await;
    let later = w.now().plus(Duration::from_secs(300));
    let retried = w.message("a").await;
    w.answer_all("a", &e, 500, Settle::RetryAt(later)).await;
    let delivered = w.message("a").await;
    w.answer_all("a", &e, 200, Settle::Delivered).await;

    let (failed, retried, delivered) = (failed.as_str(), retried.as_str(), delivered.as_str());
    let path = format!("/app/a/endpoint/{e}/msg");
    let list = w.get(&path).await.is(200);
    assert_eq!(column(&list, "id"), [delivered, retried, failed]);
    assert_eq!(column(&list, "statusText"), ["success", "sending", "fail"]);
    assert_eq!(list["data"][1]["nextAttempt"], json!(later));
    assert!(list["data"][0].get("nextAttempt").is_none());
    assert_eq!(list["data"][0]["payload"], json!({"n": 1}));
    for (status, expected) in [(0, vec![delivered]), (1, vec![]), (2, vec![failed]), (3, vec![retried])] {
        let list = w.get(&format!("{path}?status={status}")).await.is(200);
        assert_eq!(column(&list, "id"), expected, "{status}");
    }

    let list = w.get(&format!("/app/a/msg/{retried}/endpoint")).await.is(200);
    let item = &list["data"][0];
    assert_eq!((&item["id"], &item["status"], &item["nextAttempt"]), (&json!(e), &json!(2), &json!(later)));
    assert!(item.get("metadata").is_none() && item["eventTypes"].is_null());
    w.delete(&format!("/app/a/endpoint/{e}")).await.is(204);
    let list = w.get(&format!("/app/a/msg/{delivered}/endpoint")).await.is(200);
    assert_eq!((&list["data"][0]["statusText"], &list["data"][0]["nextAttempt"]), (&json!("success"), &Value::Null));
    w.get(&path).await.fails(404);
}

#[tokio::test]
async fn a_message_is_sent_again_on_request() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    let m = w.message("a").await;
    w.answer_all("a", &e, 200, Settle::Delivered).await;
    let path = format!("/app/a/msg/{m}/endpoint/{e}/resend/");
    assert_eq!(w.post_text(&path, "").await.is(202), json!({}));
    assert_eq!(w.answer_all("a", &e, 200, Settle::Delivered).await, 1);
    let list = w.get(&format!("/app/a/attempt/msg/{m}")).await.is(200);
    assert_eq!((&list["data"][0]["triggerType"], &list["data"][1]["triggerType"]), (&json!(1), &json!(0)));
    w.patch(&format!("/app/a/endpoint/{e}"), json!({"disabled": true})).await.is(200);
    w.post_text(&path, "").await.is(202);
    w.patch(&format!("/app/a/endpoint/{e}"), json!({"disabled": false})).await.is(200);
    assert_eq!(w.answer_all("a", &e, 200, Settle::Delivered).await, 0, "nothing was queued while it was off");
    w.post_text(&format!("/app/a/msg/nobody/endpoint/{e}/resend"), "").await.fails(404);
    w.post_text(&format!("/app/a/msg/{m}/endpoint/nobody/resend"), "").await.fails(404);
}

#[tokio::test]
async fn switching_off_cancels_what_waits() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    w.message("a").await;
    for disabled in [true, false] {
        w.patch(&format!("/app/a/endpoint/{e}"), json!({ "disabled": disabled })).await.is(200);
    }
    assert_eq!(w.answer_all("a", &e, 200, Settle::Delivered).await, 0);
}

#[tokio::test]
async fn what_waits_is_cancelled_on_request() {
    let w = World::new().await;
    w.app("a").await;
    let e = w.endpoint("a").await;
    w.message("a").await;
    w.later(Duration::from_secs(1));
    w.post(&format!("/app/a/endpoint/{e}/cancel-msgs"), json!({"createdBefore": w.now()})).await.is(204);
    assert_eq!(w.answer_all("a", &e, 200, Settle::Delivered).await, 0);
}
