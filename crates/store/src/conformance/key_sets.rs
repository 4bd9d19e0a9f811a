//! The keys that sign bodies.

use super::{Fixture, world::World};
use crate::StoreError;
use domain::{AppKey, ApplicationId, BodyKey, KeySet, Ksuid, Timestamp};

fn key(kid: &str) -> BodyKey {
    BodyKey { kid: kid.into(), n: "AQ".into(), e: "AQAB".into(), private: format!("private half of {kid}") }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub async fn a_key_set_reads_back_by_both_names_of_its_application(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let new = w.new_application("a");
    let app = w.store.create_application(new).await.unwrap();
    assert_eq!(w.store.key_set(app.key).await.unwrap(), None);
    let set = KeySet::new(app.key, key("a"), key("b"), at(5));
    let saved = w.store.save_key_set(set.clone()).await.unwrap();
    assert_eq!(saved, KeySet { revision: 1, ..set });
    assert_eq!(w.store.key_set(app.key).await.unwrap().as_ref(), Some(&saved));
    assert_eq!(w.store.key_set_of(app.id).await.unwrap(), Some(saved));
    assert_eq!(w.store.key_set(AppKey(app.key.0 + 1)).await.unwrap(), None);
    assert_eq!(w.store.key_set_of(ApplicationId(Ksuid::MAX)).await.unwrap(), None);
}

pub async fn a_key_set_changes_only_for_whoever_saw_its_revision(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let new = w.new_application("a");
    let app = w.store.create_application(new).await.unwrap();
    let first = KeySet::new(app.key, key("a"), key("b"), at(5));
    let saved = w.store.save_key_set(first.clone()).await.unwrap();
    assert!(matches!(w.store.save_key_set(first).await, Err(StoreError::Changed)), "made only once");
    let rotated = w.store.save_key_set(saved.clone().rotated(key("c"), at(9))).await.unwrap();
    assert_eq!((rotated.revision, rotated.previous.as_ref().map(|k| k.kid.as_str())), (2, Some("a")));
    assert!(matches!(w.store.save_key_set(saved.rotated(key("d"), at(9))).await, Err(StoreError::Changed)));
    assert_eq!(w.store.key_set(app.key).await.unwrap(), Some(rotated));
}

pub async fn key_sets_are_found_by_their_age_and_not_of_deleted_applications(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let mut apps = Vec::new();
    for micros in [30, 10, 20] {
        let new = w.new_application("a");
        let app = w.store.create_application(new).await.unwrap();
        w.store.save_key_set(KeySet::new(app.key, key("a"), key("b"), at(micros))).await.unwrap();
        apps.push(app);
    }
    let due = async |micros, limit| w.store.key_sets_rotated_before(at(micros), limit).await.unwrap();
    assert_eq!(due(20, 10).await, [apps[1].key, apps[2].key]);
    assert_eq!(due(99, 1).await, [apps[1].key]);
    w.store.delete_application(apps[1].key, at(40)).await.unwrap();
    assert_eq!(due(99, 10).await, [apps[2].key, apps[0].key]);
    assert_eq!(w.store.key_set_of(apps[1].id).await.unwrap(), None);
}
