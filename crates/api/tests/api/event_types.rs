use crate::world::{World, column};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn event_types_are_created_archived_brought_back_and_removed() {
    let w = World::new().await;
    let body = json!({"name": "track.started", "description": "d", "schemas": {"1": {"type": "object"}}});
    let created = w.post("/event-type", body.clone()).await.is(201);
    let now = w.now().to_string();
    assert_eq!(
        created,
        json!({"name": "track.started", "description": "d", "archived": false, "deprecated": false,
            "schemas": {"1": {"type": "object"}}, "createdAt": now, "updatedAt": now, "featureFlag": null})
    );
    assert_eq!(w.post("/event-type", body.clone()).await.fails(409), "event_type_exists");
    w.delete("/event-type/track.started").await.is(204);
    assert_eq!(w.get("/event-type/track.started").await.is(200)["archived"], true);
    assert_eq!(column(&w.get("/event-type").await.is(200), "name"), [] as [&str; 0]);
    assert_eq!(column(&w.get("/event-type?include_archived=true").await.is(200), "name"), ["track.started"]);
    w.post("/event-type", body).await.is(201);
    w.delete("/event-type/track.started?expunge=true").await.is(204);
    w.get("/event-type/track.started").await.fails(404);
    w.delete("/event-type/track.started").await.fails(404);
}

#[tokio::test]
async fn put_creates_or_replaces_and_patch_changes() {
    let w = World::new().await;
    w.put("/event-type/a", json!({"description": "d", "featureFlag": "beta", "groupName": "g"})).await.is(201);
    let t = w.put("/event-type/a", json!({"description": "e"})).await.is(200);
    assert_eq!((&t["description"], &t["featureFlag"], &t["groupName"]), (&json!("e"), &Value::Null, &json!("g")));
    let t = w.patch("/event-type/a", json!({"deprecated": true, "schemas": {"1": {}}})).await.is(200);
    assert_eq!((&t["deprecated"], &t["description"]), (&json!(true), &json!("e")));
    assert_eq!(w.patch("/event-type/a", json!({"schemas": null})).await.is(200)["schemas"], Value::Null);
    assert_eq!(w.patch("/event-type/a", json!({"description": null})).await.invalid().0, "body/description");
    w.patch("/event-type/unknown", json!({})).await.fails(404);
    assert_eq!(w.post("/event-type", json!({"name": "a b", "description": ""})).await.invalid().0, "body/name/__all__");
    let (loc, msg, _) =
        w.put("/event-type/a", json!({"description": "", "schemas": {"1": {"type": 3}}})).await.invalid();
    assert_eq!(loc, "body/schemas");
    assert!(msg.contains("version \"1\""), "{msg}");
}

#[tokio::test]
async fn lists_are_sorted_by_name_and_leave_schemas_out_unless_asked() {
    let w = World::new().await;
    for name in ["b", "c", "a"] {
        w.post("/event-type", json!({"name": name, "description": "", "schemas": {"1": {}}})).await.is(201);
    }
    let page = w.get("/event-type?limit=2&order=descending").await.is(200);
    assert_eq!(column(&page, "name"), ["a", "b"]);
    assert_eq!((&page["iterator"], &page["prevIterator"]), (&json!("b"), &json!("-a")));
    assert_eq!(page["data"][0]["schemas"], Value::Null);
    let page = w.get("/event-type?limit=2&iterator=b&with_content=true").await.is(200);
    assert_eq!((column(&page, "name"), &page["done"]), (vec!["c".to_owned()], &json!(true)));
    assert_eq!(page["data"][0]["schemas"], json!({"1": {}}));
    assert_eq!(column(&w.get("/event-type?iterator=-c&limit=1").await.is(200), "name"), ["b"]);
}

#[tokio::test]
async fn an_application_sees_only_the_types_of_its_flags() {
    let w = World::new().await;
    w.app("a").await;
    w.put("/event-type/plain", json!({"description": ""})).await.is(201);
    w.put("/event-type/beta.one", json!({"description": "", "featureFlag": "beta"})).await.is(201);
    w.put("/event-type/gamma.one", json!({"description": "", "featureFlag": "gamma"})).await.is(201);
    let access = w.post("/auth/app-portal-access/a", json!({"featureFlags": ["beta"]})).await.is(200);
    let token = access["token"].as_str().unwrap();
    let list = w.call_as(token, Method::GET, "/event-type", &[], "").await.is(200);
    assert_eq!(column(&list, "name"), ["beta.one", "plain"]);
    w.call_as(token, Method::GET, "/event-type/beta.one", &[], "").await.is(200);
    w.call_as(token, Method::GET, "/event-type/gamma.one", &[], "").await.fails(404);
    w.call_as(token, Method::DELETE, "/event-type/plain", &[], "").await.fails(403);
}
