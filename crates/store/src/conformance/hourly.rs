//! Counting by the hour.

use super::{
    Fixture,
    world::{Post, World, all, at, event_type},
};
use crate::{Desk, HourCount, MessageFilter, Settle, Standing};
use domain::{DeliveryRef, EndpointRef, EventTypeName, IdRange, Ksuid, MessageId, Pick, Timestamp};
use std::{collections::BTreeMap, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);
const FAR: usize = 10_000;

fn hour_of(at: Timestamp) -> i64 {
    at.as_seconds().div_euclid(3600)
}

fn only_type(name: &str) -> MessageFilter {
    MessageFilter { event_types: Some([event_type(name)].into()), ..MessageFilter::default() }
}

impl World {
    /// Counts all that is older than a minute.
    async fn roll(&self) -> u64 {
        let until = Ksuid::lowest_at(self.now.minus(MINUTE));
        let mut counted = 0;
        loop {
            let attempts = self.store.roll_attempts(until).await.unwrap();
            let messages = self.store.roll_messages(until).await.unwrap();
            counted += attempts.rows;
            if !attempts.more && !messages.more {
                return counted;
            }
        }
    }

    async fn hours(&self, to: EndpointRef, of: Option<&EventTypeName>) -> BTreeMap<i64, HourCount> {
        self.store.attempt_hours(to, of, 0..i64::MAX).await.unwrap().hours
    }

    /// Publishes and tries at once.
    async fn happened(&mut self, to: EndpointRef, event_type: &'static str, good: bool, ms: u32) -> MessageId {
        let message = self.post(to.app, &Post { event_type, ..Post::to(&[to]) }).await;
        self.claim(to).await;
        let (status, settle) = if good { (200, Settle::Delivered) } else { (500, Settle::Failed) };
        let mut record = self.new_record(DeliveryRef { to, message }, Some(status), settle);
        record.attempt.as_mut().unwrap().duration_ms = ms;
        self.hand_in(record).await;
        message
    }
}

pub async fn counts_are_those_of_the_attempts_themselves(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, first) = w.lane().await;
    let ends = [at(&first), at(&w.endpoint(app).await), at(&w.lane().await.1)];
    let types = ["track.started", "track.ended", "rare"];
    let mut expected: BTreeMap<(EndpointRef, Option<&str>, i64), HourCount> = BTreeMap::new();
    let mut random = 7_u64;
    let mut draw = |of: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % of
    };
    for round in 0..90 {
        let (to, name) = (ends[draw(3) as usize], types[draw(3) as usize]);
        let (good, ms) = (draw(4) > 0, draw(100_000) as u32);
        w.later(MINUTE * draw(40) as u32);
        w.happened(to, name, good, ms).await;
        for of in [None, Some(name)] {
            let count = expected.entry((to, of, hour_of(w.now))).or_default();
            count.delivered += u64::from(good);
            count.failed += u64::from(!good);
            count.took.add(ms, u64::from(good));
        }
        // Now and then, also amid an hour and in another run.
        if round % 13 == 0 {
            w.roll().await;
        }
        if round == 50 {
            w = w.reopen(fixture).await;
        }
    }
    w.later(MINUTE * 2);
    w.roll().await;
    for to in ends {
        for of in [None, Some(types[0]), Some(types[1]), Some(types[2])] {
            let of_it = |((e, t, hour), count): (&(EndpointRef, Option<&str>, i64), &HourCount)| {
                (*e == to && *t == of).then(|| (*hour, count.clone()))
            };
            let expected: BTreeMap<_, _> = expected.iter().filter_map(of_it).collect();
            assert_eq!(w.hours(to, of.map(event_type).as_ref()).await, expected, "{of:?}");
        }
    }
    assert_eq!(w.roll().await, 0, "nothing is left to count");
}

pub async fn each_attempt_is_counted_once_whoever_counts_at_the_same_time(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    for _ in 0..12 {
        w.happened(to, "track.started", true, 5).await;
    }
    w.later(MINUTE * 5);
    let (a, b, c) = tokio::join!(w.roll(), w.roll(), w.roll());
    assert!(a + b + c >= 12);
    w.roll().await;
    let hours = w.hours(to, None).await;
    assert_eq!(hours.values().map(|h| h.delivered).sum::<u64>(), 12);
}

pub async fn what_is_recorded_behind_the_end_of_a_step_is_counted_by_a_later_one(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    let begun = w.now;
    w.happened(to, "track.started", true, 5).await;
    // This one is under way while others are counted: its id is old when it is recorded.
    let slow = w.post(to.app, &Post::to(&[to])).await;
    w.claim(to).await;
    let slow = w.new_record(DeliveryRef { to, message: slow }, Some(500), Settle::Failed);
    w.store.roll_attempts(Ksuid::lowest_at(begun)).await.unwrap();
    w.later(MINUTE * 2);
    w.happened(to, "track.started", true, 5).await;
    let counted = w.store.attempt_hours(to, None, 0..i64::MAX).await.unwrap();
    assert!(counted.hours.is_empty() && counted.counted <= Ksuid::lowest_at(begun));
    w.hand_in(slow).await;
    w.later(MINUTE * 2);
    w.roll().await;
    let counted = w.store.attempt_hours(to, None, 0..i64::MAX).await.unwrap();
    let sum = counted.hours.values().fold((0, 0), |sum, h| (sum.0 + h.delivered, sum.1 + h.failed));
    assert_eq!(sum, (2, 1));
    let since = w.store.endpoint_stats(to, counted.counted, Ksuid::MAX).await.unwrap();
    assert_eq!(since.success + since.fail, 0, "counted or not, never both");
}

pub async fn attempts_not_counted_yet_are_told_by_their_type(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    for (name, good, ms) in [("rare", true, 3), ("track.started", true, 4), ("rare", false, 5)] {
        w.happened(to, name, good, ms).await;
    }
    let rare = event_type("rare");
    let of = async |looks| w.store.attempts_of_type(to, &rare, Ksuid::MIN, Ksuid::MAX, looks).await.unwrap();
    let found = of(10).await;
    assert_eq!(found.attempts.iter().map(|a| (a.1, a.2)).collect::<Vec<_>>(), [(false, 5), (true, 3)]);
    assert!(found.all);
    let latest = of(2).await;
    assert_eq!((latest.attempts.len(), latest.all), (1, false));
    let none = w.store.attempts_of_type(to, &rare, Ksuid::MIN, Ksuid::MIN, 10).await.unwrap();
    assert!(none.attempts.is_empty() && none.all);
}

/// A day of common messages, with some rare ones and an hour of many that are neither.
async fn a_day(w: &mut World, to: EndpointRef) -> BTreeMap<&'static str, Vec<MessageId>> {
    let mut made: BTreeMap<&'static str, Vec<MessageId>> = BTreeMap::new();
    for hour in 0..24 {
        for n in 0..40 {
            let name = match (hour, n) {
                (2 | 9, 3) | (9, 30..33) => "rare",
                (5, _) => "many",
                (6, 10..12) => "many",
                (23, 39) => "rare",
                _ => "common",
            };
            made.entry(name)
                .or_default()
                .insert(0, w.post(to.app, &Post { event_type: name, ..Post::to(&[to]) }).await);
            w.later(Duration::from_secs(90));
        }
    }
    made
}

/// All of an event type, from page to page, and how many pages it took.
async fn pages(
    store: &dyn Desk,
    to: EndpointRef,
    of: &str,
    (limit, looks): (usize, usize),
    pick: Pick,
    deliveries: bool,
) -> (Vec<MessageId>, usize) {
    let (mut found, mut pages, mut range) = (Vec::new(), 0, IdRange { limit, pick, ..all() });
    loop {
        let of = only_type(of);
        let (mut ids, next) = if deliveries {
            let page = store.deliveries(to, range.clone(), None, &of, looks).await.unwrap();
            (page.items.iter().map(|d| d.meta.id).collect::<Vec<_>>(), page.next)
        } else {
            let page = store.search(to.app, range.clone(), &of, looks).await.unwrap();
            (page.items.iter().map(|m| m.meta.id).collect(), page.next)
        };
        pages += 1;
        if pick == Pick::Oldest {
            ids.reverse();
        }
        found.extend(ids);
        match next {
            None => return (found, pages),
            Some(next) if pick == Pick::Newest => range.until = next,
            Some(next) => range.from = super::world::after(next),
        }
    }
}

pub async fn what_is_rare_is_found_where_it_was_counted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let (to, elsewhere) = (at(&endpoint), at(&w.endpoint(app).await));
    let made = a_day(&mut w, to).await;
    w.roll().await;
    // The last one is not counted yet, and one of the pages looks for it among what came with it.
    let rare = &made["rare"];
    for deliveries in [true, false] {
        let (found, pages) = pages(&*w.store, to, "rare", (10, 50), Pick::Newest, deliveries).await;
        assert_eq!((&found, pages), (rare, 1), "{deliveries}");
    }
    let failed = w.store.deliveries(to, all(), Some(Standing::Failed), &only_type("rare"), FAR).await.unwrap();
    assert!(failed.items.is_empty() && failed.next.is_none());
    let nowhere = w.store.deliveries(elsewhere, all(), None, &only_type("rare"), 50).await.unwrap();
    assert!(nowhere.items.is_empty() && nowhere.next.is_none());
    let unknown = w.store.search(app, all(), &only_type("never.seen"), 50).await.unwrap();
    assert!(unknown.items.is_empty() && unknown.next.is_none());
}

pub async fn pages_of_an_event_type_hold_each_exactly_once_counted_or_not(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    let mut made = a_day(&mut w, to).await;
    w.roll().await;
    // Some that are not counted, and some of a step that ended amid the hour.
    for _ in 0..3 {
        for name in ["rare", "many"] {
            made.get_mut(name).unwrap().insert(0, w.post(to.app, &Post { event_type: name, ..Post::to(&[to]) }).await);
        }
    }
    for name in ["rare", "many", "common"] {
        for bounds in [(1, FAR), (3, 2), (7, 5), (100, 30), (FAR, FAR)] {
            for deliveries in [true, false] {
                let (found, _) = pages(&*w.store, to, name, bounds, Pick::Newest, deliveries).await;
                assert!(found == made[name], "{name}, {bounds:?}, {deliveries}");
                let (mut found, _) = pages(&*w.store, to, name, bounds, Pick::Oldest, deliveries).await;
                found.reverse();
                assert!(found == made[name], "{name}, {bounds:?}, {deliveries}, oldest first");
            }
        }
    }
}

pub async fn counts_go_when_nobody_keeps_the_rows_of_their_hour(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    let begun = w.now;
    w.happened(to, "track.started", true, 5).await;
    let open = w.post(to.app, &Post { event_type: "rare", ..Post::to(&[to]) }).await;
    w.later(MINUTE * 60 * 24 * 3);
    w.happened(to, "track.started", true, 5).await;
    w.later(MINUTE * 5);
    w.roll().await;
    let purge = w.nothing_old();
    w.store.purge(purge).await.unwrap();
    assert_eq!(w.hours(to, None).await.len(), 2);
    let mut purge = w.nothing_old();
    purge.rows_before = begun.plus(MINUTE * 60 * 24);
    w.store.purge(purge).await.unwrap();
    for of in [None, Some(event_type("track.started"))] {
        let left = w.hours(to, of.as_ref()).await;
        assert_eq!(left.keys().copied().collect::<Vec<_>>(), [hour_of(w.now.minus(MINUTE * 5))]);
    }
    let found = w.store.search(to.app, all(), &only_type("rare"), FAR).await.unwrap();
    assert_eq!(
        found.items.iter().map(|m| m.meta.id).collect::<Vec<_>>(),
        [open],
        "what is kept beyond its time is found"
    );
}
