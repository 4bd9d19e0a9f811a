//! Applications, endpoints, event types.

use super::{
    Fixture,
    world::{World, all, event_type, only, org, uid},
};
use crate::{Branding, Directory, EventTypeFilter, OrganizationOptions, StoreError};
use domain::{
    BodySecret, BodySigning, Channel, Cursor, DeactivateAfter, DisabledBecause, Encoding, EndpointDefaults,
    EndpointOptions, EventType, EventTypeName, Format, Header, IdOrUid, Ksuid, Order, PageQuery, Retention, Secret,
    Secrets, StudentDataConfirmation, Timestamp,
    application::ApplicationOptions,
    lti::{ContextType, SharedSecret, Subscription, SubscriptionId, ToolGuid},
    queue::{QueueKey, Transport},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

fn whole<C>() -> PageQuery<C> {
    PageQuery { limit: 1000, cursor: None, order: Order::Ascending }
}

fn new_event_type(name: &str, at: Timestamp) -> EventType {
    EventType {
        name: event_type(name),
        description: "Somebody started.".into(),
        archived: false,
        deprecated: false,
        schemas: serde_json::from_str(r#"{"1": {"type": "object", "examples": [{"track": 7}]}}"#).unwrap(),
        feature_flag: None,
        group_name: Some("tracks".into()),
        created_at: at,
        updated_at: at,
    }
}

pub async fn an_application_reads_back_as_it_was_stored(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let mut new = w.new_application("a");
    new.uid = Some(uid("room-7"));
    new.throttle_rate = Some(65_535);
    new.metadata = [("läng".into(), "de \"x\"".into())].into();
    new.options = ApplicationOptions {
        platform: Some("instruqt".into()),
        retry_schedule: Some("1ms,2h".parse().unwrap()),
        endpoint_defaults: Some(EndpointDefaults {
            options: EndpointOptions { format: Format::Thin, concurrency: Some(3), ..EndpointOptions::default() },
            body_secret: true,
        }),
        retention: Retention { payload_days: Some(3), attempt_days: None },
        public_catalogue: true,
    };
    let stored = w.store.create_application(new.clone()).await.unwrap();
    new.key = stored.key;
    assert_eq!(stored, new);
    for which in [IdOrUid::Id(stored.id), IdOrUid::Uid("room-7".into())] {
        assert_eq!(w.store.application(&org("a"), &which).await.unwrap().as_ref(), Some(&new));
    }
    assert_eq!(w.store.application_by_key(stored.key).await.unwrap(), Some(new));
}

pub async fn an_application_is_found_in_its_own_organization_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let mut new = w.new_application("a");
    new.uid = Some(uid("room"));
    let app = w.store.create_application(new).await.unwrap();
    for which in [IdOrUid::Id(app.id), IdOrUid::Uid("room".into())] {
        assert!(w.store.application(&org("b"), &which).await.unwrap().is_none());
    }
    assert!(only(w.store.applications(&org("b"), whole()).await.unwrap()).is_empty());
    let mut same_uid = w.new_application("b");
    same_uid.uid = Some(uid("room"));
    w.store.create_application(same_uid).await.unwrap();
}

pub async fn a_uid_belongs_to_one_object_of_its_scope(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let mut first = w.new_application("a");
    first.uid = Some(uid("room"));
    let first = w.store.create_application(first).await.unwrap();
    let mut second = w.new_application("a");
    second.uid = Some(uid("room"));
    assert!(matches!(w.store.create_application(second.clone()).await, Err(StoreError::UidTaken)));
    second.uid = None;
    let mut second = w.store.create_application(second).await.unwrap();
    second.uid = Some(uid("room"));
    assert!(matches!(w.store.save_application(second.clone()).await, Err(StoreError::UidTaken)));

    let mut endpoint = w.new_endpoint(first.key);
    endpoint.uid = Some(uid("hook"));
    w.store.create_endpoint(endpoint).await.unwrap();
    let mut again = w.new_endpoint(first.key);
    again.uid = Some(uid("hook"));
    assert!(matches!(w.store.create_endpoint(again).await, Err(StoreError::UidTaken)));
    let mut elsewhere = w.new_endpoint(second.key);
    elsewhere.uid = Some(uid("hook"));
    w.store.create_endpoint(elsewhere).await.unwrap();
    let mut other = w.endpoint(first.key).await;
    other.uid = Some(uid("hook"));
    assert!(matches!(w.store.save_endpoint(other).await, Err(StoreError::UidTaken)));
}

pub async fn a_uid_is_free_again_after_its_owner_is_deleted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    for _ in 0..3 {
        let mut app = w.new_application("a");
        app.uid = Some(uid("room"));
        let app = w.store.create_application(app).await.unwrap();
        for _ in 0..3 {
            let mut endpoint = w.new_endpoint(app.key);
            endpoint.uid = Some(uid("hook"));
            let endpoint = w.store.create_endpoint(endpoint).await.unwrap();
            let which = IdOrUid::Uid("hook".into());
            assert_eq!(w.store.endpoint(app.key, &which).await.unwrap().unwrap().id, endpoint.id);
            w.store.delete_endpoint(app.key, endpoint.key, w.now).await.unwrap();
            assert!(w.store.endpoint(app.key, &which).await.unwrap().is_none());
        }
        w.store.delete_application(app.key, w.now).await.unwrap();
        assert!(w.store.application(&org("a"), &IdOrUid::Uid("room".into())).await.unwrap().is_none());
    }
}

pub async fn a_change_must_have_seen_the_current_revision(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (key, endpoint) = w.lane().await;
    let mut app = w.store.application_by_key(key).await.unwrap().unwrap();
    app.name = "Room 8".into();
    let saved = w.store.save_application(app.clone()).await.unwrap();
    assert_eq!((saved.revision, saved.name.as_str()), (1, "Room 8"));
    assert_eq!(w.store.application_by_key(key).await.unwrap(), Some(saved.clone()));
    assert!(matches!(w.store.save_application(app).await, Err(StoreError::Changed)));
    assert_eq!(w.store.save_application(saved).await.unwrap().revision, 2);

    let saved = w.store.save_endpoint(endpoint.clone()).await.unwrap();
    assert_eq!(saved.revision, 1);
    assert!(matches!(w.store.save_endpoint(endpoint).await, Err(StoreError::Changed)));
    assert_eq!(w.store.save_endpoint(saved).await.unwrap().revision, 2);
}

pub async fn what_is_deleted_is_neither_found_nor_changed(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (key, kept) = w.lane().await;
    let endpoint = w.endpoint(key).await;
    w.store.delete_endpoint(key, endpoint.key, w.now).await.unwrap();
    assert!(matches!(w.store.delete_endpoint(key, endpoint.key, w.now).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.save_endpoint(endpoint.clone()).await, Err(StoreError::NotFound)));
    assert!(w.store.endpoint(key, &IdOrUid::Id(endpoint.id)).await.unwrap().is_none());
    assert_eq!(w.store.endpoints_of(key).await.unwrap(), vec![kept.clone()]);
    assert_eq!(only(w.store.endpoints(key, whole()).await.unwrap()), vec![kept]);

    let app = w.store.application_by_key(key).await.unwrap().unwrap();
    w.store.delete_application(key, w.now).await.unwrap();
    assert!(matches!(w.store.delete_application(key, w.now).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.save_application(app.clone()).await, Err(StoreError::NotFound)));
    assert!(w.store.application_by_key(key).await.unwrap().is_none());
    assert!(w.store.application(&org("a"), &IdOrUid::Id(app.id)).await.unwrap().is_none());
    assert!(only(w.store.applications(&org("a"), whole()).await.unwrap()).is_empty());
}

pub async fn nothing_below_a_deleted_application_is_found(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut endpoint = w.new_endpoint(app);
    endpoint.uid = Some(uid("hook"));
    let endpoint = w.store.create_endpoint(endpoint).await.unwrap();
    w.store.delete_application(app, w.now).await.unwrap();
    for which in [IdOrUid::Id(endpoint.id), IdOrUid::Uid("hook".into())] {
        assert!(w.store.endpoint(app, &which).await.unwrap().is_none());
    }
    assert!(w.store.endpoints_of(app).await.unwrap().is_empty());
    assert!(only(w.store.endpoints(app, whole()).await.unwrap()).is_empty());
    assert!(matches!(w.store.save_endpoint(endpoint.clone()).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.delete_endpoint(app, endpoint.key, w.now).await, Err(StoreError::NotFound)));
    let new = w.new_endpoint(app);
    assert!(matches!(w.store.create_endpoint(new).await, Err(StoreError::NotFound)));
}

pub async fn an_endpoint_reads_back_as_it_was_stored(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let plain = w.endpoint(app).await;
    assert_eq!(w.store.endpoint(app, &IdOrUid::Id(plain.id)).await.unwrap(), Some(plain));

    let mut full = w.new_endpoint(app);
    full.uid = Some(uid("hook"));
    full.url = "https://user:p%40ss@hooks.example.edu:8443/in?a=b@c#d@e".into();
    full.description = "für alle".into();
    full.disabled = Some(DisabledBecause::Gone);
    full.event_types = Some([event_type("a.b"), event_type("c")].into());
    full.channels = Some([Channel::new("course:45").unwrap()].into());
    full.throttle_rate = Some(1);
    full.version = 9;
    full.metadata = [("k".into(), "v".into())].into();
    let header = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
    full.headers = vec![header("X-B", "2"), header("Authorization", "Bearer x"), header("x-a", "")];
    full.secrets = Secrets {
        current: Secret::Ed25519([3; 64]),
        retired: vec![
            (Secret::Hmac(vec![1; 75]), w.now),
            (Secret::Ed25519([4; 64]), w.now.plus(Duration::from_micros(1))),
        ],
        body: Some(BodySecret::new("5c0f8e1a-7d0b-4b7e-9a55-0e6d1f3b2a90".into())),
        queue: Some(QueueKey { id: "AKIA0000".into(), secret: SharedSecret::new("hidden".into()) }),
    };
    full.options = EndpointOptions {
        retry_schedule: Some("".parse().unwrap()),
        final_statuses: [404, 422].into(),
        concurrency: Some(3),
        ordered: true,
        format: Format::Replit,
        encoding: Encoding::Form,
        filter: Some(".n > 1".into()),
        transform: Some("{n}".into()),
        unsigned: true,
        https_only: true,
        only_selected: true,
        transport: Transport::Sqs,
        queue_region: Some("eu-west-1".into()),
        subscription: Some(Subscription {
            id: SubscriptionId::random([1; 16]),
            tool: ToolGuid::random([2; 16]),
            context_type: ContextType::Course,
            context_id: "21070000000000565".into(),
            system_event_types: Some(["submission_created".to_owned()].into()),
            user_event_types: None,
            integration: Some(ToolGuid::random([2; 16])),
            automatic: true,
        }),
        subscription_id: Some(uid("71d6dfba-0547-477d-b41d-db8cb528c6d1")),
        body_signing: Some(BodySigning::Jwt),
        deactivate_after: Some(DeactivateAfter { timeouts: 1, errors: u32::MAX }),
        student_data: Some(StudentDataConfirmation {
            by: "Ada Example".into(),
            at: Timestamp::from_micros(1_234_567),
            recipient: "example.com".into(),
            outdated: true,
        }),
        confined: true,
    };
    full.failing_since = Some(w.now);
    let stored = w.store.create_endpoint(full.clone()).await.unwrap();
    full.key = stored.key;
    assert_eq!(stored, full);
    for which in [IdOrUid::Id(full.id), IdOrUid::Uid("hook".into())] {
        assert_eq!(w.store.endpoint(app, &which).await.unwrap().as_ref(), Some(&full));
    }
    assert_eq!(w.store.endpoints_of(app).await.unwrap().last(), Some(&full));
}

pub async fn saving_an_endpoint_replaces_all_that_can_change(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, mut changed) = w.lane().await;
    changed.uid = Some(uid("new"));
    changed.url = "http://:x@10.0.0.1/".into();
    changed.description = "d".into();
    changed.disabled = Some(DisabledBecause::Failing);
    changed.event_types = Some([event_type("x")].into());
    changed.channels = Some([Channel::new("y").unwrap()].into());
    changed.throttle_rate = Some(2);
    changed.version = 2;
    changed.metadata = [("a".into(), "b".into())].into();
    changed.headers = vec![Header { name: "h".into(), value: "v".into() }];
    changed.secrets = Secrets {
        current: Secret::Hmac(vec![9; 24]),
        retired: vec![(Secret::Hmac(vec![7; 24]), w.now)],
        body: None,
        queue: None,
    };
    changed.options.ordered = true;
    changed.failing_since = Some(w.now);
    changed.updated_at = w.now.plus(Duration::from_secs(1));
    let mut saved = w.store.save_endpoint(changed.clone()).await.unwrap();
    changed.revision = 1;
    assert_eq!(saved, changed);
    assert_eq!(w.store.endpoint(app, &IdOrUid::Id(changed.id)).await.unwrap().as_ref(), Some(&changed));

    // And back to nothing.
    (saved.uid, saved.disabled, saved.event_types, saved.channels) = (None, None, None, None);
    (saved.throttle_rate, saved.failing_since) = (None, None);
    saved.headers.clear();
    saved.url = "https://10.0.0.1/".into();
    let saved = w.store.save_endpoint(saved).await.unwrap();
    assert_eq!(w.store.endpoint(app, &IdOrUid::Id(changed.id)).await.unwrap(), Some(saved));
}

pub async fn an_endpoint_is_found_below_its_own_application_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, _) = w.lane().await;
    let mut new = w.new_endpoint(app);
    new.uid = Some(uid("hook"));
    let endpoint = w.store.create_endpoint(new).await.unwrap();
    let (other, _) = w.lane().await;
    for which in [IdOrUid::Id(endpoint.id), IdOrUid::Uid("hook".into())] {
        assert!(w.store.endpoint(other, &which).await.unwrap().is_none());
    }
    assert!(matches!(w.store.delete_endpoint(other, endpoint.key, w.now).await, Err(StoreError::NotFound)));
    let mut moved = endpoint.clone();
    moved.app = other;
    assert!(matches!(w.store.save_endpoint(moved).await, Err(StoreError::NotFound)));
    assert_eq!(w.store.endpoints_of(other).await.unwrap().len(), 1);
    assert_eq!(w.store.endpoints_of(app).await.unwrap().len(), 2);
}

pub async fn a_text_that_is_no_id_finds_nothing(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, _) = w.lane().await;
    for text in ["", "no", "app_short", "ä\u{0}'; DROP TABLE app"] {
        assert!(w.store.application(&org("a"), &IdOrUid::Uid(text.into())).await.unwrap().is_none());
        assert!(w.store.endpoint(app, &IdOrUid::Uid(text.into())).await.unwrap().is_none());
        assert!(w.store.message(app, &IdOrUid::Uid(text.into()), true).await.unwrap().is_none());
    }
    assert!(only(w.store.messages(app, all(), &Default::default(), true).await.unwrap()).is_empty());
}

pub async fn an_event_type_reads_back_as_it_was_stored(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let mut full = new_event_type("track.started", w.now);
    full.deprecated = true;
    full.feature_flag = Some(event_type("beta"));
    let mut plain = new_event_type("track", w.now);
    (plain.schemas, plain.group_name) = (None, None);
    for e in [&full, &plain] {
        assert!(w.store.put_event_type(&org("a"), e.clone(), true).await.unwrap());
        assert_eq!(w.store.event_type(&org("a"), &e.name).await.unwrap().as_ref(), Some(e));
        assert!(w.store.event_type(&org("b"), &e.name).await.unwrap().is_none());
    }
    assert_eq!(full.example(0).unwrap()["track"], 7);
}

pub async fn an_active_event_type_is_not_made_anew_but_an_archived_one_is(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let (a, first) = (org("a"), new_event_type("t", w.now));
    let mut second = first.clone();
    second.description = "other".into();
    assert!(w.store.put_event_type(&a, first.clone(), true).await.unwrap());
    assert!(!w.store.put_event_type(&a, second.clone(), true).await.unwrap());
    assert_eq!(w.store.event_type(&a, &first.name).await.unwrap().unwrap(), first);
    let archived = EventType { archived: true, ..first };
    assert!(w.store.put_event_type(&a, archived.clone(), false).await.unwrap());
    assert_eq!(w.store.event_type(&a, &archived.name).await.unwrap().unwrap(), archived);
    assert!(w.store.put_event_type(&a, second.clone(), true).await.unwrap());
    assert_eq!(w.store.event_type(&a, &second.name).await.unwrap().unwrap(), second);
    assert!(w.store.remove_event_type(&a, &second.name).await.unwrap());
    assert!(!w.store.remove_event_type(&a, &second.name).await.unwrap());
    assert!(w.store.event_type(&a, &second.name).await.unwrap().is_none());
}

pub async fn a_list_of_event_types_shows_what_its_filter_lets_through(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let a = org("a");
    for (name, archived, flag) in
        [("a", false, None), ("b", true, None), ("c", false, Some("x")), ("d", false, Some("y"))]
    {
        let mut e = new_event_type(name, w.now);
        (e.archived, e.feature_flag) = (archived, flag.map(event_type));
        w.store.put_event_type(&a, e, false).await.unwrap();
    }
    let names = async |filter: EventTypeFilter| {
        let page = w.store.event_types(&a, &filter, whole()).await.unwrap();
        only(page).iter().map(|e| e.name.to_string()).collect::<Vec<_>>().join("")
    };
    assert_eq!(names(EventTypeFilter::default()).await, "acd");
    assert_eq!(names(EventTypeFilter { include_archived: true, ..Default::default() }).await, "abcd");
    let flags = |flags: &[&str]| Some(flags.iter().map(|f| event_type(f)).collect::<BTreeSet<EventTypeName>>());
    assert_eq!(names(EventTypeFilter { visible_flags: flags(&[]), ..Default::default() }).await, "a");
    assert_eq!(names(EventTypeFilter { visible_flags: flags(&["y", "z"]), ..Default::default() }).await, "ad");
    for with_content in [false, true] {
        let filter = EventTypeFilter { with_content, ..Default::default() };
        let page = w.store.event_types(&a, &filter, whole()).await.unwrap();
        assert!(page.items.iter().all(|e| e.schemas.is_some() == with_content));
    }
}

pub async fn hidden_event_types_do_not_count_as_a_further_page(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let a = org("a");
    for name in ["a", "b", "c"] {
        let e = EventType { archived: name == "c", ..new_event_type(name, w.now) };
        w.store.put_event_type(&a, e, false).await.unwrap();
    }
    let mut query = whole();
    query.limit = 2;
    assert!(!w.store.event_types(&a, &EventTypeFilter::default(), query.clone()).await.unwrap().more);
    query.limit = 1;
    assert!(w.store.event_types(&a, &EventTypeFilter::default(), query).await.unwrap().more);
}

pub async fn event_types_that_are_missing_or_archived_are_unknown(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let a = org("a");
    w.store.put_event_type(&a, new_event_type("known", w.now), true).await.unwrap();
    let archived = EventType { archived: true, ..new_event_type("old", w.now) };
    w.store.put_event_type(&a, archived, true).await.unwrap();
    let asked: BTreeSet<_> = ["known", "old", "new"].map(event_type).into();
    assert_eq!(w.store.unknown_event_types(&a, &asked).await.unwrap(), ["new", "old"].map(event_type));
    assert_eq!(w.store.unknown_event_types(&org("b"), &asked).await.unwrap().len(), 3);
}

pub async fn the_directory_reads_a_schema_once_and_again_after_a_change(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let (a, name, directory) = (org("a"), event_type("known"), Directory::new(w.store.clone()));
    assert!(directory.schema(&a, &name).await.unwrap().is_none());
    let with = |schemas: serde_json::Value| EventType {
        schemas: schemas.as_object().cloned(),
        ..new_event_type("known", w.now)
    };
    directory.put_event_type(&a, with(json!({"1": {"title": "one"}})), true).await.unwrap();
    let first = directory.schema(&a, &name).await.unwrap().unwrap();
    // Behind its back: whoever asks again gets what is in memory, so the store was not asked.
    w.store.put_event_type(&a, with(json!({"1": true})), false).await.unwrap();
    assert!(directory.schema(&a, &name).await.unwrap().unwrap().is(&first));
    directory.put_event_type(&a, with(json!({"9": {"title": "nine"}, "10": {"title": "ten"}})), false).await.unwrap();
    let second = directory.schema(&a, &name).await.unwrap().unwrap();
    assert_eq!((first.schema(), second.schema()), (&json!({"title": "one"}), &json!({"title": "ten"})));
    assert!(directory.schema(&org("b"), &name).await.unwrap().is_none());
    assert!(directory.remove_event_type(&a, &name).await.unwrap());
    assert!(directory.schema(&a, &name).await.unwrap().is_none());
}

pub async fn what_an_organization_decides_is_kept(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    assert_eq!(w.store.organization_options(&org("a")).await.unwrap(), OrganizationOptions::default());
    for days in [7, 8] {
        let options = OrganizationOptions {
            retention: Retention { payload_days: Some(days), attempt_days: None },
            retry_schedule: Some("1s".parse().unwrap()),
            branding: Branding { name: "Example School".into(), mark: "ES".into(), accent: "2f6f4f".into() },
            alert_emails: vec!["mary@example.edu".into()],
        };
        w.store.save_organization_options(&org("a"), &options).await.unwrap();
        assert_eq!(w.store.organization_options(&org("a")).await.unwrap(), options);
    }
    assert_eq!(w.store.organization_options(&org("b")).await.unwrap(), OrganizationOptions::default());
}

pub async fn what_is_configured_is_there_in_the_next_run(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, mut endpoint) = w.lane().await;
    endpoint.url = "https://u:p@h.example/".into();
    endpoint.headers = vec![Header { name: "X-Api-Key".into(), value: "k".into() }];
    let endpoint = w.store.save_endpoint(endpoint).await.unwrap();
    w.store.put_event_type(&org("a"), new_event_type("t", w.now), true).await.unwrap();
    let w = w.reopen(fixture).await;
    assert_eq!(w.store.endpoints_of(app).await.unwrap(), vec![endpoint]);
    assert_eq!(only(w.store.applications(&org("a"), whole()).await.unwrap())[0].key, app);
    assert!(w.store.event_type(&org("a"), &event_type("t")).await.unwrap().is_some());
}

pub async fn a_page_begins_beyond_its_cursor_and_runs_in_the_order_asked_for(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(w.application().await.id.0);
    }
    // A cursor need not name anything that is there.
    let gone = w.id().0;
    let page = async |limit, cursor, order| {
        let query = PageQuery { limit, cursor, order };
        let page = w.store.applications(&org("a"), query).await.unwrap();
        let places = page.items.iter().map(|a| ids.iter().position(|id| *id == a.id.0).unwrap()).collect::<Vec<_>>();
        (places, page.more)
    };
    use {
        Cursor::{After, Before},
        Order::{Ascending, Descending},
    };
    assert_eq!(page(2, None, Ascending).await, (vec![0, 1], true));
    assert_eq!(page(5, None, Ascending).await, (vec![0, 1, 2, 3, 4], false));
    assert_eq!(page(2, Some(After(ids[1])), Ascending).await, (vec![2, 3], true));
    assert_eq!(page(2, Some(After(ids[2])), Ascending).await, (vec![3, 4], false));
    assert_eq!(page(2, Some(Before(ids[3])), Ascending).await, (vec![1, 2], true));
    assert_eq!(page(2, Some(Before(ids[2])), Ascending).await, (vec![0, 1], false));
    assert_eq!(page(2, None, Descending).await, (vec![4, 3], true));
    assert_eq!(page(2, Some(After(ids[3])), Descending).await, (vec![2, 1], true));
    assert_eq!(page(2, Some(Before(ids[1])), Descending).await, (vec![3, 2], true));
    assert_eq!(page(2, Some(Before(ids[2])), Descending).await, (vec![4, 3], false));
    assert_eq!(page(9, Some(After(gone)), Ascending).await, (vec![], false));
    assert_eq!(page(9, Some(After(gone)), Descending).await, (vec![4, 3, 2, 1, 0], false));
    assert_eq!(page(0, None, Ascending).await, (vec![], true));
    assert_eq!(page(9, Some(After(Ksuid::MAX)), Ascending).await, (vec![], false));
}
