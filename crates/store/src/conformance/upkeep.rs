//! Background tasks and retention.

use super::{
    Fixture,
    queue::{is_there, open},
    world::{Post, World, all, at, event_type, only, org},
};
use crate::{Accepted, Answer, OrganizationOptions, Purge, Purged, Settle, StoreError};
use bytes::Bytes;
use domain::{EndpointRef, IdRange, Ksuid, Pick, Retention, Task, TaskId, TaskKind, TaskStatus, Timestamp, Trigger};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

// Background tasks.

pub(super) fn new_task(w: &mut World, to: EndpointRef, kind: TaskKind, since: Timestamp, until: Timestamp) -> Task {
    let (id, now) = w.id();
    Task { id: TaskId(id), kind, status: TaskStatus::Running, to, since, until, sent: 0, updated_at: now }
}

/// Steps a task to its end, each step in a run of its own.
async fn run_to_the_end(mut w: World, fixture: &dyn Fixture, task: &Task, limit: usize) -> (World, u64) {
    let mut sent = 0;
    for _ in 0..1000 {
        w = w.reopen(fixture).await;
        let found = w.store.running_tasks().await.unwrap();
        assert_eq!(found.iter().map(|t| (t.id, t.sent)).collect::<Vec<_>>(), [(task.id, sent)]);
        let endpoints = w.store.endpoints_of(task.to.app).await.unwrap();
        let endpoint = endpoints.iter().find(|e| e.key == task.to.endpoint).unwrap();
        let step = w.store.step_task(task.id, endpoint, limit, w.now).await.unwrap();
        sent += step.sent;
        if step.done {
            let found = w.store.task(&org("a"), Some(task.to.app), task.id).await.unwrap().unwrap();
            assert_eq!((found.status, found.sent), (TaskStatus::Finished, sent));
            assert!(w.store.running_tasks().await.unwrap().is_empty());
            return (w, sent);
        }
    }
    panic!("the task has no end");
}

pub async fn a_recovery_sends_each_failed_message_of_its_window_once(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let mut expected = Vec::new();
    let before = w.post_to(to).await;
    w.tried(to, before, 500, Settle::Failed).await;
    w.later(MINUTE);
    let since = w.now;
    for round in 0..7 {
        let failed = w.post_to(to).await;
        w.tried(to, failed, 500, Settle::Failed).await;
        expected.push(failed);
        let delivered = w.post_to(to).await;
        w.tried(to, delivered, 200, Settle::Delivered).await;
        let late = w.post_to(to).await;
        w.tried(to, late, 500, Settle::Failed).await;
        w.tried_by_hand(to, late, 200).await;
        w.post(app, &Post::default()).await;
        if round == 3 {
            let spoilt = w.post_to(to).await;
            w.tried(to, spoilt, 200, Settle::Delivered).await;
            w.tried_by_hand(to, spoilt, 500).await;
            let gone = w.post_to(to).await;
            w.tried(to, gone, 500, Settle::Failed).await;
            w.store.expunge_payload(app, gone).await.unwrap();
            let cancelled = w.post_to(to).await;
            w.tried(to, cancelled, 500, Settle::Cancelled).await;
            expected.push(cancelled);
        }
    }
    w.later(MINUTE);
    let until = w.now;
    let after = w.post_to(to).await;
    w.tried(to, after, 500, Settle::Failed).await;
    let task = new_task(&mut w, to, TaskKind::Recover, since, until);
    w.store.create_task(task.clone()).await.unwrap();
    let (w, sent) = run_to_the_end(w, fixture, &task, 3).await;
    assert_eq!(sent, expected.len() as u64);
    let mut found = w.claim(to).await;
    assert!(found.iter().all(|l| l.trigger == Trigger::Manual));
    found.sort_by_key(|l| l.delivery.message);
    assert_eq!(found.iter().map(|l| l.delivery.message).collect::<Vec<_>>(), expected);
}

pub async fn a_replay_sends_each_message_that_the_endpoint_never_got(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, mut endpoint) = w.lane().await;
    let to = at(&endpoint);
    endpoint.event_types = Some([event_type("a")].into());
    w.store.save_endpoint(endpoint.clone()).await.unwrap();
    let since = w.now;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(w.post(app, &Post { event_type: "a", ..Post::default() }).await);
        w.post(app, &Post { event_type: "b", ..Post::default() }).await;
        let sent = w.post(app, &Post { event_type: "a", ..Post::to(&[to]) }).await;
        w.tried(to, sent, 500, Settle::Failed).await;
        let by_hand = w.post(app, &Post { event_type: "a", ..Post::default() }).await;
        w.tried_by_hand(to, by_hand, 500).await;
    }
    let (elsewhere, _) = w.lane().await;
    w.post(elsewhere, &Post { event_type: "a", ..Post::default() }).await;
    w.later(MINUTE);
    let until = w.now;
    w.post(app, &Post { event_type: "a", ..Post::default() }).await;
    let task = new_task(&mut w, to, TaskKind::ReplayMissing, since, until);
    w.store.create_task(task.clone()).await.unwrap();
    let (w, sent) = run_to_the_end(w, fixture, &task, 4).await;
    assert_eq!(sent, 5);
    let mut found = w.claimed(to).await;
    found.sort();
    assert_eq!(found, expected);
}

pub async fn a_task_is_found_by_its_organization_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let (other, second) = w.lane().await;
    let mut made = Vec::new();
    for to in [at(&endpoint), at(&second), at(&endpoint)] {
        let task = new_task(&mut w, to, TaskKind::Recover, Timestamp::default(), Timestamp::default().plus(DAY));
        w.store.create_task(task.clone()).await.unwrap();
        made.push(task);
    }
    for app in [None, Some(app)] {
        assert_eq!(w.store.task(&org("a"), app, made[0].id).await.unwrap().as_ref(), Some(&made[0]));
    }
    assert!(w.store.task(&org("a"), Some(other), made[0].id).await.unwrap().is_none());
    assert!(w.store.task(&org("b"), None, made[0].id).await.unwrap().is_none());
    let listed = async |app, pick, limit| {
        let page = w.store.tasks(&org("a"), app, IdRange { pick, limit, ..all() }).await.unwrap();
        let place = |t: &Task| made.iter().position(|m| m == t).unwrap();
        (page.items.iter().map(place).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(listed(None, Pick::Newest, 9).await, (vec![2, 1, 0], false));
    assert_eq!(listed(None, Pick::Newest, 2).await, (vec![2, 1], true));
    assert_eq!(listed(None, Pick::Oldest, 2).await, (vec![1, 0], true));
    assert_eq!(listed(Some(app), Pick::Newest, 9).await, (vec![2, 0], false));
    assert!(only(w.store.tasks(&org("b"), None, all()).await.unwrap()).is_empty());
}

pub async fn a_task_that_is_over_takes_no_more_steps(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let task = new_task(&mut w, at(&endpoint), TaskKind::Recover, Timestamp::default(), Timestamp::default().plus(DAY));
    w.store.create_task(task.clone()).await.unwrap();
    w.later(MINUTE);
    w.store.fail_task(task.id, w.now).await.unwrap();
    let found = w.store.task(&org("a"), Some(app), task.id).await.unwrap().unwrap();
    assert_eq!((found.status, found.updated_at), (TaskStatus::Failed, w.now));
    assert!(w.store.running_tasks().await.unwrap().is_empty());
    assert!(matches!(w.store.step_task(task.id, &endpoint, 10, w.now).await, Err(StoreError::NotFound)));
}

// Retention.

/// Steps of retention until nothing is left to remove.
async fn purge_all(w: &World, purge: Purge) -> Purged {
    let mut total = Purged::default();
    for _ in 0..1000 {
        let step = w.store.purge(purge).await.unwrap();
        let limit = purge.limit as u64;
        assert!(step.payloads <= limit && step.answers <= limit, "a step stays small: {step:?}");
        total.payloads += step.payloads;
        total.messages += step.messages;
        total.answers += step.answers;
        if !step.more {
            return total;
        }
    }
    panic!("retention has no end");
}

pub async fn payloads_go_after_their_hour_and_messages_stay(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut ids = Vec::new();
    for expires_hour in [10, 11, 11, 10, 12] {
        ids.push(w.post(app, &Post { expires_hour, ..Post::default() }).await);
    }
    let purge = Purge { payload_hour: 12, limit: 2, ..w.nothing_old() };
    assert_eq!(w.store.purge(purge).await.unwrap(), Purged { payloads: 2, more: true, ..Purged::default() });
    assert_eq!(purge_all(&w, purge).await.payloads, 2);
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(w.payload_of(app, id).await.is_some(), n == 4);
    }
}

pub async fn old_messages_go_with_all_that_belongs_to_them_unless_they_are_open(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let mut old = Vec::new();
    for n in 0..7 {
        let id = w.post_to(to).await;
        match n {
            0 => drop(w.tried(to, id, 500, Settle::RetryAt(w.now.plus(365 * DAY))).await),
            _ => drop(w.tried(to, id, 200, Settle::Delivered).await),
        }
        old.push(id);
    }
    w.later(DAY);
    let before = w.now;
    let young = w.post_to(to).await;
    w.tried(to, young, 200, Settle::Delivered).await;
    let purge = Purge { rows_before: before, limit: 3, ..w.nothing_old() };
    assert_eq!(purge_all(&w, purge).await.messages, 6);
    assert!(is_there(&w, app, old[0]).await && is_there(&w, app, young).await);
    let attempts = w.store.attempts(crate::AttemptsOf::Endpoint(to), all(), &Default::default(), true).await.unwrap();
    assert_eq!(only(attempts).iter().map(|a| a.message).collect::<Vec<_>>(), [young, old[0]]);
    assert_eq!(w.store.endpoint_stats(to, Ksuid::MIN, Ksuid::MAX).await.unwrap(), crate::Stats { success: 1, fail: 1 });
    let tried = only(w.store.attempted_messages(to, all(), &Default::default(), true).await.unwrap());
    assert_eq!(tried.iter().map(|m| m.message.meta.id).collect::<Vec<_>>(), [young, old[0]]);
    assert_eq!(open(&w).await, 1);
}

pub async fn open_old_messages_do_not_keep_others_from_going(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let mut open_ones = Vec::new();
    for _ in 0..5 {
        open_ones.push(w.post_to(at(&endpoint)).await);
    }
    let settled = w.post(app, &Post::default()).await;
    w.later(DAY);
    let purge = Purge { rows_before: w.now, limit: 2, ..w.nothing_old() };
    // A step may remove nothing where it looks, as long as some later step does.
    for _ in 0..10 {
        w.store.purge(purge).await.unwrap();
    }
    assert!(!is_there(&w, app, settled).await);
    for id in open_ones {
        assert!(is_there(&w, app, id).await);
    }
}

pub async fn an_application_keeps_its_rows_as_long_as_it_or_its_organization_says(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let mut new = w.new_application("a");
    new.options.retention = Retention { payload_days: None, attempt_days: Some(30) };
    let own = w.store.create_application(new).await.unwrap().key;
    let options = OrganizationOptions {
        retention: Retention { payload_days: None, attempt_days: Some(2) },
        ..OrganizationOptions::default()
    };
    w.store.save_organization_options(&org("b"), &options).await.unwrap();
    let new = w.new_application("b");
    let of_organization = w.store.create_application(new).await.unwrap().key;
    let plain = w.application().await.key;
    let mut ids = Vec::new();
    for app in [own, of_organization, plain] {
        ids.push((app, w.post(app, &Post::default()).await));
    }
    let kept_after = async |w: &mut World, days| {
        w.later(days * DAY);
        let purge = Purge { rows_before: w.now.minus(10 * DAY), ..w.nothing_old() };
        purge_all(w, purge).await;
        let mut kept = Vec::new();
        for (app, id) in &ids {
            kept.push(is_there(w, *app, *id).await);
        }
        kept
    };
    assert_eq!(kept_after(&mut w, 1).await, [true, true, true]);
    assert_eq!(kept_after(&mut w, 2).await, [true, false, true]);
    assert_eq!(kept_after(&mut w, 8).await, [true, false, false]);
    assert_eq!(kept_after(&mut w, 20).await, [false, false, false]);
}

pub async fn ended_tasks_go_after_their_time_and_running_ones_stay(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let mut running = Vec::new();
    for n in 0..5 {
        let now = w.now;
        let task = new_task(&mut w, at(&endpoint), TaskKind::Recover, now, now);
        w.store.create_task(task.clone()).await.unwrap();
        match n {
            0 | 3 => running.push(task.id),
            _ => w.store.fail_task(task.id, w.now).await.unwrap(),
        }
    }
    w.later(DAY);
    let (before, now) = (w.now, w.now);
    let young = new_task(&mut w, at(&endpoint), TaskKind::Recover, now, now);
    w.store.create_task(young.clone()).await.unwrap();
    w.store.fail_task(young.id, w.now).await.unwrap();
    let purge = Purge { rows_before: before, limit: 2, ..w.nothing_old() };
    for _ in 0..3 {
        w.store.purge(purge).await.unwrap();
    }
    let left = only(w.store.tasks(&org("a"), Some(app), all()).await.unwrap());
    assert_eq!(left.iter().map(|t| t.id).collect::<Vec<_>>(), [young.id, running[1], running[0]]);
}

pub async fn kept_answers_go_after_their_time(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let answer = Answer { status: 200, body: Bytes::new() };
    for n in 0..5 {
        w.store.keep_answer([n; 32], answer.clone(), w.now).await.unwrap();
    }
    let hashed = Post { hash: Some([9; 32]), ..Post::default() };
    let message = w.post(app, &hashed).await;
    w.later(DAY);
    let before = w.now;
    // One that was given anew meanwhile is young.
    w.store.keep_answer([0; 32], answer.clone(), w.now).await.unwrap();
    w.store.keep_answer([7; 32], answer.clone(), w.now).await.unwrap();
    let purge = Purge { answers_before: before, limit: 2, ..w.nothing_old() };
    for _ in 0..10 {
        w.store.purge(purge).await.unwrap();
    }
    let always = Timestamp::default();
    for n in 0..10 {
        assert_eq!(w.store.kept_answer([n; 32], always).await.unwrap().is_some(), n == 0 || n == 7, "{n}");
    }
    assert!(is_there(&w, app, message).await);
    assert!(matches!(w.try_post(app, &hashed).await.1, Accepted::New));
}
