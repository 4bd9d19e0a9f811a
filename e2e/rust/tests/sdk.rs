//! The official Svix SDK for Rust, unmodified, against Schoolbell: every operation it has for the open-source paths.

use js_option::JsOption;
use schoolbell_e2e::{Hook, Received, Receiver, Server, eventually, new_organization};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use svix::{Webhook, api::*, error::Error, models::*};

/// A server, a receiver and one endpoint on it.
struct Scene {
    server: Server,
    receiver: Receiver,
    svix: Svix,
    app: String,
    hook: Hook,
    endpoint: String,
}

fn client(server: &Server, token: String) -> Svix {
    Svix::new(token, Some(SvixOptions { server_url: Some(server.url.clone()), ..SvixOptions::default() }))
}

async fn scene() -> Scene {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let svix = client(&server, server.token(&new_organization()).await);
    let app = svix.application().create(ApplicationIn::new("Physics 101".into()), None).await.unwrap().id;
    let hook = receiver.hook();
    let endpoint = svix.endpoint().create(app.clone(), EndpointIn::new(hook.url.clone()), None).await.unwrap().id;
    Scene { server, receiver, svix, app, hook, endpoint }
}

fn lesson(number: u32) -> MessageIn {
    MessageIn::new("lesson.started".into(), json!({ "number": number }))
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// Both libraries take the delivery, and neither takes another body.
fn verify(secret: &str, request: &Received) {
    let other = [&request.body[..], b" "].concat();
    let svix = Webhook::new(secret).unwrap();
    svix.verify(&request.body, &request.headers).unwrap();
    assert!(svix.verify(&other, &request.headers).is_err());
    let standard = standardwebhooks::Webhook::new(secret).unwrap();
    standard.verify(&request.body, &request.headers).unwrap();
    assert!(standard.verify(&other, &request.headers).is_err());
}

fn status_and_code<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result.unwrap_err() {
        Error::Http(e) => (e.status.as_u16(), e.payload.expect("the ordinary error shape").code),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_life_of_an_application() {
    let s = scene().await;
    let given = ApplicationIn {
        uid: Some("room-1".into()),
        metadata: Some(map(&[("grade", "7")])),
        ..ApplicationIn::new("one".into())
    };
    let made = s.svix.application().create(given, None).await.unwrap();
    assert_eq!(s.svix.application().get("room-1".into()).await.unwrap(), made);
    let same = ApplicationIn { uid: Some("room-1".into()), ..ApplicationIn::new("other".into()) };
    assert_eq!(s.svix.application().get_or_create(same.clone(), None).await.unwrap(), made);
    let replaced = s.svix.application().upsert("room-1".into(), same).await.unwrap();
    assert_eq!((replaced.id, replaced.name.as_str(), replaced.metadata.len()), (made.id.clone(), "other", 0));
    let patch = ApplicationPatch { throttle_rate: JsOption::Some(7), uid: JsOption::Null, ..ApplicationPatch::new() };
    let patched = s.svix.application().patch(made.id.clone(), patch).await.unwrap();
    assert_eq!((patched.throttle_rate, patched.uid), (Some(7), None));
    let options = ApplicationListOptions { limit: Some(10), order: Some(Ordering::Descending), ..Default::default() };
    let listed = s.svix.application().list(Some(options)).await.unwrap();
    assert_eq!(listed.data.iter().map(|a| &a.id).collect::<Vec<_>>(), [&made.id, &s.app]);
    s.svix.application().delete(made.id.clone()).await.unwrap();
    assert_eq!(status_and_code(s.svix.application().get(made.id).await), (404, "not_found".into()));
}

#[tokio::test]
async fn the_life_of_an_event_type() {
    let s = scene().await;
    let name = || "lesson.started".to_owned();
    let schemas = json!({ "1": { "type": "object", "examples": [{ "lesson": "intro" }] } });
    let given = EventTypeIn { schemas: Some(schemas.clone()), ..EventTypeIn::new(name(), "It began.".into()) };
    s.svix.event_type().create(given, None).await.unwrap();
    let replaced = s.svix.event_type().upsert(name(), EventTypeUpsertIn::new("new".into())).await.unwrap();
    assert_eq!((replaced.description.as_str(), replaced.schemas), ("new", None));
    let patch = EventTypePatch { schemas: JsOption::Some(schemas.clone()), ..EventTypePatch::new() };
    s.svix.event_type().patch(name(), patch).await.unwrap();
    assert_eq!(s.svix.event_type().get(name()).await.unwrap().schemas, Some(schemas));
    s.svix.event_type().delete(name(), None).await.unwrap();
    assert!(s.svix.event_type().list(None).await.unwrap().data.is_empty());
    let all = EventTypeListOptions { include_archived: Some(true), with_content: Some(true), ..Default::default() };
    assert_eq!(s.svix.event_type().list(Some(all)).await.unwrap().data[0].archived, Some(true));
    s.svix.event_type().delete(name(), Some(EventTypeDeleteOptions { expunge: Some(true) })).await.unwrap();
    assert_eq!(status_and_code(s.svix.event_type().get(name()).await).0, 404);
}

#[tokio::test]
async fn the_life_of_an_endpoint() {
    let s = scene().await;
    s.svix.event_type().create(EventTypeIn::new("lesson.started".into(), String::new()), None).await.unwrap();
    let given = EndpointIn {
        uid: Some("journal".into()),
        event_types: Some(set(&["lesson.started"])),
        channels: Some(set(&["room-1"])),
        metadata: Some(map(&[("a", "b")])),
        ..EndpointIn::new(s.hook.url.clone())
    };
    let made = s.svix.endpoint().create(s.app.clone(), given, None).await.unwrap();
    assert_eq!(s.svix.endpoint().get(s.app.clone(), "journal".into()).await.unwrap(), made);
    let replaced = s
        .svix
        .endpoint()
        .upsert(s.app.clone(), "journal".into(), EndpointUpsertIn::new(s.hook.url.clone()))
        .await
        .unwrap();
    assert_eq!((replaced.id, replaced.event_types, replaced.uid), (made.id.clone(), None, None));
    let patch = EndpointPatch { disabled: Some(true), channels: JsOption::Some(set(&["two"])), ..EndpointPatch::new() };
    let patched = s.svix.endpoint().patch(s.app.clone(), made.id.clone(), patch).await.unwrap();
    assert_eq!(
        (patched.disabled, patched.channels.map(|c| c.into_iter().collect())),
        (Some(true), Some(set(&["two"])))
    );
    let options = EndpointListOptions { order: Some(Ordering::Ascending), ..Default::default() };
    let listed = s.svix.endpoint().list(s.app.clone(), Some(options)).await.unwrap();
    assert_eq!(listed.data.iter().map(|e| &e.id).collect::<Vec<_>>(), [&s.endpoint, &made.id]);
    s.svix.endpoint().delete(s.app.clone(), made.id).await.unwrap();
    assert_eq!(s.svix.endpoint().list(s.app.clone(), None).await.unwrap().data.len(), 1);
}

#[tokio::test]
async fn headers_and_secrets_of_an_endpoint() {
    let s = scene().await;
    let endpoints = s.svix.endpoint();
    let (app, endpoint) = (|| s.app.clone(), || s.endpoint.clone());
    let headers = EndpointHeadersIn::new(map(&[("X-Room", "12"), ("Authorization", "Bearer x")]));
    endpoints.set_headers(app(), endpoint(), headers).await.unwrap();
    let more = EndpointHeadersPatchIn::new(map(&[("X-Floor", "2")]));
    endpoints.patch_headers(app(), endpoint(), more).await.unwrap();
    let shown = endpoints.get_headers(app(), endpoint()).await.unwrap();
    assert_eq!(shown.headers, map(&[("X-Floor", "2"), ("X-Room", "12")]));
    assert_eq!(shown.sensitive.len(), 1);

    let old = endpoints.get_secret(app(), endpoint()).await.unwrap().key;
    let new = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY";
    let rotate = EndpointSecretRotateIn { key: Some(new.into()), ..EndpointSecretRotateIn::new() };
    assert_eq!(endpoints.rotate_secret(app(), endpoint(), rotate, None).await.unwrap().key, new);
    assert_eq!(endpoints.get_secret(app(), endpoint()).await.unwrap().key, new);

    s.svix.message().create(app(), lesson(1), None).await.unwrap();
    let request = s.hook.wait(1).await.remove(0);
    assert_eq!(
        (&request.headers["x-room"], &request.headers["authorization"]),
        (&"12".parse().unwrap(), &"Bearer x".parse().unwrap())
    );
    verify(new, &request);
    verify(&old, &request);
}

#[tokio::test]
async fn a_message_is_delivered_and_every_view_shows_it() {
    let s = scene().await;
    let (app, endpoint) = (|| s.app.clone(), || s.endpoint.clone());
    let given = MessageIn { event_id: Some("lesson-1".into()), channels: Some(set(&["room-1"])), ..lesson(1) };
    let options = MessageCreateOptions { with_content: Some(true), ..Default::default() };
    let sent = s.svix.message().create(app(), given, Some(options)).await.unwrap();
    assert_eq!(sent.payload, json!({ "number": 1 }));
    let request = s.hook.wait(1).await.remove(0);
    assert_eq!(request.id(), sent.id);
    verify(&s.svix.endpoint().get_secret(app(), endpoint()).await.unwrap().key, &request);

    let with_content = MessageGetOptions { with_content: Some(true) };
    assert_eq!(s.svix.message().get(app(), "lesson-1".into(), Some(with_content)).await.unwrap().payload, sent.payload);
    let filter = MessageListOptions {
        event_types: Some(set(&["lesson.started", "x"])),
        channel: Some("room-1".into()),
        before: Some(chrono::Utc::now() + chrono::TimeDelta::minutes(1)),
        ..Default::default()
    };
    assert_eq!(s.svix.message().list(app(), Some(filter)).await.unwrap().data[0].id, sent.id);

    let attempts = s.svix.message_attempt();
    let attempt = eventually(|| async {
        attempts.list_by_msg(app(), sent.id.clone(), None).await.unwrap().data.into_iter().next()
    })
    .await;
    assert_eq!(
        (attempt.status, attempt.response_status_code, &attempt.endpoint_id),
        (MessageStatus::Success, 200, &s.endpoint)
    );
    assert_eq!(attempts.get(app(), sent.id.clone(), attempt.id.clone(), None).await.unwrap().id, attempt.id);
    let filter = MessageAttemptListByEndpointOptions {
        status: Some(MessageStatus::Success),
        status_code_class: Some(StatusCodeClass::Code2xx),
        after: Some(chrono::Utc::now() - chrono::TimeDelta::minutes(1)),
        ..Default::default()
    };
    assert_eq!(attempts.list_by_endpoint(app(), endpoint(), Some(filter)).await.unwrap().data[0].id, attempt.id);
    let messages = attempts.list_attempted_messages(app(), endpoint(), None).await.unwrap().data;
    assert_eq!(
        (&messages[0].id, messages[0].status, messages[0].next_attempt),
        (&sent.id, MessageStatus::Success, None)
    );
    let destinations = attempts.list_attempted_destinations(app(), sent.id.clone(), None).await.unwrap().data;
    assert_eq!((&destinations[0].id, destinations[0].status), (&s.endpoint, MessageStatus::Success));
    let stats = s.svix.endpoint().get_stats(app(), endpoint(), None).await.unwrap();
    assert_eq!((stats.success, stats.fail, stats.pending, stats.sending, stats.canceled), (1, 0, 0, 0, 0));
}

#[tokio::test]
async fn resend_and_expunge() {
    let s = scene().await;
    let app = || s.app.clone();
    let sent = s.svix.message().create(app(), lesson(1), None).await.unwrap().id;
    s.hook.wait(1).await;
    let attempts = s.svix.message_attempt();
    attempts.resend(app(), sent.clone(), s.endpoint.clone(), None).await.unwrap();
    let requests = s.hook.wait(2).await;
    assert_eq!((requests[0].id(), &requests[0].body), (requests[1].id(), &requests[1].body));
    let attempt = eventually(|| async {
        let data = attempts.list_by_msg(app(), sent.clone(), None).await.unwrap().data;
        (data.len() == 2).then(|| data[0].clone())
    })
    .await;
    assert_eq!(attempt.trigger_type, MessageAttemptTriggerType::Manual);
    attempts.expunge_content(app(), sent.clone(), attempt.id).await.unwrap();
    let shown = MessageAttemptListByMsgOptions { with_content: Some(true), ..Default::default() };
    assert_eq!(attempts.list_by_msg(app(), sent.clone(), Some(shown)).await.unwrap().data[0].response, "EXPUNGED");
    s.svix.message().expunge_content(app(), sent.clone()).await.unwrap();
    let refused = attempts.resend(app(), sent, s.endpoint.clone(), None).await;
    assert_eq!(status_and_code(refused), (400, "missing_payload".into()));
}

#[tokio::test]
async fn recover_sends_what_failed_and_its_task_ends() {
    let s = scene().await;
    s.hook.respond(500);
    let mut sent = BTreeSet::new();
    let mut since = None;
    for n in 0..3 {
        let message = s.svix.message().create(s.app.clone(), lesson(n), None).await.unwrap();
        since.get_or_insert(message.timestamp - chrono::TimeDelta::seconds(1));
        sent.insert(message.id);
    }
    eventually(|| async {
        let stats = s.svix.endpoint().get_stats(s.app.clone(), s.endpoint.clone(), None).await.unwrap();
        (stats.fail == 9).then_some(())
    })
    .await;
    let failed = s.hook.received().len();
    s.hook.respond(200);
    let task = s
        .svix
        .endpoint()
        .recover(s.app.clone(), s.endpoint.clone(), RecoverIn::new(since.unwrap()), None)
        .await
        .unwrap();
    assert_eq!(task.task, BackgroundTaskType::EndpointRecover);
    let again = s.hook.wait(failed + 3).await.split_off(failed);
    assert_eq!(again.iter().map(|r| r.id().to_owned()).collect::<BTreeSet<_>>(), sent);
    eventually(|| async {
        let now = s.svix.background_task().get(task.id.clone()).await.unwrap();
        (now.status == BackgroundTaskStatus::Finished).then_some(())
    })
    .await;
    assert!(s.svix.background_task().list(None).await.unwrap().data.iter().any(|t| t.id == task.id));
}

#[tokio::test]
async fn an_example_of_an_event_type() {
    let s = scene().await;
    let schemas = json!({ "1": { "type": "object", "examples": [{ "grade": 1 }] } });
    let given = EventTypeIn { schemas: Some(schemas), ..EventTypeIn::new("lesson.ended".into(), String::new()) };
    s.svix.event_type().create(given, None).await.unwrap();
    let example = EventExampleIn::new("lesson.ended".into());
    let sent = s.svix.endpoint().send_example(s.app.clone(), s.endpoint.clone(), example, None).await.unwrap();
    let request = s.hook.wait(1).await.remove(0);
    assert_eq!((request.id(), &request.body[..]), (sent.id.as_str(), &br#"{"grade":1}"#[..]));
}

#[tokio::test]
async fn portal_access_logout_and_health() {
    let s = scene().await;
    let access =
        s.svix.authentication().app_portal_access(s.app.clone(), AppPortalAccessIn::new(), None).await.unwrap();
    let own = client(&s.server, access.token);
    assert_eq!(own.application().get(s.app.clone()).await.unwrap().id, s.app);
    assert_eq!(status_and_code(own.application().list(None).await).0, 403);
    own.authentication().logout(None).await.unwrap();
    s.svix.health().get().await.unwrap();
}

#[tokio::test]
async fn errors_arrive_as_the_sdks_errors() {
    let s = scene().await;
    let invalid = s.svix.message().create(s.app.clone(), MessageIn::new("not allowed!".into(), json!({})), None).await;
    match invalid.unwrap_err() {
        Error::Validation(e) => assert_eq!(e.payload.unwrap().detail[0].loc[0], "body"),
        other => panic!("{other}"),
    }
    let taken = || ApplicationIn { uid: Some("taken".into()), ..ApplicationIn::new("x".into()) };
    s.svix.application().create(taken(), None).await.unwrap();
    assert_eq!(status_and_code(s.svix.application().create(taken(), None).await), (409, "conflict".into()));
    let stranger = client(&s.server, "wrong".into());
    assert_eq!(status_and_code(stranger.application().list(None).await), (401, "authentication_failed".into()));
}

#[tokio::test]
async fn many_at_once_over_several_endpoints() {
    let s = scene().await;
    let second = s.receiver.hook();
    s.svix.endpoint().create(s.app.clone(), EndpointIn::new(second.url.clone()), None).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (svix, app) = (s.svix.clone(), s.app.clone());
            tokio::spawn(async move { svix.message().create(app, lesson(n), None).await.unwrap().id })
        })
        .collect();
    let mut sent = BTreeSet::new();
    for task in tasks {
        sent.insert(task.await.unwrap());
    }
    for hook in [&s.hook, &second] {
        let ids: BTreeSet<_> = hook.wait(50).await.iter().map(|r| r.id().to_owned()).collect();
        assert_eq!(ids, sent);
    }
}
