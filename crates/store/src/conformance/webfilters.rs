//! Webfilters and the log of their runs.

use super::{
    Fixture,
    world::{World, org, uid},
};
use crate::{RunFilter, StoreError};
use domain::{
    AppKey, Cursor, FilterName, IdOrUid, Json, Ksuid, Order, PageQuery, Secret, Secrets, Webfilter, WebfilterId,
    WebfilterKey, WebfilterRunId, WebfilterSettings,
    webfilter::{
        Because, Effect, Encoding, Halt, HaltRule, OnSilence, Outcome, Raised, Reading, ReadingResult, Run, RunReport,
        WireVersion,
    },
};
use std::time::Duration;

fn name(text: &str) -> FilterName {
    FilterName::new(text).unwrap()
}

fn new_webfilter(w: &mut World, app: AppKey) -> Webfilter {
    let (id, created_at) = w.id();
    Webfilter {
        key: WebfilterKey(0),
        app,
        id: WebfilterId(id),
        uid: None,
        filter: name("StudentLoginRequested"),
        url: "https://user:pass@checks.example.edu/login?x=1".into(),
        secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
        settings: WebfilterSettings::default(),
        created_at,
        updated_at: created_at,
        revision: 0,
    }
}

fn new_run(w: &mut World, app: AppKey, filter: &str, outcome: Outcome) -> Run {
    let (id, at) = w.id();
    let report = RunReport::default();
    Run { id: WebfilterRunId(id), app, filter: name(filter), at, duration_us: 1, test: false, outcome, report }
}

fn newest(limit: usize) -> PageQuery<Ksuid> {
    PageQuery { limit, cursor: None, order: Order::Descending }
}

pub async fn a_webfilter_reads_back_as_it_was_stored(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut new = new_webfilter(&mut w, app);
    new.uid = Some(uid("check"));
    new.secrets.retired.push((Secret::Ed25519([3; 64]), w.now));
    new.settings = WebfilterSettings {
        description: "Only people with an invitation".into(),
        enabled: false,
        order: -3,
        encoding: Encoding::Form,
        wire_version: WireVersion::V21,
        disable_filtering: true,
        disable_halting: true,
        on_4xx: HaltRule { halts: true, redirect: Some("https://campus.example.edu/no".into()) },
        on_5xx: HaltRule { halts: true, redirect: None },
        on_request_exception: HaltRule { halts: false, redirect: Some("https://campus.example.edu/off".into()) },
        on_silence: OnSilence::Halt,
        halt_exception: Some("PreventLogin".into()),
        deadline_ms: Some(250),
    };
    let stored = w.store.create_webfilter(new.clone()).await.unwrap();
    assert_ne!(stored.key, new.key);
    new.key = stored.key;
    assert_eq!(stored, new);
    let w = w.reopen(fixture).await;
    for which in [IdOrUid::Id(new.id), IdOrUid::Uid("check".into())] {
        assert_eq!(w.store.webfilter(app, &which).await.unwrap(), Some(new.clone()));
    }
    assert_eq!(w.store.webfilters_of(app).await.unwrap(), [new]);
}

pub async fn a_webfilter_is_changed_by_who_saw_it_last_and_gone_when_it_is_deleted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, elsewhere) = (w.application().await.key, w.application().await.key);
    let mut new = new_webfilter(&mut w, app);
    new.uid = Some(uid("check"));
    let first = w.store.create_webfilter(new).await.unwrap();
    let mut changed = first.clone();
    changed.filter = name("room.join");
    changed.url = "https://elsewhere.example.edu/".into();
    changed.settings.enabled = false;
    let saved = w.store.save_webfilter(changed).await.unwrap();
    assert_eq!(saved.revision, first.revision + 1);
    assert_eq!(w.store.webfilter(app, &IdOrUid::Id(first.id)).await.unwrap(), Some(saved.clone()));
    assert!(matches!(w.store.save_webfilter(first.clone()).await, Err(StoreError::Changed)));

    let mut same_uid = new_webfilter(&mut w, app);
    same_uid.uid = Some(uid("check"));
    assert!(matches!(w.store.create_webfilter(same_uid.clone()).await, Err(StoreError::UidTaken)));
    assert!(w.store.webfilter(elsewhere, &IdOrUid::Id(first.id)).await.unwrap().is_none());
    assert!(matches!(w.store.delete_webfilter(elsewhere, first.key).await, Err(StoreError::NotFound)));

    w.store.delete_webfilter(app, first.key).await.unwrap();
    assert!(matches!(w.store.delete_webfilter(app, first.key).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.save_webfilter(saved).await, Err(StoreError::NotFound)));
    assert!(w.store.webfilters_of(app).await.unwrap().is_empty());
    w.store.create_webfilter(same_uid).await.unwrap();
}

pub async fn nothing_of_webfilters_is_found_below_a_deleted_application(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let new = new_webfilter(&mut w, app);
    let stored = w.store.create_webfilter(new).await.unwrap();
    let run = new_run(&mut w, app, "room.join", Outcome::Pass);
    w.store.log_runs(vec![run.clone()]).await.unwrap();
    w.store.delete_application(app, w.now).await.unwrap();
    assert!(w.store.webfilters_of(app).await.unwrap().is_empty());
    assert!(w.store.webfilter(app, &IdOrUid::Id(stored.id)).await.unwrap().is_none());
    assert!(matches!(w.store.save_webfilter(stored.clone()).await, Err(StoreError::NotFound)));
    let again = new_webfilter(&mut w, app);
    assert!(matches!(w.store.create_webfilter(again).await, Err(StoreError::NotFound)));
    assert!(w.store.run(app, run.id).await.unwrap().is_none());
    assert!(w.store.runs(app, &RunFilter::default(), newest(9)).await.unwrap().items.is_empty());
    assert!(w.store.application(&org("a"), &IdOrUid::Uid("none".into())).await.unwrap().is_none());
}

pub async fn a_run_reads_back_as_it_was_logged(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut run = new_run(&mut w, app, "StudentLoginRequested", Outcome::Halt);
    let members = |text: &str| Json::parse(text.as_bytes()).unwrap().as_object().unwrap().clone();
    let webfilter = WebfilterId(run.id.0);
    (run.test, run.duration_us) = (true, 12_345);
    run.report = RunReport {
        data: members(r#"{"user": {"z": 1.50, "a": "é"}}"#),
        effects: [("user".to_owned(), Effect::Save)].into_iter().collect(),
        exception: Some(Raised { name: "PreventLogin".into(), arguments: members(r#"{"message": null}"#) }),
        halt: Some(Halt {
            webfilter,
            because: Because::Status4xx,
            status: Some(404),
            reason: Some("not-found".into()),
            message: "no".into(),
            redirect_to: None,
        }),
        answers: vec![Reading {
            webfilter,
            url: "https://checks.example.edu/".into(),
            result: ReadingResult::Halted,
            status: Some(404),
            duration_us: 77,
            reason: None,
            data: vec!["user".into()],
            exceptions: vec![],
            notes: vec!["a note".into()],
        }],
        data_left_out: false,
    };
    w.store.log_runs(vec![run.clone(), run.clone()]).await.unwrap();
    let w = w.reopen(fixture).await;
    assert_eq!(w.store.run(app, run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(w.store.runs(app, &RunFilter::default(), newest(9)).await.unwrap().items, [run]);
}

pub async fn the_log_is_paged_and_filtered_newest_first(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, elsewhere) = (w.application().await.key, w.application().await.key);
    let mut runs = Vec::new();
    for n in 0..6 {
        let (filter, outcome) = [("a.b", Outcome::Pass), ("c.d", Outcome::Raise)][n % 2];
        runs.push(new_run(&mut w, app, filter, outcome));
    }
    let other = new_run(&mut w, elsewhere, "a.b", Outcome::Pass);
    w.store.log_runs(runs.iter().cloned().chain([other.clone()]).collect()).await.unwrap();
    let ids = |page: domain::PageOf<Run>| page.items.iter().map(|r| r.id).collect::<Vec<_>>();
    let all = RunFilter::default();
    let first = w.store.runs(app, &all, newest(4)).await.unwrap();
    assert!(first.more);
    assert_eq!(ids(first), [runs[5].id, runs[4].id, runs[3].id, runs[2].id]);
    let cursor = Some(Cursor::After(runs[2].id.0));
    let rest = w.store.runs(app, &all, PageQuery { limit: 4, cursor, order: Order::Descending }).await.unwrap();
    assert!(!rest.more);
    assert_eq!(ids(rest), [runs[1].id, runs[0].id]);
    let of = RunFilter { filter: Some(name("c.d")), outcome: None };
    assert_eq!(ids(w.store.runs(app, &of, newest(9)).await.unwrap()), [runs[5].id, runs[3].id, runs[1].id]);
    let passed = RunFilter { filter: None, outcome: Some(Outcome::Pass) };
    assert_eq!(ids(w.store.runs(app, &passed, newest(1)).await.unwrap()), [runs[4].id]);
    assert!(w.store.run(app, other.id).await.unwrap().is_none());
}

pub async fn runs_go_after_their_time_and_beyond_what_an_application_may_have(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (busy, calm) = (w.application().await.key, w.application().await.key);
    let old: Vec<Run> = (0..3).map(|_| new_run(&mut w, calm, "a.b", Outcome::Pass)).collect();
    w.later(Duration::from_secs(60));
    let limit = w.now;
    let young: Vec<Run> = (0..5).map(|_| new_run(&mut w, busy, "a.b", Outcome::Pass)).collect();
    let kept = new_run(&mut w, calm, "a.b", Outcome::Pass);
    let all: Vec<Run> = old.iter().chain(&young).chain([&kept]).cloned().collect();
    w.store.log_runs(all).await.unwrap();
    assert_eq!(w.store.purge_runs(limit, vec![busy], 2, 2).await.unwrap(), 4);
    assert_eq!(w.store.purge_runs(limit, vec![busy], 2, 2).await.unwrap(), 2);
    assert_eq!(w.store.purge_runs(limit, vec![busy, calm], 2, 2).await.unwrap(), 0);
    let left = w.store.runs(busy, &RunFilter::default(), newest(9)).await.unwrap().items;
    assert_eq!(left, [young[4].clone(), young[3].clone()]);
    assert_eq!(w.store.runs(calm, &RunFilter::default(), newest(9)).await.unwrap().items, [kept]);
}
