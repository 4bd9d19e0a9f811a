//! Bounded lists and counts.

use super::{
    Fixture,
    upkeep::new_task,
    world::{Born, Post, World, all, at, event_type},
};
use crate::{Counted, MessageFilter, Settle, Standing};
use domain::{DeliveryState, IdRange, Ksuid, MessageId, Pick, TaskKind, TaskStatus, Timestamp};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const FAR: usize = 1_000;

fn only_type(name: &str) -> MessageFilter {
    MessageFilter { event_types: Some([event_type(name)].into()), ..MessageFilter::default() }
}

fn older(next: Option<Ksuid>, limit: usize) -> IdRange {
    IdRange { until: next.unwrap_or(Ksuid::MAX), limit, ..all() }
}

pub async fn a_list_of_deliveries_holds_those_that_were_never_tried(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let delivered = w.post_to(to).await;
    w.tried(to, delivered, 200, Settle::Delivered).await;
    let failed = w.post_to(to).await;
    w.tried(to, failed, 500, Settle::Failed).await;
    let cancelled = w.post_to(to).await;
    w.store.cancel_open(to, w.now.plus(MINUTE), 10).await.unwrap();
    let waiting = w.post_to(to).await;
    w.post(app, &Post::default()).await;
    let all_of = async |standing| {
        let found = w.store.deliveries(to, all(), standing, &MessageFilter::default(), FAR).await.unwrap();
        assert_eq!(found.next, None);
        found.items.iter().map(|d| (d.meta.id, d.latest.as_ref().map(|a| a.response_status))).collect::<Vec<_>>()
    };
    let (w1, c, f, d) = ((waiting, None), (cancelled, None), (failed, Some(500)), (delivered, Some(200)));
    assert_eq!(all_of(None).await, [w1, c, f, d]);
    assert_eq!(all_of(Some(Standing::Open)).await, [w1]);
    assert_eq!(all_of(Some(Standing::Cancelled)).await, [c]);
    assert_eq!(all_of(Some(Standing::Failed)).await, [f]);
    assert_eq!(all_of(Some(Standing::Delivered)).await, [d]);
    let first = w.store.deliveries(to, all(), None, &MessageFilter::default(), FAR).await.unwrap();
    assert_eq!(first.items[0].state, DeliveryState::Waiting { due_at: first.items[0].meta.created_at });
}

pub async fn a_list_of_deliveries_goes_on_where_its_looks_ended(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let mut rare = Vec::new();
    for n in 0..10 {
        let name = if n % 5 == 0 { "rare" } else { "common" };
        let id = w.post(app, &Post { event_type: name, ..Post::to(&[to]) }).await;
        if n % 5 == 0 {
            rare.insert(0, id);
        }
    }
    // Three rows at a time: some pages are empty, and every one leads on.
    let (mut next, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = w.store.deliveries(to, older(next, 2), None, &only_type("rare"), 3).await.unwrap();
        found.extend(page.items.iter().map(|d| d.meta.id));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (rare.clone(), 4));
    let oldest = IdRange { pick: Pick::Oldest, limit: 1, ..all() };
    let page = w.store.deliveries(to, oldest, None, &only_type("rare"), FAR).await.unwrap();
    assert_eq!((page.items[0].meta.id, page.next), (rare[1], Some(rare[1].0)));
}

pub async fn a_search_says_where_to_go_on(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let rare = w.post(app, &Post { event_type: "rare", channels: &["course:7"], ..Post::default() }).await;
    for _ in 0..5 {
        w.post(app, &Post::default()).await;
    }
    let page = w.store.search(app, older(None, 10), &only_type("rare"), 4).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_some());
    let page = w.store.search(app, older(page.next, 10), &only_type("rare"), 4).await.unwrap();
    assert_eq!(page.items.iter().map(|m| m.meta.id).collect::<Vec<_>>(), [rare]);
    assert_eq!(page.next, None);
    let channel =
        MessageFilter { channel: Some(domain::Channel::new("course:7").unwrap()), ..MessageFilter::default() };
    assert_eq!(w.store.search(app, all(), &channel, FAR).await.unwrap().items.len(), 1);
    for (name, found) in [("course:7", 1), ("course", 0)] {
        let confines = domain::Confines::to([domain::Channel::new(name).unwrap()].into()).unwrap();
        let within = MessageFilter { within: Some(confines), ..MessageFilter::default() };
        assert_eq!(w.store.search(app, all(), &within, FAR).await.unwrap().items.len(), found, "{name}");
    }
}

pub async fn a_message_has_its_deliveries_everywhere_tried_or_not(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, first) = w.lane().await;
    let (second, third) = (w.endpoint(app).await, w.endpoint(app).await);
    let message = w.post(app, &Post::to(&[at(&first), at(&second)])).await;
    w.tried(at(&first), message, 500, Settle::Failed).await;
    w.store.delete_endpoint(app, first.key, w.now).await.unwrap();
    let found = w.store.deliveries_of(app, message, 10).await.unwrap();
    let shown: Vec<_> = found.iter().map(|(e, d)| (e.id, Standing::of(d.state), d.latest.is_some())).collect();
    assert_eq!(shown, [(first.id, Standing::Failed, true), (second.id, Standing::Open, false)]);
    assert_eq!(w.store.deliveries_of(app, message, 1).await.unwrap().len(), 1);
    assert!(found.iter().all(|(e, _)| e.id != third.id));
    let (elsewhere, _) = w.lane().await;
    assert!(w.store.deliveries_of(elsewhere, message, 10).await.unwrap().is_empty());
}

pub async fn what_a_task_would_take_up_is_counted_before(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let since = w.now;
    for _ in 0..3 {
        let failed = w.post_to(to).await;
        w.tried(to, failed, 500, Settle::Failed).await;
        let delivered = w.post_to(to).await;
        w.tried(to, delivered, 200, Settle::Delivered).await;
        w.post(app, &Post::default()).await;
    }
    let planned = w.post_to(to).await;
    let due = w.now.plus(MINUTE);
    w.tried(to, planned, 500, Settle::RetryAt(due)).await;
    let until = w.now.plus(MINUTE);
    let count = async |kind, looks| w.store.count_for_task(&endpoint, kind, since, until, looks).await.unwrap();
    let counted = |found, all| Counted { found, all };
    assert_eq!(count(TaskKind::Recover, FAR).await, counted(4, true));
    assert_eq!(count(TaskKind::Recover, 2).await, counted(3, false));
    assert_eq!(count(TaskKind::ReplayMissing, FAR).await, counted(3, true));
    assert!(!count(TaskKind::ReplayMissing, 4).await.all);
    assert_eq!(count(TaskKind::CancelWaiting, FAR).await, counted(1, true));
    assert_eq!(w.store.next_due(to).await.unwrap(), Some(due));
    let before = w.store.count_for_task(&endpoint, TaskKind::Recover, Timestamp::default(), since, FAR).await.unwrap();
    assert_eq!(before, counted(0, true), "the window is that of the messages");
}

pub async fn a_task_cancels_what_waits_in_steps(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    for n in 0..5 {
        if n % 2 == 0 {
            w.post_to(to).await;
        } else {
            w.post(app, &Post { born: Born::InOrder, ..Post::in_order(to, "k") }).await;
        }
    }
    w.later(MINUTE);
    let (since, until) = (Timestamp::default(), w.now);
    let task = new_task(&mut w, to, TaskKind::CancelWaiting, since, until);
    w.store.create_task(task.clone()).await.unwrap();
    w.later(MINUTE);
    let later = w.post_to(to).await;
    let mut steps = 0;
    while !w.store.step_task(task.id, &endpoint, 2, w.now).await.unwrap().done {
        steps += 1;
    }
    assert_eq!(steps, 2);
    let found = w.store.running_tasks().await.unwrap();
    assert!(found.is_empty());
    let ended = w.store.task(&super::world::org("a"), Some(app), task.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.sent), (TaskStatus::Finished, 5));
    assert_eq!(w.claimed(to).await, [later], "what came after it stays");
}

pub async fn how_far_a_task_is_shows_in_its_window(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let since = w.now;
    let mut last = MessageId(Ksuid::MIN);
    for _ in 0..4 {
        w.later(MINUTE);
        last = w.post_to(to).await;
        w.tried(to, last, 500, Settle::Failed).await;
    }
    w.later(MINUTE);
    let until = w.now;
    let task = new_task(&mut w, to, TaskKind::Recover, since, until);
    assert_eq!(w.store.task_position(task.id).await.unwrap(), None);
    w.store.create_task(task.clone()).await.unwrap();
    assert!(w.store.task_position(task.id).await.unwrap().unwrap() <= since);
    w.store.step_task(task.id, &endpoint, 4, w.now).await.unwrap();
    let position = w.store.task_position(task.id).await.unwrap().unwrap();
    assert!(position.since(last.0.timestamp()) < Duration::from_secs(1), "{position}");
}

pub async fn durations_are_those_of_the_latest_successes(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    for status in [200, 500, 200] {
        let message = w.post_to(to).await;
        let settle = if status == 200 { Settle::Delivered } else { Settle::Failed };
        w.tried(to, message, status, settle).await;
    }
    assert_eq!(w.store.durations(to, Ksuid::MIN, Ksuid::MAX, 10).await.unwrap(), [12, 12]);
    assert_eq!(w.store.durations(to, Ksuid::MIN, Ksuid::MAX, 1).await.unwrap(), [12]);
    assert!(w.store.durations(to, Ksuid::MIN, Ksuid::MIN, 10).await.unwrap().is_empty());
}

pub async fn an_application_is_public_only_if_it_says_so(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await;
    assert_eq!(w.store.public_application(app.id).await.unwrap(), None);
    let mut changed = app.clone();
    changed.options.public_catalogue = true;
    let saved = w.store.save_application(changed).await.unwrap();
    assert_eq!(w.store.public_application(app.id).await.unwrap(), Some(saved));
    w.store.delete_application(app.key, w.now).await.unwrap();
    assert_eq!(w.store.public_application(app.id).await.unwrap(), None);
}
