use crate::world::{World, column};
use serde_json::{Value, json};

#[tokio::test]
async fn an_application_has_svix_s_shape() {
    let w = World::new().await;
    let app = w.post("/app/", json!({"name": "A"})).await.is(201);
    let now = w.now().to_string();
    let id = app["id"].as_str().unwrap();
    assert_eq!(id.len(), 31);
    assert_eq!(
        app,
        json!({"id": id, "name": "A", "throttleRate": null, "metadata": {}, "createdAt": now, "updatedAt": now})
    );
    assert_eq!(w.get(&format!("/app/{id}")).await.is(200), app);
    let body = json!({"name": "B", "uid": "b", "rateLimit": 3, "metadata": {"k": "v"}, "unknown": 1});
    let app = w.post("/app", body).await.is(201);
    assert_eq!((&app["uid"], &app["throttleRate"], &app["rateLimit"]), (&json!("b"), &json!(3), &json!(3)));
    assert_eq!(w.get("/app/b").await.is(200), app);
}

#[tokio::test]
async fn a_uid_is_used_once_unless_the_existing_one_is_asked_for() {
    let w = World::new().await;
    let first = w.post("/app", json!({"name": "A", "uid": "a"})).await.is(201);
    assert_eq!(w.post("/app", json!({"name": "B", "uid": "a"})).await.fails(409), "conflict");
    assert_eq!(w.post("/app?get_if_exists=true", json!({"name": "B", "uid": "a"})).await.is(200), first);
    w.delete("/app/a").await.is(204);
    w.get("/app/a").await.fails(404);
    w.post("/app?get_if_exists=true", json!({"name": "B", "uid": "a"})).await.is(201);
}

#[tokio::test]
async fn put_replaces_or_creates_and_keeps_what_svix_does_not_know() {
    let w = World::new().await;
    let body = json!({"name": "A", "uid": "a", "retention": {"payloadDays": 3}, "retrySchedule": ["1s", 5]});
    let app = w.post("/app", body).await.is(201);
    assert_eq!((&app["retention"], &app["retrySchedule"]), (&json!({"payloadDays": 3}), &json!(["1s", "5s"])));
    let app = w.put("/app/a", json!({"name": "A2", "throttleRate": 7})).await.is(200);
    assert_eq!((&app["name"], &app["uid"], &app["throttleRate"]), (&json!("A2"), &Value::Null, &json!(7)));
    assert_eq!(app["retention"], json!({"payloadDays": 3}));
    let id = app["id"].as_str().unwrap();
    let app = w.put(&format!("/app/{id}"), json!({"name": "A2", "retention": null})).await.is(200);
    assert_eq!(app["retention"], Value::Null);
    // The name in the path is not taken over.
    let new = w.put("/app/unknown", json!({"name": "N"})).await.is(201);
    assert_eq!(new["uid"], Value::Null);
    w.get("/app/unknown").await.fails(404);
}

#[tokio::test]
async fn patch_changes_what_is_there_and_null_empties_what_may_be_empty() {
    let w = World::new().await;
    w.post("/app", json!({"name": "A", "uid": "a", "throttleRate": 1, "metadata": {"k": "v"}})).await.is(201);
    let app = w.patch("/app/a", json!({"name": "B"})).await.is(200);
    assert_eq!((&app["name"], &app["uid"], &app["throttleRate"]), (&json!("B"), &json!("a"), &json!(1)));
    let app = w.patch("/app/a", json!({"throttleRate": null, "metadata": null})).await.is(200);
    assert_eq!((&app["throttleRate"], &app["metadata"]), (&Value::Null, &json!({})));
    assert_eq!(w.patch("/app/a", json!({"name": null})).await.invalid().0, "body/name");
    w.patch("/app/unknown", json!({})).await.fails(404);
    let app = w.patch("/app/a", json!({"uid": null})).await.is(200);
    assert!(app.get("uid").is_none());
    w.get("/app/a").await.fails(404);
}

#[tokio::test]
async fn broken_rules_are_named() {
    let w = World::new().await;
    let cases = [
        (json!({}), "body//", "value_error.jsondecode"),
        (json!({"name": ""}), "body/name", "value_error"),
        (json!({"name": "x", "uid": "app_1"}), "body/uid/__all__", "value_error"),
        (json!({"name": "x", "uid": "a b"}), "body/uid/__all__", "value_error"),
        (json!({"name": "x", "throttleRate": 0}), "body/throttle_rate", "value_error"),
        (json!({"name": "x", "throttleRate": "1"}), "body/throttleRate", "value_error.jsondecode"),
        (json!({"name": "x", "metadata": {"k": 1}}), "body/metadata/k", "value_error.jsondecode"),
        (json!({"name": "x", "metadata": {"k": "v".repeat(4096)}}), "body/metadata/__all__", "value_error"),
        (json!({"name": "x", "retention": {"payloadDays": 91}}), "body/retention/payloadDays", "value_error"),
    ];
    for (body, loc, kind) in cases {
        let (l, _, k) = w.post("/app", body.clone()).await.invalid();
        assert_eq!((l.as_str(), k.as_str()), (loc, kind), "{body}");
    }
    let all = w.post("/app", json!({"name": "", "throttleRate": 0})).await.is(422);
    assert_eq!(all["detail"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn lists_are_paged_both_ways() {
    let w = World::new().await;
    for n in 0..5 {
        w.app(&format!("a{n}")).await;
    }
    let first = w.get("/app?limit=2").await.is(200);
    assert_eq!((column(&first, "uid"), &first["done"]), (vec!["a0".to_owned(), "a1".to_owned()], &json!(false)));
    let next = first["iterator"].as_str().unwrap();
    assert!(next.starts_with("app_") && first["prevIterator"].as_str().unwrap().starts_with("-app_"));
    let second = w.get(&format!("/app?limit=2&iterator={next}")).await.is(200);
    assert_eq!(column(&second, "uid"), ["a2", "a3"]);
    let third = w.get(&format!("/app?limit=2&iterator={}", second["iterator"].as_str().unwrap())).await.is(200);
    assert_eq!((column(&third, "uid"), &third["done"]), (vec!["a4".to_owned()], &json!(true)));
    let back = w.get(&format!("/app?limit=2&iterator={}", third["prevIterator"].as_str().unwrap())).await.is(200);
    assert_eq!((column(&back, "uid"), &back["done"]), (vec!["a2".to_owned(), "a3".to_owned()], &json!(false)));
    let newest = w.get("/app?limit=1&order=descending").await.is(200);
    assert_eq!(column(&newest, "uid"), ["a4"]);
    let none = w.get("/app?limit=0").await.is(200);
    assert_eq!((&none["data"], &none["iterator"]), (&json!([]), &Value::Null));
    assert!(none.get("prevIterator").is_none());
    assert_eq!(w.get("/app?limit=251").await.invalid().0, "query/limit/limit");
    for bad in ["limit=x", "limit=-1", "order=up"] {
        assert_eq!(w.get(&format!("/app?{bad}")).await.fails(400), "generic_error", "{bad}");
    }
    assert_eq!(w.get("/app?iterator=ep_x").await.invalid().0, "query/iterator/__all__");
}

#[tokio::test]
async fn organizations_do_not_see_each_other() {
    let w = World::new().await;
    w.app("a").await;
    let other = w.service.tokens().for_organization(&"org_other".parse().unwrap(), w.now());
    w.call_as(&other, http::Method::GET, "/app/a", &[], "").await.fails(404);
    let list = w.call_as(&other, http::Method::GET, "/app", &[], "").await.is(200);
    assert_eq!(list, json!({"data": [], "iterator": null, "done": true}));
}

#[tokio::test]
async fn organization_settings_read_back() {
    let w = World::new().await;
    let empty = json!({"retention": null, "retrySchedule": null});
    assert_eq!(w.get("/organization/settings/").await.is(200), empty);
    let body = json!({"retention": {"payloadDays": 5, "attemptDays": 30}, "retrySchedule": ["1m"]});
    assert_eq!(w.put("/organization/settings/", body.clone()).await.is(200), body);
    assert_eq!(w.get("/organization/settings").await.is(200), body);
    let bad = json!({"retention": {"payloadDays": 0}});
    assert_eq!(w.put("/organization/settings", bad).await.invalid().0, "body/retention/payloadDays");
}
