//! Messages, attempts, and kept answers.

use super::{
    Fixture,
    world::{Post, World, after, all, at, event_type, only},
};
use crate::{Answer, AttemptFilter, AttemptsOf, DeliveryFilter, MessageFilter, Settle, Stats, StoreError};
use bytes::Bytes;
use domain::{
    AppKey, AttemptStatus, Channel, Confines, Cursor, DeliveryRef, EndpointRef, FailureReason, IdOrUid, IdRange, Ksuid,
    MessageId, Order, PageQuery, Pick, Tag, Trigger,
};
use std::time::Duration;

fn whole() -> PageQuery<Ksuid> {
    PageQuery { limit: 1000, cursor: None, order: Order::Ascending }
}

async fn listed(w: &World, app: AppKey, range: IdRange, filter: &MessageFilter) -> Vec<MessageId> {
    let page = w.store.messages(app, range, filter, false).await.unwrap();
    only(page).iter().map(|m| m.meta.id).collect()
}

fn of_types(names: &[&str]) -> MessageFilter {
    MessageFilter { event_types: Some(names.iter().map(|n| event_type(n)).collect()), ..MessageFilter::default() }
}

fn within(names: &[&str]) -> MessageFilter {
    let channels = names.iter().map(|n| Channel::new(n).unwrap()).collect();
    MessageFilter { within: Some(Confines::to(channels).unwrap()), ..MessageFilter::default() }
}

fn with_channel(name: &str) -> MessageFilter {
    MessageFilter { channel: Some(Channel::new(name).unwrap()), ..MessageFilter::default() }
}

pub async fn a_message_reads_back_as_it_came_in(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let post = Post {
        event_id: Some("event-1"),
        channels: &["course:45", "a+b"],
        tags: &[r"a\b#c", "course/45"],
        order_key: Some("k:1"),
        payload: "{ \"b\": 1e3, \"a\": \"\\u00e9\u{e9}\" }\n",
        ..Post::default()
    };
    let accept = w.new_accept(app, &post);
    let (meta, payload) = (accept.message.meta.clone(), accept.message.payload.clone());
    w.store.accept(vec![accept]).await.unwrap();
    for which in [IdOrUid::Id(meta.id), IdOrUid::Uid("event-1".into())] {
        let with = w.store.message(app, &which, true).await.unwrap().unwrap();
        assert_eq!((&with.meta, with.payload.as_ref()), (&meta, Some(&payload)));
        let without = w.store.message(app, &which, false).await.unwrap().unwrap();
        assert_eq!((without.meta, without.payload), (meta.clone(), None));
    }
    let listed = only(w.store.messages(app, all(), &MessageFilter::default(), true).await.unwrap());
    assert_eq!((&listed[0].meta, listed[0].payload.as_ref()), (&meta, Some(&payload)));
    let listed = only(w.store.messages(app, all(), &MessageFilter::default(), false).await.unwrap());
    assert_eq!((&listed[0].meta, listed[0].payload.as_ref()), (&meta, None));
    assert_eq!(meta.id.0.timestamp().as_seconds(), meta.created_at.as_seconds());
}

pub async fn a_message_is_found_below_its_own_application_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, other) = (w.application().await.key, w.application().await.key);
    let id = w.post(app, &Post { event_id: Some("e"), ..Post::default() }).await;
    for which in [IdOrUid::Id(id), IdOrUid::Uid("e".into())] {
        assert!(w.store.message(other, &which, true).await.unwrap().is_none());
    }
    assert!(listed(&w, other, all(), &MessageFilter::default()).await.is_empty());
    assert!(matches!(w.store.expunge_payload(other, id).await, Err(StoreError::NotFound)));
    assert!(w.payload_of(app, id).await.is_some());
}

pub async fn an_id_that_differs_in_its_last_byte_only_is_another_id(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    let attempt = w.tried(to, id, 204, Settle::Delivered).await;
    let (near, near_attempt) = (MessageId(after(id.0)), domain::AttemptId(after(attempt.0)));
    assert!(w.store.message(app, &IdOrUid::Id(near), true).await.unwrap().is_none());
    assert!(matches!(w.store.expunge_payload(app, near).await, Err(StoreError::NotFound)));
    assert!(w.answers_of(app, near).await.is_empty());
    assert!(w.store.attempt(app, id, near_attempt).await.unwrap().is_none());
    assert!(w.store.attempt(app, near, attempt).await.unwrap().is_none());
    assert!(matches!(w.store.expunge_attempt(app, id, near_attempt).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.expunge_attempt(app, near, attempt).await, Err(StoreError::NotFound)));
    assert!(w.store.attempted_destinations(app, near, whole()).await.unwrap().items.is_empty());
    assert!(w.store.attempt(app, id, attempt).await.unwrap().is_some());
}

pub async fn a_range_holds_its_beginning_but_not_its_end_to_the_last_byte(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let message = w.post_to(to).await;
    let attempt = w.tried(to, message, 500, Settle::Failed).await;
    for pick in [Pick::Newest, Pick::Oldest] {
        for (id, is_message) in [(message.0, true), (attempt.0, false)] {
            let cases = [
                (id, after(id), 1),
                (id, Ksuid::MAX, 1),
                (Ksuid::MIN, after(id), 1),
                (Ksuid::MIN, id, 0),
                (after(id), Ksuid::MAX, 0),
                (id, id, 0),
                (after(id), id, 0),
            ];
            for (from, until, expected) in cases {
                let range = IdRange { from, until, pick, limit: 10 };
                let found = if is_message {
                    let tried =
                        w.store.attempted_messages(to, range.clone(), &Default::default(), false).await.unwrap();
                    let found = listed(&w, app, range, &MessageFilter::default()).await.len();
                    assert_eq!(only(tried).len(), found);
                    found
                } else {
                    let stats = w.store.endpoint_stats(to, from, until).await.unwrap();
                    let of = AttemptsOf::Message(app, message);
                    let by_message = w.store.attempts(of, range.clone(), &Default::default(), true).await.unwrap();
                    let of = AttemptsOf::Endpoint(to);
                    let found = only(w.store.attempts(of, range, &Default::default(), true).await.unwrap()).len();
                    assert_eq!((only(by_message).len(), stats), (found, Stats { success: 0, fail: found as u64 }));
                    found
                };
                assert_eq!(found, expected, "{from:?}..{until:?}");
            }
        }
    }
}

pub async fn a_page_of_a_range_holds_the_end_that_was_picked_newest_first(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(w.post(app, &Post::default()).await);
    }
    let page = async |pick, limit| {
        let range = IdRange { from: ids[0].0, until: after(ids[4].0), pick, limit };
        let page = w.store.messages(app, range, &MessageFilter::default(), false).await.unwrap();
        let place = |m: &domain::Message| ids.iter().position(|id| *id == m.meta.id).unwrap();
        (page.items.iter().map(place).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(Pick::Newest, 2).await, (vec![4, 3], true));
    assert_eq!(page(Pick::Oldest, 2).await, (vec![1, 0], true));
    assert_eq!(page(Pick::Newest, 5).await, (vec![4, 3, 2, 1, 0], false));
    assert_eq!(page(Pick::Oldest, 5).await, (vec![4, 3, 2, 1, 0], false));
    assert_eq!(page(Pick::Oldest, 0).await, (vec![], true));
}

pub async fn messages_are_filtered_by_type_and_channel(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let none = w.post(app, &Post { event_type: "a", ..Post::default() }).await;
    let one = w.post(app, &Post { event_type: "a.b", channels: &["course:45"], ..Post::default() }).await;
    let two = w.post(app, &Post { event_type: "b", channels: &["course:4", "x"], ..Post::default() }).await;
    let with = async |filter: &MessageFilter| listed(&w, app, all(), filter).await;
    assert_eq!(with(&of_types(&["a"])).await, [none]);
    assert_eq!(with(&of_types(&["a.b", "b", "zz"])).await, [two, one]);
    assert_eq!(with(&of_types(&[])).await, []);
    assert_eq!(with(&with_channel("course:4")).await, [two]);
    assert_eq!(with(&with_channel("course")).await, []);
    assert_eq!(with(&with_channel("x")).await, [two]);
    let both = MessageFilter { channel: with_channel("x").channel, ..of_types(&["a.b"]) };
    assert_eq!(with(&both).await, []);
    assert_eq!(with(&within(&["course:45"])).await, [one]);
    assert_eq!(with(&within(&["course:45", "x", "y"])).await, [two, one]);
    assert_eq!(with(&within(&["course", "y"])).await, []);
    let both = MessageFilter { channel: with_channel("x").channel, ..within(&["course:45"]) };
    assert_eq!(with(&both).await, []);
}

fn with_tag(name: &str) -> MessageFilter {
    MessageFilter { tag: Some(Tag::new(name).unwrap()), ..Default::default() }
}

pub async fn messages_and_what_became_of_them_are_found_by_tag(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let mut tagged = Vec::new();
    for n in 0..4 {
        let both: &[&str] = if n == 2 { &["spring", "spring/2"] } else { &["spring"] };
        let post = Post { tags: both, event_type: if n == 3 { "b" } else { "a" }, ..Post::to(&[to]) };
        tagged.push(w.post(app, &post).await);
        w.post(app, &Post { tags: &["spring/2"], ..Post::to(&[to]) }).await;
        w.post(app, &Post::to(&[to])).await;
    }
    let newest = |ids: &[MessageId]| ids.iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(listed(&w, app, all(), &with_tag("spring")).await, newest(&tagged));
    let both = MessageFilter { tag: with_tag("spring").tag, ..of_types(&["b"]) };
    assert_eq!(listed(&w, app, all(), &both).await, [tagged[3]]);
    assert_eq!(listed(&w, app, all(), &with_tag("sprin")).await, []);
    let (other, _) = w.lane().await;
    assert_eq!(listed(&w, other, all(), &with_tag("spring")).await, []);
    // In pages, from either end.
    for (pick, expected) in [(Pick::Newest, [tagged[3], tagged[2]]), (Pick::Oldest, [tagged[1], tagged[0]])] {
        let range = IdRange { pick, limit: 2, ..all() };
        let page = w.store.messages(app, range.clone(), &with_tag("spring"), false).await.unwrap();
        assert_eq!((page.items.iter().map(|m| m.meta.id).collect::<Vec<_>>(), page.more), (expected.to_vec(), true));
        let found = w.store.search(app, range.clone(), &with_tag("spring"), 100).await.unwrap();
        assert_eq!(found.items.iter().map(|m| m.meta.id).collect::<Vec<_>>(), expected);
        let found = w.store.deliveries(to, range, None, &with_tag("spring"), 100).await.unwrap();
        assert_eq!(found.items.iter().map(|d| d.meta.id).collect::<Vec<_>>(), expected);
    }
    let behind = IdRange { until: tagged[2].0, ..all() };
    assert_eq!(listed(&w, app, behind, &with_tag("spring")).await, [tagged[1], tagged[0]]);
    // Attempts and attempted messages.
    for id in &tagged {
        w.tried(to, *id, 200, Settle::Delivered).await;
    }
    let like = AttemptFilter { messages: with_tag("spring/2"), ..AttemptFilter::default() };
    let of = AttemptsOf::Endpoint(to);
    let attempts = only(w.store.attempts(of, all(), &like, false).await.unwrap());
    assert_eq!(attempts.iter().map(|a| a.message).collect::<Vec<_>>(), [tagged[2]]);
    let like = DeliveryFilter { messages: with_tag("spring"), ..DeliveryFilter::default() };
    let attempted = only(w.store.attempted_messages(to, all(), &like, false).await.unwrap());
    assert_eq!(attempted.iter().map(|m| m.message.meta.id).collect::<Vec<_>>(), newest(&tagged));
}

pub async fn items_that_do_not_fit_do_not_count_as_a_further_page(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    for event_type in ["a", "b", "a", "b", "a"] {
        w.post(app, &Post { event_type, ..Post::default() }).await;
    }
    for pick in [Pick::Newest, Pick::Oldest] {
        let page = async |limit| {
            let range = IdRange { pick, limit, ..all() };
            let page = w.store.messages(app, range, &of_types(&["a"]), false).await.unwrap();
            (page.items.len(), page.more)
        };
        assert_eq!((page(2).await, page(3).await), ((2, true), (3, false)));
    }
}

pub async fn an_expunged_payload_is_gone_and_the_message_stays(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let id = w.post(app, &Post { event_id: Some("e"), ..Post::default() }).await;
    w.store.expunge_payload(app, id).await.unwrap();
    assert_eq!(w.payload_of(app, id).await, None);
    w.store.expunge_payload(app, id).await.unwrap();
    assert_eq!(listed(&w, app, all(), &MessageFilter::default()).await, [id]);
    let never = MessageId(w.id().0);
    assert!(matches!(w.store.expunge_payload(app, never).await, Err(StoreError::NotFound)));
}

pub async fn an_attempt_reads_back_as_it_was_recorded(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let message = w.post_to(to).await;
    w.claim(to).await;
    let delivery = DeliveryRef { to, message };
    let mut record = w.new_record(delivery, Some(0), Settle::Failed);
    let recorded = record.attempt.as_mut().unwrap();
    recorded.reason = Some(FailureReason::NameNotFound);
    recorded.response = "ü\u{0}\n".into();
    recorded.duration_ms = u32::MAX;
    recorded.trigger = Trigger::Manual;
    let recorded = recorded.clone();
    w.hand_in(record).await;
    let found = w.store.attempt(app, message, recorded.id).await.unwrap().unwrap();
    assert_eq!((found.id, found.message, found.endpoint), (recorded.id, message, endpoint.id));
    assert_eq!((found.url.as_str(), found.at), ("https://hooks.example.edu/in", recorded.at));
    assert_eq!((found.status, found.trigger), (AttemptStatus::Fail, Trigger::Manual));
    assert_eq!((found.response.as_str(), found.response_status), ("ü\u{0}\n", 0));
    assert_eq!((found.duration_ms, found.reason), (u32::MAX, Some(FailureReason::NameNotFound)));
    for of in [AttemptsOf::Endpoint(to), AttemptsOf::Message(app, message)] {
        let with = only(w.store.attempts(of, all(), &Default::default(), true).await.unwrap());
        assert_eq!(with, vec![found.clone()]);
        let without = only(w.store.attempts(of, all(), &Default::default(), false).await.unwrap());
        assert_eq!(without, vec![domain::Attempt { response: String::new(), ..found.clone() }]);
    }
    let second = w.tried_by_hand(to, message, 200).await;
    let found = w.store.attempt(app, message, second).await.unwrap().unwrap();
    assert_eq!((found.status, found.reason, found.response_status), (AttemptStatus::Success, None, 200));
}

pub async fn attempts_are_found_below_their_own_application_and_message_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let message = w.post_to(to).await;
    let attempt = w.tried(to, message, 200, Settle::Delivered).await;
    let another = w.post(app, &Post::default()).await;
    let (other, _) = w.lane().await;
    assert!(w.store.attempt(other, message, attempt).await.unwrap().is_none());
    assert!(w.store.attempt(app, another, attempt).await.unwrap().is_none());
    assert!(matches!(w.store.expunge_attempt(other, message, attempt).await, Err(StoreError::NotFound)));
    assert!(matches!(w.store.expunge_attempt(app, another, attempt).await, Err(StoreError::NotFound)));
    assert!(w.answers_of(other, message).await.is_empty() && w.answers_of(app, another).await.is_empty());
    let elsewhere = EndpointRef { app: other, endpoint: endpoint.key };
    let of = AttemptsOf::Endpoint(elsewhere);
    assert!(only(w.store.attempts(of, all(), &Default::default(), true).await.unwrap()).is_empty());
    assert!(only(w.store.attempted_messages(elsewhere, all(), &Default::default(), true).await.unwrap()).is_empty());
    assert_eq!(w.store.endpoint_stats(elsewhere, Ksuid::MIN, Ksuid::MAX).await.unwrap(), Stats::default());
    assert!(w.store.attempted_destinations(other, message, whole()).await.unwrap().items.is_empty());
}

pub async fn attempts_are_filtered_by_status_code_message_and_endpoint(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, first) = w.lane().await;
    let second = w.endpoint(app).await;
    let (one, two) = (at(&first), at(&second));
    let a = w.post(app, &Post { event_type: "a", channels: &["x"], to: vec![one, two], ..Post::default() }).await;
    let b = w.post(app, &Post { event_type: "b", to: vec![one], ..Post::default() }).await;
    for (to, message, status) in [(one, a, 500), (one, a, 0), (one, a, 299), (two, a, 204), (one, b, 404)] {
        w.tried(to, message, status, Settle::RetryAt(w.now)).await;
    }
    let codes = async |of, filter: AttemptFilter| {
        let page = w.store.attempts(of, all(), &filter, false).await.unwrap();
        only(page).iter().map(|a| a.response_status).collect::<Vec<_>>()
    };
    let of_endpoint = AttemptsOf::Endpoint(one);
    assert_eq!(codes(of_endpoint, AttemptFilter::default()).await, [404, 299, 0, 500]);
    let status = |status| AttemptFilter { status: Some(status), ..AttemptFilter::default() };
    assert_eq!(codes(of_endpoint, status(AttemptStatus::Success)).await, [299]);
    assert_eq!(codes(of_endpoint, status(AttemptStatus::Fail)).await, [404, 0, 500]);
    for never in [AttemptStatus::Pending, AttemptStatus::Sending, AttemptStatus::Canceled] {
        assert_eq!(codes(of_endpoint, status(never)).await, [0; 0]);
    }
    let class = |class| AttemptFilter { status_code_class: Some(class), ..AttemptFilter::default() };
    assert_eq!(codes(of_endpoint, class(0)).await, [0]);
    assert_eq!(codes(of_endpoint, class(200)).await, [299]);
    assert_eq!(codes(of_endpoint, class(400)).await, [404]);
    assert_eq!(codes(of_endpoint, class(300)).await, [0; 0]);
    let messages = |messages| AttemptFilter { messages, ..AttemptFilter::default() };
    assert_eq!(codes(of_endpoint, messages(of_types(&["b"]))).await, [404]);
    assert_eq!(codes(of_endpoint, messages(with_channel("x"))).await, [299, 0, 500]);
    assert_eq!(codes(of_endpoint, messages(within(&["x", "y"]))).await, [299, 0, 500]);
    assert_eq!(codes(of_endpoint, messages(within(&["y"]))).await, [0; 0]);
    let of_message = AttemptsOf::Message(app, a);
    assert_eq!(codes(of_message, AttemptFilter::default()).await, [204, 299, 0, 500]);
    let endpoint = |key| AttemptFilter { endpoints: Some([key].into()), ..AttemptFilter::default() };
    assert_eq!(codes(of_message, endpoint(second.key)).await, [204]);
    assert_eq!(codes(of_message, endpoint(first.key)).await, [299, 0, 500]);
    let both = AttemptFilter { endpoints: Some([first.key, second.key].into()), ..AttemptFilter::default() };
    assert_eq!(codes(of_message, both).await, [204, 299, 0, 500]);
    let none = AttemptFilter { endpoints: Some([].into()), ..AttemptFilter::default() };
    assert_eq!(codes(of_message, none).await, [0; 0]);
    assert_eq!(codes(of_message, messages(of_types(&["b"]))).await, [0; 0]);
}

pub async fn an_expunged_attempt_keeps_all_but_its_answer(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let message = w.post_to(at(&endpoint)).await;
    let attempt = w.tried(at(&endpoint), message, 500, Settle::Failed).await;
    let before = w.store.attempt(app, message, attempt).await.unwrap().unwrap();
    w.store.expunge_attempt(app, message, attempt).await.unwrap();
    let found = w.store.attempt(app, message, attempt).await.unwrap().unwrap();
    assert_eq!(found, domain::Attempt { response: "EXPUNGED".into(), ..before });
}

pub async fn attempts_to_a_deleted_endpoint_stay_readable(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let message = w.post_to(at(&endpoint)).await;
    w.tried(at(&endpoint), message, 500, Settle::Failed).await;
    w.store.delete_endpoint(app, endpoint.key, w.now).await.unwrap();
    assert_eq!(w.answers_of(app, message).await, [(endpoint.id, 500)]);
    let page = w.store.attempted_destinations(app, message, whole()).await.unwrap();
    assert_eq!(only(page)[0].endpoint.id, endpoint.id);
}

/// Messages to one endpoint in every state that an attempted delivery can be in, and some that were never tried.
async fn in_every_state(w: &mut World, to: EndpointRef) -> Vec<(&'static str, MessageId)> {
    let due = w.now.plus(Duration::from_secs(300));
    let mut named = Vec::new();
    for name in ["delivered", "failed", "retry", "cancelled", "late success", "spoilt", "by hand", "on the wire"] {
        named.push((name, w.post_to(to).await));
    }
    for (name, id) in named.clone() {
        match name {
            "delivered" => drop(w.tried(to, id, 200, Settle::Delivered).await),
            "failed" => drop(w.tried(to, id, 500, Settle::Failed).await),
            "retry" => drop(w.tried(to, id, 500, Settle::RetryAt(due)).await),
            "cancelled" => drop(w.tried(to, id, 500, Settle::Cancelled).await),
            "late success" => {
                w.tried(to, id, 500, Settle::Failed).await;
                w.tried_by_hand(to, id, 201).await;
            }
            "spoilt" => {
                w.tried(to, id, 200, Settle::Delivered).await;
                w.tried_by_hand(to, id, 503).await;
            }
            "by hand" => {
                w.tried(to, id, 500, Settle::Failed).await;
                w.store.resend(DeliveryRef { to, message: id }, w.now).await.unwrap();
            }
            _ => {
                w.tried(to, id, 500, Settle::RetryAt(w.now)).await;
            }
        }
    }
    // Other moves lease all that waits; this settles what is open and what is not.
    let retry = named[2].1;
    w.store.release(named.iter().map(|n| DeliveryRef { to, message: n.1 }).collect(), w.now).await.unwrap();
    let leased = w.claim(to).await;
    for l in leased.iter().filter(|l| l.delivery.message == retry) {
        w.settle(l.delivery, 500, Settle::RetryAt(due)).await;
    }
    let by_hand = DeliveryRef { to, message: named[6].1 };
    w.store.release(vec![by_hand], w.now).await.unwrap();
    named.push(("never tried", w.post_to(to).await));
    named
}

pub async fn an_attempted_message_has_the_status_of_its_delivery(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let named = in_every_state(&mut w, to).await;
    let due = w.now.plus(Duration::from_secs(300));
    let page = w.store.attempted_messages(to, all(), &DeliveryFilter::default(), true).await.unwrap();
    let found = only(page);
    let name = |id: MessageId| named.iter().find(|n| n.1 == id).unwrap().0;
    let shown: Vec<_> = found.iter().rev().map(|m| (name(m.message.meta.id), m.latest, m.next_attempt)).collect();
    use AttemptStatus::{Fail, Sending, Success};
    assert_eq!(
        shown,
        [
            ("delivered", Success, None),
            ("failed", Fail, None),
            ("retry", Sending, Some(due)),
            ("cancelled", Fail, None),
            ("late success", Success, None),
            ("spoilt", Fail, None),
            ("by hand", Sending, Some(w.now)),
            ("on the wire", Sending, None),
        ]
    );
    assert!(found.iter().all(|m| m.message.payload.is_some()));
    let filtered = async |status| {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let page = w.store.attempted_messages(to, all(), &filter, false).await.unwrap();
        only(page).iter().rev().map(|m| name(m.message.meta.id)).collect::<Vec<_>>()
    };
    assert_eq!(filtered(Success).await, ["delivered", "late success", "spoilt"]);
    assert_eq!(filtered(Fail).await, ["failed", "cancelled"]);
    assert_eq!(filtered(Sending).await, ["retry", "by hand", "on the wire"]);
    assert!(filtered(AttemptStatus::Pending).await.is_empty());
    assert!(filtered(AttemptStatus::Canceled).await.is_empty());
}

pub async fn attempted_messages_are_filtered_like_messages_and_by_endpoint(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, first) = w.lane().await;
    let second = w.endpoint(app).await;
    let (one, two) = (at(&first), at(&second));
    let a = w.post(app, &Post { event_type: "a", channels: &["x"], to: vec![one, two], ..Post::default() }).await;
    let b = w.post(app, &Post { event_type: "b", to: vec![one], ..Post::default() }).await;
    w.tried(one, a, 200, Settle::Delivered).await;
    w.tried(one, b, 200, Settle::Delivered).await;
    let ids = async |to, messages| {
        let filter = DeliveryFilter { status: None, messages };
        let page = w.store.attempted_messages(to, all(), &filter, false).await.unwrap();
        only(page).iter().map(|m| m.message.meta.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(one, MessageFilter::default()).await, [b, a]);
    assert_eq!(ids(one, of_types(&["a"])).await, [a]);
    assert_eq!(ids(one, with_channel("x")).await, [a]);
    assert_eq!(ids(two, MessageFilter::default()).await, []);
}

pub async fn a_message_that_was_only_tried_by_hand_is_attempted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let message = w.post(app, &Post::default()).await;
    assert!(only(w.store.attempted_messages(to, all(), &DeliveryFilter::default(), false).await.unwrap()).is_empty());
    w.tried_by_hand(to, message, 500).await;
    let found = only(w.store.attempted_messages(to, all(), &DeliveryFilter::default(), false).await.unwrap());
    assert_eq!((found.len(), found[0].latest, found[0].next_attempt), (1, AttemptStatus::Fail, None));
}

pub async fn attempted_destinations_are_the_endpoints_with_an_attempt_by_id(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut endpoints = Vec::new();
    for _ in 0..4 {
        endpoints.push(w.endpoint(app).await);
    }
    let to: Vec<_> = endpoints.iter().map(at).collect();
    let message = w.post(app, &Post::to(&to)).await;
    let due = w.now.plus(Duration::from_secs(60));
    w.tried(to[3], message, 500, Settle::RetryAt(due)).await;
    w.tried(to[1], message, 200, Settle::Delivered).await;
    w.tried(to[0], message, 500, Settle::Failed).await;
    w.tried_by_hand(to[0], message, 404).await;
    let found = only(w.store.attempted_destinations(app, message, whole()).await.unwrap());
    let shown: Vec<_> = found.iter().map(|d| (d.endpoint.clone(), d.latest, d.next_attempt)).collect();
    let expected = [
        (endpoints[0].clone(), AttemptStatus::Fail, None),
        (endpoints[1].clone(), AttemptStatus::Success, None),
        (endpoints[3].clone(), AttemptStatus::Fail, Some(due)),
    ];
    assert_eq!(shown, expected);
    let page = async |limit, cursor, order| {
        let page = w.store.attempted_destinations(app, message, PageQuery { limit, cursor, order }).await.unwrap();
        let place = |d: &crate::AttemptedDestination| endpoints.iter().position(|e| e.id == d.endpoint.id).unwrap();
        (page.items.iter().map(place).collect::<Vec<_>>(), page.more)
    };
    let id = |n: usize| endpoints[n].id.0;
    assert_eq!(page(2, None, Order::Ascending).await, (vec![0, 1], true));
    assert_eq!(page(2, Some(Cursor::After(id(1))), Order::Ascending).await, (vec![3], false));
    assert_eq!(page(1, Some(Cursor::Before(id(3))), Order::Ascending).await, (vec![1], true));
    assert_eq!(page(2, Some(Cursor::Before(id(3))), Order::Ascending).await, (vec![0, 1], false));
    assert_eq!(page(2, None, Order::Descending).await, (vec![3, 1], true));
}

pub async fn attempts_are_counted_in_their_window(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let other = w.endpoint(app).await;
    let message = w.post(app, &Post::to(&[to, at(&other)])).await;
    w.tried(at(&other), message, 200, Settle::Delivered).await;
    let mut starts = Vec::new();
    for status in [500, 200, 404, 200] {
        w.later(Duration::from_secs(60));
        starts.push(Ksuid::lowest_at(w.now));
        w.tried(to, message, status, Settle::RetryAt(w.now)).await;
    }
    let count = async |from, until| {
        let stats = w.store.endpoint_stats(to, from, until).await.unwrap();
        (stats.success, stats.fail)
    };
    assert_eq!(count(Ksuid::MIN, Ksuid::MAX).await, (2, 2));
    assert_eq!(count(starts[1], Ksuid::MAX).await, (2, 1));
    assert_eq!(count(starts[1], starts[3]).await, (1, 1));
    assert_eq!(count(starts[3], starts[1]).await, (0, 0));
}

pub async fn an_answer_is_kept_for_its_hash_and_its_time(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let hash = [7; 32];
    assert_eq!(w.store.kept_answer(hash, w.now).await.unwrap(), None);
    let first = Answer { status: 201, body: Bytes::from_static(b"{\"id\": 1}\xff") };
    w.store.keep_answer(hash, first.clone(), w.now).await.unwrap();
    assert_eq!(w.store.kept_answer(hash, w.now).await.unwrap(), Some(first));
    assert_eq!(w.store.kept_answer([8; 32], w.now).await.unwrap(), None);
    w.later(Duration::from_micros(1));
    assert_eq!(w.store.kept_answer(hash, w.now).await.unwrap(), None);
    let second = Answer { status: 204, body: Bytes::new() };
    w.store.keep_answer(hash, second.clone(), w.now).await.unwrap();
    let w = w.reopen(fixture).await;
    assert_eq!(w.store.kept_answer(hash, w.now).await.unwrap(), Some(second));
}

pub async fn a_kept_answer_is_no_message_and_a_message_no_kept_answer(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    w.store.keep_answer([1; 32], Answer { status: 200, body: Bytes::new() }, w.now).await.unwrap();
    w.post(app, &Post { hash: Some([1; 32]), ..Post::default() }).await;
    assert_eq!(w.store.kept_answer([1; 32], domain::Timestamp::default()).await.unwrap(), None);
}
