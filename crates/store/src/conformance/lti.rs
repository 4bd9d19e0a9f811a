//! Tools and those who vouch for them.

use super::{Fixture, world::World};
use crate::StoreError;
use domain::{
    AppKey,
    lti::{
        DeveloperKey, GlobalId, Registration, RootAccount, SharedSecret, Subject, Tool, ToolGuid, ToolService,
        ToolState,
    },
};
use std::time::Duration;

fn guid(n: u8) -> ToolGuid {
    ToolGuid::random([n; 16])
}

fn secret(text: &str) -> SharedSecret {
    SharedSecret::new(text.to_owned())
}

fn key(w: &World, app: AppKey, id: u64) -> DeveloperKey {
    DeveloperKey {
        id: GlobalId(id),
        app,
        name: "Vendor \"x\"".into(),
        secret: secret("key secret"),
        active: true,
        capabilities: ["a.b".to_owned(), "c".to_owned()].into(),
        created_at: w.now,
        updated_at: w.now,
    }
}

fn tool(w: &World, app: AppKey, n: u8) -> Tool {
    Tool {
        guid: guid(n),
        app,
        developer_key: Some(GlobalId(10_000_000_000_003)),
        name: "Checker".into(),
        secret: secret("tool secret"),
        split_secret: true,
        capabilities: ["a.b".to_owned()].into(),
        services: vec![ToolService { service: "s".into(), actions: ["GET".to_owned(), "PUT".to_owned()].into() }],
        event_url: Some("https://tool.example/event".into()),
        state: ToolState::Active,
        created_at: w.now,
        updated_at: w.now,
    }
}

fn registration(w: &World, app: AppKey, n: u8) -> Registration {
    let expires_at = w.now.plus(Duration::from_secs(3600));
    Registration { key: guid(n), app, password: secret("password"), created_at: w.now, expires_at }
}

pub async fn a_root_account_is_made_once_and_replaced_on_purpose(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let account = |uuid: &str| RootAccount {
        app,
        uuid: uuid.into(),
        id: GlobalId(7),
        guid: "g.example".into(),
        platform_url: None,
    };
    assert_eq!(w.store.root_account(app).await.unwrap(), None);
    assert_eq!(w.store.put_root_account(account("one"), true).await.unwrap(), account("one"));
    assert_eq!(w.store.put_root_account(account("two"), true).await.unwrap(), account("one"));
    assert_eq!(w.store.put_root_account(account("three"), false).await.unwrap(), account("three"));
    assert_eq!(w.store.root_account(app).await.unwrap(), Some(account("three")));
    w.store.delete_application(app, w.now).await.unwrap();
    assert_eq!(w.store.root_account(app).await.unwrap(), None);
    assert!(matches!(w.store.put_root_account(account("four"), false).await, Err(StoreError::NotFound)));
}

pub async fn a_developer_key_reads_back_and_is_changed_in_its_own_application_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, other) = (w.application().await.key, w.application().await.key);
    let (first, second) = (key(&w, app, 10_000_000_000_003), key(&w, app, 10_000_000_000_004));
    w.store.create_developer_key(first.clone()).await.unwrap();
    w.store.create_developer_key(second.clone()).await.unwrap();
    let again = DeveloperKey { app: other, ..first.clone() };
    assert!(matches!(w.store.create_developer_key(again.clone()).await, Err(StoreError::UidTaken)));
    assert_eq!(w.store.developer_keys(app).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(w.store.developer_keys(other).await.unwrap(), []);

    let changed = DeveloperKey { active: false, secret: secret("new"), ..first.clone() };
    w.store.save_developer_key(changed.clone()).await.unwrap();
    assert_eq!(w.store.developer_keys(app).await.unwrap(), [changed, second]);
    assert!(matches!(w.store.save_developer_key(again).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.delete_developer_key(other, first.id).await, Err(StoreError::NotFound)));
    w.store.delete_developer_key(app, first.id).await.unwrap();
    assert!(matches!(w.store.delete_developer_key(app, first.id).await, Err(StoreError::NotFound)));
    assert_eq!(w.store.developer_keys(app).await.unwrap().len(), 1);
}

pub async fn a_tool_reads_back_and_is_changed_in_its_own_application_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, other) = (w.application().await.key, w.application().await.key);
    let first = tool(&w, app, 1);
    let second = Tool { developer_key: None, event_url: None, state: ToolState::Disabled, ..tool(&w, app, 2) };
    for t in [&first, &second] {
        w.store.create_tool(t.clone(), None).await.unwrap();
    }
    let elsewhere = Tool { app: other, ..first.clone() };
    assert!(matches!(w.store.create_tool(elsewhere.clone(), None).await, Err(StoreError::UidTaken)));
    assert_eq!(w.store.tools(app).await.unwrap(), [first.clone(), second.clone()]);
    let changed = Tool { name: "Other".into(), secret: secret("new"), services: vec![], ..first.clone() };
    w.store.save_tool(changed.clone()).await.unwrap();
    assert!(matches!(w.store.save_tool(elsewhere).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.delete_tool(other, &first.guid).await, Err(StoreError::NotFound)));
    assert_eq!(w.store.tools(app).await.unwrap(), [changed, second.clone()]);
    w.store.delete_tool(app, &first.guid).await.unwrap();
    assert_eq!(w.store.tools(app).await.unwrap(), [second]);
}

pub async fn a_registration_is_used_once_in_the_commit_that_makes_its_tool(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, other) = (w.application().await.key, w.application().await.key);
    let invited = registration(&w, app, 1);
    w.store.create_registration(invited.clone(), w.now).await.unwrap();
    assert_eq!(w.store.registrations(app).await.unwrap(), std::slice::from_ref(&invited));
    let wrong = w.store.create_tool(tool(&w, other, 1), Some(guid(1))).await;
    assert!(matches!(wrong, Err(StoreError::NotFound)));
    assert_eq!(w.store.tools(other).await.unwrap(), [], "nothing of it is kept");
    w.store.create_tool(tool(&w, app, 1), Some(guid(1))).await.unwrap();
    assert_eq!(w.store.registrations(app).await.unwrap(), []);
    let again = w.store.create_tool(tool(&w, app, 2), Some(guid(1))).await;
    assert!(matches!(again, Err(StoreError::NotFound)));
}

pub async fn registrations_that_are_over_go_when_a_new_one_comes(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    w.store.create_registration(registration(&w, app, 1), w.now).await.unwrap();
    w.later(Duration::from_secs(3600));
    let second = registration(&w, app, 2);
    w.store.create_registration(second.clone(), w.now).await.unwrap();
    assert_eq!(w.store.registrations(app).await.unwrap(), [second]);
    assert!(matches!(w.store.delete_registration(app, &guid(1)).await, Err(StoreError::NotFound)));
    w.store.delete_registration(app, &guid(2)).await.unwrap();
    assert_eq!(w.store.registrations(app).await.unwrap(), []);
}

pub async fn a_subject_is_found_by_its_name_until_its_application_is_deleted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let (k, t, r) = (key(&w, app, 10_000_000_000_003), tool(&w, app, 1), registration(&w, app, 2));
    w.store.create_developer_key(k.clone()).await.unwrap();
    w.store.create_tool(t.clone(), None).await.unwrap();
    w.store.create_registration(r.clone(), w.now).await.unwrap();
    let names = ["10000000000003".to_owned(), guid(1).to_string(), guid(2).to_string()];
    let found = [Subject::DeveloperKey(Box::new(k)), Subject::Tool(Box::new(t)), Subject::Registration(Box::new(r))];
    for (name, want) in names.iter().zip(found) {
        assert_eq!(w.store.lti_subject(name).await.unwrap(), Some(want));
    }
    for name in ["", "0", "-1", "10000000000004", "99999999999999999999", "x' OR 1"] {
        assert_eq!(w.store.lti_subject(name).await.unwrap(), None, "{name}");
    }
    w.store.delete_application(app, w.now).await.unwrap();
    for name in &names {
        assert_eq!(w.store.lti_subject(name).await.unwrap(), None);
    }
}

pub async fn an_assertion_id_is_used_once_by_its_subject_also_in_the_next_run(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let until = w.now.plus(Duration::from_secs(60));
    assert!(w.store.use_nonce("a", "1", until, w.now).await.unwrap());
    assert!(!w.store.use_nonce("a", "1", until, w.now).await.unwrap());
    assert!(w.store.use_nonce("b", "1", until, w.now).await.unwrap());
    assert!(w.store.use_nonce("a", "2", until, w.now).await.unwrap());
    let mut w = w.reopen(fixture).await;
    assert!(!w.store.use_nonce("a", "1", until, w.now).await.unwrap());
    w.later(Duration::from_secs(59));
    assert!(!w.store.use_nonce("a", "2", until, w.now).await.unwrap());
}
