//! Paging over random data: each item exactly once, in both directions.

use super::{
    Fixture,
    world::{Post, World, after, all, at, event_type},
};
use crate::{AttemptFilter, AttemptsOf, DeliveryFilter, EventTypeFilter, MessageFilter, Settle};
use domain::{Cursor, EventType, EventTypeName, IdRange, Ksuid, Order, PageOf, PageQuery, Pick};
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    test_runner::{Config, TestRunner},
};
use std::{collections::BTreeSet, fmt::Debug};
use tokio::{runtime::Handle, sync::Mutex, task::block_in_place};

const TYPES: [&str; 3] = ["a", "b", "c"];

/// Runs an async property over random cases.
fn property<S: Strategy>(cases: u32, strategy: S, holds: impl AsyncFn(S::Value)) {
    // The suite's own source file is no place for seeds of failures: the message shows the smallest failing case.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    block_in_place(|| {
        let run = TestRunner::new(config).run(&strategy, |case| {
            Handle::current().block_on(holds(case));
            Ok(())
        });
        run.unwrap();
    });
}

/// Pages through a list by cursor, to its end and back to its beginning.
async fn there_and_back<T, C: Clone>(
    limit: usize,
    order: Order,
    cursor_of: impl Fn(&T) -> C,
    page: impl AsyncFn(PageQuery<C>) -> PageOf<T>,
) -> (Vec<T>, Vec<T>) {
    let mut there = Vec::new();
    let mut cursor = None;
    loop {
        let PageOf { items, more } = page(PageQuery { limit, cursor, order }).await;
        assert!(items.len() == limit || !more, "a page that is followed by another is full");
        there.extend(items);
        cursor = there.last().map(|last| Cursor::After(cursor_of(last)));
        if !more {
            break;
        }
    }
    let mut back = Vec::new();
    while let Some(first) = back.first().or(if back.is_empty() { there.last() } else { None }) {
        let query = PageQuery { limit, cursor: Some(Cursor::Before(cursor_of(first))), order };
        let PageOf { items, more } = page(query).await;
        back.splice(0..0, items);
        if !more {
            break;
        }
    }
    (there, back)
}

/// Pages through a time-ordered list by ranges, from the newest item to the oldest and back.
async fn down_and_up<T>(
    limit: usize,
    id_of: impl Fn(&T) -> Ksuid,
    page: impl AsyncFn(IdRange) -> PageOf<T>,
) -> (Vec<T>, Vec<T>) {
    let mut down = Vec::new();
    let mut until = Ksuid::MAX;
    loop {
        let range = IdRange { until, limit, ..all() };
        let PageOf { items, more } = page(range).await;
        assert!(items.len() == limit || !more, "a page that is followed by another is full");
        down.extend(items);
        until = down.last().map_or(Ksuid::MIN, &id_of);
        if !more {
            break;
        }
    }
    let mut up = Vec::new();
    let mut from = Ksuid::MIN;
    loop {
        let range = IdRange { from, limit, pick: Pick::Oldest, ..all() };
        let PageOf { items, more } = page(range).await;
        up.splice(0..0, items);
        from = up.first().map_or(Ksuid::MAX, |first| after(id_of(first)));
        if !more {
            break;
        }
    }
    (down, up)
}

fn same<K: PartialEq + Debug>(one: &[K], other: &[K], what: &str) {
    assert_eq!(one, other, "{what}");
}

pub async fn pages_by_cursor_hold_each_item_exactly_once(fixture: &dyn Fixture) {
    let world = Mutex::new(World::open(fixture).await);
    let strategy = (vec(0..3_u8, 0..25), 1..8_usize, any::<bool>());
    property(24, strategy, async |(kinds, limit, ascending)| {
        let mut w = world.lock().await;
        let order = if ascending { Order::Ascending } else { Order::Descending };
        let organization = format!("o{}", w.id().0.head());
        let app = w.application().await.key;
        let mut ids = Vec::new();
        for kind in &kinds {
            let endpoint = w.endpoint(app).await;
            match kind {
                // A list is the same with holes in it.
                0 => w.store.delete_endpoint(app, endpoint.key, w.now).await.unwrap(),
                _ => ids.push(endpoint.id.0),
            }
        }
        if !ascending {
            ids.reverse();
        }
        let page = async |query| w.store.endpoints(app, query).await.unwrap();
        let (there, back) = there_and_back(limit, order, |e| e.id.0, page).await;
        same(&there.iter().map(|e| e.id.0).collect::<Vec<_>>(), &ids, "there");
        let before_last = ids.len().saturating_sub(1);
        same(&back.iter().map(|e| e.id.0).collect::<Vec<_>>(), &ids[..before_last], "back");

        let organization = super::world::org(&organization);
        let mut names = BTreeSet::new();
        for (n, kind) in kinds.iter().enumerate() {
            let name = event_type(&format!("{}.{}", TYPES[usize::from(*kind)], n * 7919 % 31));
            let archived = *kind == 0;
            let new = EventType {
                name: name.clone(),
                description: String::new(),
                archived,
                deprecated: false,
                schemas: None,
                feature_flag: None,
                group_name: None,
                created_at: w.now,
                updated_at: w.now,
            };
            w.store.put_event_type(&organization, new, false).await.unwrap();
            names.extend((!archived).then_some(name));
        }
        let names: Vec<EventTypeName> =
            if ascending { names.into_iter().collect() } else { names.into_iter().rev().collect() };
        let filter = EventTypeFilter::default();
        let page = async |query| w.store.event_types(&organization, &filter, query).await.unwrap();
        let (there, back) = there_and_back(limit, order, |e: &EventType| e.name.clone(), page).await;
        same(&there.iter().map(|e| e.name.clone()).collect::<Vec<_>>(), &names, "there");
        let before_last = names.len().saturating_sub(1);
        same(&back.iter().map(|e| e.name.clone()).collect::<Vec<_>>(), &names[..before_last], "back");
    });
}

pub async fn pages_by_range_hold_each_item_exactly_once(fixture: &dyn Fixture) {
    let world = Mutex::new(World::open(fixture).await);
    let strategy = (vec((0..3_usize, any::<bool>(), 0..4_u64), 0..25), 1..8_usize, 0..8_u8);
    property(24, strategy, async |(events, limit, wanted)| {
        let mut w = world.lock().await;
        let (app, endpoint) = w.lane().await;
        let (other, _) = w.lane().await;
        let to = at(&endpoint);
        let wanted: BTreeSet<_> = (0..3).filter(|n| wanted & (1 << n) != 0).map(|n| event_type(TYPES[n])).collect();
        // Nothing wanted stands for a list without a filter.
        let filter =
            MessageFilter { event_types: Some(wanted.clone()).filter(|w| !w.is_empty()), ..MessageFilter::default() };
        let (mut messages, mut tried, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, is_tried, pause) in events {
            w.later(std::time::Duration::from_millis(pause));
            let post = Post { event_type: TYPES[kind], ..Post::to(&[to]) };
            w.post(other, &Post::default()).await;
            let id = w.post(app, &post).await;
            let fits = wanted.is_empty() || wanted.contains(&event_type(TYPES[kind]));
            messages.extend(fits.then_some(id.0));
            if is_tried {
                let attempt = w.tried(to, id, 500, Settle::Failed).await;
                tried.extend(fits.then_some(id.0));
                attempts.extend(fits.then_some(attempt.0));
            }
        }
        for list in [&mut messages, &mut tried, &mut attempts] {
            list.reverse();
        }

        let page = async |range| w.store.messages(app, range, &filter, false).await.unwrap();
        let (down, up) = down_and_up(limit, |m| m.meta.id.0, page).await;
        same(&down.iter().map(|m| m.meta.id.0).collect::<Vec<_>>(), &messages, "messages, down");
        same(&up.iter().map(|m| m.meta.id.0).collect::<Vec<_>>(), &messages, "messages, up");

        let of_messages = DeliveryFilter { status: None, messages: filter.clone() };
        let page = async |range| w.store.attempted_messages(to, range, &of_messages, false).await.unwrap();
        let (down, up) = down_and_up(limit, |m| m.message.meta.id.0, page).await;
        same(&down.iter().map(|m| m.message.meta.id.0).collect::<Vec<_>>(), &tried, "attempted messages, down");
        same(&up.iter().map(|m| m.message.meta.id.0).collect::<Vec<_>>(), &tried, "attempted messages, up");

        let of_attempts = AttemptFilter { messages: filter.clone(), ..AttemptFilter::default() };
        let of = AttemptsOf::Endpoint(to);
        let page = async |range| w.store.attempts(of, range, &of_attempts, false).await.unwrap();
        let (down, up) = down_and_up(limit, |a| a.id.0, page).await;
        same(&down.iter().map(|a| a.id.0).collect::<Vec<_>>(), &attempts, "attempts, down");
        same(&up.iter().map(|a| a.id.0).collect::<Vec<_>>(), &attempts, "attempts, up");
    });
}
