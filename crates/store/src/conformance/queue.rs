//! Accepting, leasing, recording, manual tries, and what the next run finds.

use super::{
    Fixture,
    upkeep::new_task,
    world::{Born, Post, World, all, at, only},
};
use crate::{Accepted, Settle, StoreError};
use domain::{AppKey, DeliveryRef, IdOrUid, Ksuid, MessageId, TaskKind, Timestamp, Trigger};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn open(w: &World) -> u64 {
    w.store.open_deliveries().await.unwrap().0
}

pub(super) async fn is_there(w: &World, app: AppKey, id: MessageId) -> bool {
    w.store.message(app, &IdOrUid::Id(id), false).await.unwrap().is_some()
}

// Accepting.

pub async fn a_repeated_hash_gets_the_first_message_and_sends_nothing_again(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let mut post = Post { hash: Some([5; 32]), repeat_since: w.now, ..Post::to(&[at(&endpoint)]) };
    let first = w.post(app, &post).await;
    for _ in 0..2 {
        let (second, answer) = w.try_post(app, &post).await;
        let Accepted::Repeated(message) = answer else { panic!("{answer:?}") };
        assert_eq!((message.meta.id, &message.payload.unwrap()[..]), (first, post.payload.as_bytes()));
        assert!(!is_there(&w, app, second).await);
    }
    // The body is not part of the hash: whoever repeats it gets the first answer.
    post.payload = "{}";
    assert!(matches!(w.try_post(app, &post).await.1, Accepted::Repeated(_)));
    assert_eq!(open(&w).await, 1);
    let mut w = w.reopen(fixture).await;
    assert!(matches!(w.try_post(app, &post).await.1, Accepted::Repeated(_)));
}

pub async fn a_hash_counts_for_its_time_only(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let mut post = Post { hash: Some([5; 32]), repeat_since: w.now, ..Post::default() };
    w.post(app, &post).await;
    w.later(MINUTE);
    post.repeat_since = w.now;
    let second = w.post(app, &post).await;
    w.later(MINUTE);
    // From now on it is the second one that is repeated.
    let (_, answer) = w.try_post(app, &post).await;
    assert!(matches!(answer, Accepted::Repeated(m) if m.meta.id == second));
}

pub async fn a_repeated_event_id_is_the_same_event_or_a_conflict(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let post = Post { event_id: Some("e"), ..Post::to(&[at(&endpoint)]) };
    let first = w.post(app, &post).await;
    let answer = w.try_post(app, &post).await.1;
    assert!(matches!(answer, Accepted::Repeated(m) if m.meta.id == first && m.payload.is_some()));
    for other in [Post { payload: "{}", ..post.clone() }, Post { event_type: "other", ..post.clone() }] {
        let (id, answer) = w.try_post(app, &other).await;
        assert!(matches!(answer, Accepted::Conflict(of) if of == first), "{answer:?}");
        assert!(!is_there(&w, app, id).await);
    }
    assert_eq!(open(&w).await, 1);
    let elsewhere = w.application().await.key;
    w.post(elsewhere, &Post { event_id: Some("e"), ..Post::default() }).await;
    // Its event id stays taken when its payload is gone.
    w.store.expunge_payload(app, first).await.unwrap();
    assert!(matches!(w.try_post(app, &post).await.1, Accepted::Repeated(m) if m.meta.id == first));
}

pub async fn each_message_of_a_batch_is_answered_on_its_own_and_in_order(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = [at(&endpoint)];
    let with_id = |event_id, payload| Post { event_id, payload, ..Post::to(&to) };
    let posts = [
        with_id(Some("a"), "{}"),
        with_id(None, "{}"),
        with_id(Some("a"), "{}"),
        with_id(Some("a"), "[1]"),
        with_id(Some("b"), "{}"),
    ];
    let batch: Vec<_> = posts.iter().map(|post| w.new_accept(app, post)).collect();
    let ids: Vec<_> = batch.iter().map(|a| a.message.meta.id).collect();
    let answers = w.store.accept(batch).await.unwrap();
    assert!(matches!(
        &answers[..],
        [Accepted::New, Accepted::New, Accepted::Repeated(same), Accepted::Conflict(of), Accepted::New]
            if same.meta.id == ids[0] && *of == ids[0]
    ));
    assert_eq!(open(&w).await, 3);
    assert!(w.store.accept(Vec::new()).await.unwrap().is_empty());
}

pub async fn a_message_for_nobody_is_kept_and_leaves_nothing_open(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = w.application().await.key;
    let id = w.post(app, &Post::default()).await;
    assert!(is_there(&w, app, id).await);
    assert_eq!(w.store.open_deliveries().await.unwrap(), (0, None));
}

// Birth.

pub async fn a_delivery_born_leased_comes_out_with_its_commit_and_is_nobody_elses(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let second = w.endpoint(app).await;
    let to = [at(&endpoint), at(&second)];
    let id = w.post(app, &Post { born: Born::Leased, ..Post::to(&to) }).await;
    let commit = w.commit(|c| !c.leased.is_empty()).await;
    assert!(commit.due.is_empty() && commit.lost.is_empty());
    let handed: Vec<_> = commit.leased.iter().map(|l| (l.delivery, l.tries, l.trigger, l.ticket.is_some())).collect();
    let expected = to.map(|to| (DeliveryRef { to, message: id }, 0, Trigger::Scheduled, true));
    assert_eq!(handed, expected);
    assert_eq!(commit.leased[0].message.payload, Post::default().payload);
    assert!(w.claimed(to[0]).await.is_empty());
    assert!(w.store.backlog().await.unwrap().is_empty());
    assert_eq!(open(&w).await, 2);
    w.settle(commit.leased[0].delivery, 200, Settle::Delivered).await;
    assert_eq!(open(&w).await, 1);
}

pub async fn a_delivery_born_waiting_is_reported_due_and_can_be_claimed(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post(app, &Post { channels: &["x"], ..Post::to(&[to]) }).await;
    let created_at = w.store.message(app, &IdOrUid::Id(id), false).await.unwrap().unwrap().meta.created_at;
    let commit = w.commit(|c| !c.due.is_empty()).await;
    assert_eq!((commit.due, commit.leased.len()), (vec![(to, created_at)], 0));
    assert_eq!(w.store.backlog().await.unwrap(), [(to, created_at)]);
    assert_eq!(w.store.open_deliveries().await.unwrap(), (1, Some(created_at)));
    let claimed = w.claim(to).await;
    let leased = &claimed[0];
    assert_eq!(
        (leased.delivery, leased.tries, leased.trigger),
        (DeliveryRef { to, message: id }, 0, Trigger::Scheduled)
    );
    assert_eq!(leased.message.payload, Post::default().payload);
    assert_eq!(leased.message.meta.channels.len(), 1);
    assert!(w.claimed(to).await.is_empty());
    assert!(w.store.backlog().await.unwrap().is_empty());
}

pub async fn messages_of_one_order_key_leave_one_after_the_other(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let mut ids = Vec::new();
    for key in ["a", "a", "b", "a"] {
        ids.push(w.post(app, &Post::in_order(to, key)).await);
    }
    assert_eq!(open(&w).await, 4);
    let delivery = |message| DeliveryRef { to, message };
    assert_eq!(w.claimed(to).await, [ids[0], ids[2]]);
    // A try that will be repeated is not settled: nothing overtakes it.
    let due = w.now.plus(MINUTE);
    w.settle_in_order(delivery(ids[0]), "a", 500, Settle::RetryAt(due)).await;
    assert!(w.claimed(to).await.is_empty());
    w.later(MINUTE);
    assert_eq!(w.claimed(to).await, [ids[0]]);
    w.settle_in_order(delivery(ids[0]), "a", 500, Settle::Failed).await;
    let next = w.commit(|c| !c.due.is_empty() && c.due[0].1 >= due).await;
    assert_eq!(next.due[0].0, to);
    assert_eq!(w.claimed(to).await, [ids[1]]);
    w.settle_in_order(delivery(ids[1]), "a", 200, Settle::Delivered).await;
    assert_eq!(w.claimed(to).await, [ids[3]]);
    w.settle_in_order(delivery(ids[3]), "a", 200, Settle::Delivered).await;
    w.settle_in_order(delivery(ids[2]), "b", 200, Settle::Delivered).await;
    assert_eq!(open(&w).await, 0);
    // With all settled, the next one need not wait.
    let last = w.post(app, &Post::in_order(to, "a")).await;
    assert_eq!(w.claimed(to).await, [last]);
}

pub async fn order_is_kept_per_endpoint(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let second = w.endpoint(app).await;
    let (one, two) = (at(&endpoint), at(&second));
    let first = w.post(app, &Post::in_order(one, "a")).await;
    let other = w.post(app, &Post::in_order(two, "a")).await;
    assert_eq!((w.claimed(one).await, w.claimed(two).await), (vec![first], vec![other]));
}

// Leasing.

pub async fn first_tries_leave_before_retries_and_each_by_due_time(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let (a, b) = (w.post_to(to).await, w.post_to(to).await);
    w.tried(to, a, 500, Settle::RetryAt(w.now.plus(2 * MINUTE))).await;
    w.settle(DeliveryRef { to, message: b }, 500, Settle::RetryAt(w.now.plus(MINUTE))).await;
    w.later(2 * MINUTE);
    let (c, d) = (w.post_to(to).await, w.post_to(to).await);
    w.later(MINUTE);
    let fresh = w.store.claim(to, w.now, 10, usize::MAX, true).await.unwrap();
    assert_eq!(fresh.deliveries.iter().map(|l| l.delivery.message).collect::<Vec<_>>(), [c, d]);
    assert!(fresh.next_due.is_some_and(|due| due <= w.now));
    w.store.release(vec![DeliveryRef { to, message: d }, DeliveryRef { to, message: c }], w.now).await.unwrap();
    let all = w.claim(to).await;
    assert_eq!(all.iter().map(|l| l.delivery.message).collect::<Vec<_>>(), [c, d, b, a]);
    assert_eq!(all.iter().map(|l| l.tries).collect::<Vec<_>>(), [0, 0, 1, 1]);
}

pub async fn a_claim_takes_what_is_due_up_to_its_limits_and_says_what_comes_next(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(w.post(app, &Post { payload: r#"{"ten": 10}"#, ..Post::to(&[to]) }).await);
    }
    let claim = async |w: &World, limit, bytes| {
        let claimed = w.store.claim(to, w.now, limit, bytes, false).await.unwrap();
        (claimed.deliveries.iter().map(|l| l.delivery.message).collect::<Vec<_>>(), claimed.next_due)
    };
    let (two, next) = claim(&w, 2, usize::MAX).await;
    assert_eq!(two, ids[..2]);
    assert!(next.is_some_and(|due| due <= w.now));
    // The limit of bytes may be passed by one payload, but not by many; and one always leaves.
    let (few, _) = claim(&w, 10, 1).await;
    assert!(!few.is_empty() && few.len() < 3);
    let (rest, next) = claim(&w, 10, usize::MAX).await;
    assert_eq!((few.len() + rest.len(), next), (3, None));
    let due = w.now.plus(MINUTE);
    w.settle(DeliveryRef { to, message: ids[0] }, 500, Settle::RetryAt(due)).await;
    assert_eq!(claim(&w, 10, usize::MAX).await, (vec![], Some(due)));
    w.later(MINUTE);
    assert_eq!(claim(&w, 10, usize::MAX).await, (vec![ids[0]], None));
    assert_eq!(claim(&w, 0, usize::MAX).await.0, []);
}

pub async fn what_is_released_is_due_again_as_it_was(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    w.tried(to, id, 500, Settle::RetryAt(w.now)).await;
    w.claim(to).await;
    w.store.release(vec![DeliveryRef { to, message: id }], w.now).await.unwrap();
    let claimed = w.claim(to).await;
    assert_eq!((claimed.len(), claimed[0].tries, claimed[0].trigger), (1, 1, Trigger::Scheduled));
    // What is not leased is not released.
    w.settle(claimed[0].delivery, 200, Settle::Delivered).await;
    w.store.release(vec![claimed[0].delivery], w.now).await.unwrap();
    assert!(w.claimed(to).await.is_empty());
}

pub async fn a_delivery_whose_payload_is_gone_is_not_leased_and_not_open(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let (gone, there) = (w.post_to(to).await, w.post_to(to).await);
    w.store.expunge_payload(app, gone).await.unwrap();
    assert_eq!(w.claimed(to).await, [there]);
    assert_eq!(open(&w).await, 1);
}

pub async fn the_backlog_names_each_endpoint_with_the_first_that_is_due(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, first) = w.lane().await;
    let (second, third) = (w.endpoint(app).await, w.endpoint(app).await);
    let (one, two, three) = (at(&first), at(&second), at(&third));
    let due = w.now.plus(MINUTE);
    let late = w.post_to(one).await;
    w.tried(one, late, 500, Settle::RetryAt(due)).await;
    let settled = w.post_to(three).await;
    w.tried(three, settled, 200, Settle::Delivered).await;
    w.later(2 * MINUTE);
    let fresh = w.post_to(two).await;
    w.post_to(two).await;
    let mut backlog = w.store.backlog().await.unwrap();
    backlog.sort();
    let created_at = w.store.message(app, &IdOrUid::Id(fresh), false).await.unwrap().unwrap().meta.created_at;
    assert_eq!(backlog, [(one, due), (two, created_at)]);
    assert_eq!(w.store.open_deliveries().await.unwrap(), (3, Some(due)));
}

// Recording.

pub async fn a_record_without_a_lease_changes_nothing_and_is_reported_lost(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    let delivery = DeliveryRef { to, message: id };
    // Never leased; given back; settled before.
    w.settle(delivery, 200, Settle::Delivered).await;
    assert_eq!(w.commit(|c| !c.lost.is_empty()).await.lost, [delivery]);
    w.claim(to).await;
    w.store.release(vec![delivery], w.now).await.unwrap();
    w.settle(delivery, 200, Settle::Delivered).await;
    assert_eq!(w.commit(|c| !c.lost.is_empty()).await.lost, [delivery]);
    assert!(w.answers_of(app, id).await.is_empty());
    w.claim(to).await;
    w.settle(delivery, 500, Settle::Failed).await;
    w.settle(delivery, 200, Settle::Delivered).await;
    assert_eq!(w.commit(|c| !c.lost.is_empty()).await.lost, [delivery]);
    assert_eq!(w.answers_of(app, id).await, [(endpoint.id, 500)]);
    assert_eq!(open(&w).await, 0);
}

pub async fn a_lease_of_the_run_before_is_lost_and_the_delivery_claimed_again(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let born = w.post(app, &Post { born: Born::Leased, ..Post::to(&[to]) }).await;
    let claimed = w.post_to(to).await;
    w.claim(to).await;
    let mut w = w.reopen(fixture).await;
    assert_eq!(w.store.backlog().await.unwrap().iter().map(|b| b.0).collect::<Vec<_>>(), [to]);
    for message in [born, claimed] {
        let delivery = DeliveryRef { to, message };
        w.settle(delivery, 200, Settle::Delivered).await;
        assert_eq!(w.commit(|c| !c.lost.is_empty()).await.lost, [delivery]);
    }
    assert_eq!(w.claimed(to).await, [born, claimed]);
    w.settle(DeliveryRef { to, message: born }, 200, Settle::Delivered).await;
    assert_eq!(w.answers_of(app, born).await, [(endpoint.id, 200)]);
    assert!(w.answers_of(app, claimed).await.is_empty());
}

pub async fn a_retry_is_due_when_the_record_says_and_counts_its_tries(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    for tries in 1..=3 {
        let leased = w.claim(to).await.pop().unwrap();
        assert_eq!(leased.tries, tries - 1);
        let due = w.now.plus(MINUTE);
        let mut record = w.new_record(leased.delivery, Some(500), Settle::RetryAt(due));
        record.tries = tries;
        w.hand_in(record).await;
        assert_eq!(w.store.backlog().await.unwrap(), [(to, due)]);
        assert!(w.claimed(to).await.is_empty());
        w.later(MINUTE);
    }
    assert_eq!(w.answers_of(app, id).await.len(), 3);
}

pub async fn a_delivery_can_be_cancelled_without_a_try(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    w.claim(to).await;
    let record = w.new_record(DeliveryRef { to, message: id }, None, Settle::Cancelled);
    w.hand_in(record).await;
    assert_eq!(open(&w).await, 0);
    assert!(w.answers_of(app, id).await.is_empty());
    assert!(only(w.store.attempted_messages(to, all(), &Default::default(), false).await.unwrap()).is_empty());
}

// Manual tries.

pub async fn a_manual_try_leaves_settled_what_was_settled_if_it_fails(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let (failed, delivered, never) = (w.post_to(to).await, w.post_to(to).await, w.post(app, &Post::default()).await);
    w.tried(to, failed, 500, Settle::Failed).await;
    w.tried(to, delivered, 200, Settle::Delivered).await;
    for id in [failed, delivered, never] {
        let before = w.answers_of(app, id).await.len();
        assert!(w.store.resend(DeliveryRef { to, message: id }, w.now).await.unwrap());
        assert_eq!(w.store.backlog().await.unwrap(), [(to, w.now)]);
        let leased = w.claim(to).await;
        assert_eq!((leased.len(), leased[0].delivery.message, leased[0].trigger), (1, id, Trigger::Manual));
        w.settle(leased[0].delivery, 500, Settle::AsPlanned).await;
        assert_eq!((open(&w).await, w.answers_of(app, id).await.len()), (0, before + 1));
    }
    let filter = |status| crate::DeliveryFilter { status: Some(status), ..Default::default() };
    let with = async |status| {
        let page = w.store.attempted_messages(to, all(), &filter(status), false).await.unwrap();
        only(page).iter().map(|m| m.message.meta.id).collect::<Vec<_>>()
    };
    assert_eq!(with(domain::AttemptStatus::Success).await, [delivered]);
    assert_eq!(with(domain::AttemptStatus::Fail).await, [never, failed]);
}

pub async fn a_planned_retry_comes_at_its_time_after_a_manual_try_that_failed(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    let due = w.now.plus(MINUTE);
    w.tried(to, id, 500, Settle::RetryAt(due)).await;
    let delivery = DeliveryRef { to, message: id };
    for _ in 0..2 {
        assert!(w.store.resend(delivery, w.now).await.unwrap());
        assert_eq!(w.claim(to).await[0].trigger, Trigger::Manual);
        w.settle(delivery, 500, Settle::AsPlanned).await;
        assert_eq!(w.store.backlog().await.unwrap(), [(to, due)]);
    }
    w.later(MINUTE);
    let leased = w.claim(to).await;
    assert_eq!((leased[0].trigger, leased[0].tries), (Trigger::Scheduled, 1));
}

pub async fn a_manual_try_that_succeeds_ends_what_was_planned(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    w.tried(to, id, 500, Settle::RetryAt(w.now.plus(MINUTE))).await;
    w.tried_by_hand(to, id, 200).await;
    assert_eq!(open(&w).await, 0);
    w.later(MINUTE);
    assert!(w.claimed(to).await.is_empty());
}

pub async fn manual_tries_asked_for_while_one_waits_are_one(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    w.tried(to, id, 500, Settle::Failed).await;
    let delivery = DeliveryRef { to, message: id };
    for _ in 0..3 {
        w.store.resend(delivery, w.now).await.unwrap();
    }
    assert_eq!(w.claimed(to).await, [id]);
    w.settle(delivery, 500, Settle::AsPlanned).await;
    assert_eq!(open(&w).await, 0);
}

pub async fn a_manual_try_asked_for_on_the_wire_follows_whatever_comes_of_it(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let due = w.now.plus(MINUTE);
    for (status, settle) in [(200, Settle::Delivered), (500, Settle::Failed), (500, Settle::RetryAt(due))] {
        let id = w.post_to(to).await;
        let delivery = DeliveryRef { to, message: id };
        assert_eq!(w.claimed(to).await, [id]);
        assert!(w.store.resend(delivery, w.now).await.unwrap());
        assert!(w.claimed(to).await.is_empty(), "it is still on the wire");
        w.settle(delivery, status, settle).await;
        let leased = w.claim(to).await;
        assert_eq!((leased.len(), leased[0].delivery, leased[0].trigger), (1, delivery, Trigger::Manual));
        w.settle(delivery, 503, Settle::AsPlanned).await;
        assert_eq!(w.answers_of(app, id).await, [(endpoint.id, 503), (endpoint.id, status)]);
    }
    // Only the retry is still planned.
    assert_eq!(w.store.backlog().await.unwrap(), [(to, due)]);
    assert_eq!(open(&w).await, 1);
}

pub async fn a_manual_try_on_the_wire_survives_the_next_run(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post_to(to).await;
    w.tried(to, id, 500, Settle::RetryAt(w.now.plus(MINUTE))).await;
    w.store.resend(DeliveryRef { to, message: id }, w.now).await.unwrap();
    w.claim(to).await;
    let mut w = w.reopen(fixture).await;
    let leased = w.claim(to).await;
    assert_eq!((leased.len(), leased[0].trigger), (1, Trigger::Manual));
    w.settle(leased[0].delivery, 500, Settle::AsPlanned).await;
    assert_eq!(w.store.backlog().await.unwrap(), [(to, w.now.plus(MINUTE))]);
}

pub async fn a_held_delivery_is_held_again_after_a_manual_try_that_failed(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let first = w.post(app, &Post::in_order(to, "k")).await;
    let held = w.post(app, &Post::in_order(to, "k")).await;
    assert_eq!(w.claimed(to).await, [first]);
    w.store.resend(DeliveryRef { to, message: held }, w.now).await.unwrap();
    assert_eq!(w.claimed(to).await, [held]);
    w.settle_in_order(DeliveryRef { to, message: held }, "k", 500, Settle::AsPlanned).await;
    assert!(w.claimed(to).await.is_empty());
    w.settle_in_order(DeliveryRef { to, message: first }, "k", 200, Settle::Delivered).await;
    assert_eq!(w.claimed(to).await, [held]);
}

pub async fn a_held_delivery_goes_on_when_its_forerunner_is_settled_while_it_is_tried_by_hand(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let first = w.post(app, &Post::in_order(to, "k")).await;
    let held = w.post(app, &Post::in_order(to, "k")).await;
    assert_eq!(w.claimed(to).await, [first]);
    w.store.resend(DeliveryRef { to, message: held }, w.now).await.unwrap();
    assert_eq!(w.claimed(to).await, [held]);
    w.settle_in_order(DeliveryRef { to, message: first }, "k", 200, Settle::Delivered).await;
    w.settle_in_order(DeliveryRef { to, message: held }, "k", 500, Settle::AsPlanned).await;
    assert_eq!(w.claimed(to).await, [held], "nobody else will let it go");
}

pub async fn a_manual_try_needs_its_message_and_its_payload(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let id = w.post(app, &Post::default()).await;
    let (other, _) = w.lane().await;
    let elsewhere = w.post(other, &Post::default()).await;
    let never = MessageId(w.id().0);
    for message in [never, elsewhere, MessageId(super::world::after(id.0))] {
        let answer = w.store.resend(DeliveryRef { to, message }, w.now).await;
        assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
    }
    w.store.expunge_payload(app, id).await.unwrap();
    assert!(!w.store.resend(DeliveryRef { to, message: id }, w.now).await.unwrap());
    assert_eq!(open(&w).await, 0);
}

// Cancelling.

pub async fn cancelling_takes_what_waits_or_is_held_and_leaves_the_rest(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let other = w.endpoint(app).await;
    let on_the_wire = w.post(app, &Post::in_order(to, "k")).await;
    w.claim(to).await;
    w.post(app, &Post::in_order(to, "k")).await;
    let retry = w.post_to(to).await;
    w.tried(to, retry, 500, Settle::RetryAt(w.now.plus(MINUTE))).await;
    let fresh = w.post_to(to).await;
    let elsewhere = w.post_to(at(&other)).await;
    w.later(MINUTE);
    let before = w.now;
    let younger = w.post_to(to).await;
    assert_eq!(open(&w).await, 6);
    assert_eq!(w.store.cancel_open(to, before, 2).await.unwrap(), 2);
    assert_eq!(w.store.cancel_open(to, before, 2).await.unwrap(), 1);
    assert_eq!(w.store.cancel_open(to, before, 2).await.unwrap(), 0);
    assert_eq!(w.claimed(to).await, [younger]);
    assert_eq!(w.claimed(at(&other)).await, [elsewhere]);
    assert_eq!(open(&w).await, 3);
    w.settle_in_order(DeliveryRef { to, message: on_the_wire }, "k", 200, Settle::Delivered).await;
    // What was tried is failed now, what was not is as if it had never been asked for.
    let tried = only(w.store.attempted_messages(to, all(), &Default::default(), false).await.unwrap());
    assert_eq!(tried.iter().map(|m| m.message.meta.id).collect::<Vec<_>>(), [retry, on_the_wire]);
    assert!(w.answers_of(app, fresh).await.is_empty());
}

pub async fn cancelling_lets_a_younger_one_of_the_order_key_go(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    w.post(app, &Post::in_order(to, "k")).await;
    w.post(app, &Post::in_order(to, "k")).await;
    w.later(MINUTE);
    let before = w.now;
    let younger = w.post(app, &Post::in_order(to, "k")).await;
    assert_eq!(w.store.cancel_open(to, before, 10).await.unwrap(), 2);
    assert_eq!(w.claimed(to).await, [younger]);
}

pub async fn cancelling_a_manual_try_leaves_settled_what_was_settled(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let (delivered, failed) = (w.post_to(to).await, w.post_to(to).await);
    w.tried(to, delivered, 200, Settle::Delivered).await;
    w.tried(to, failed, 500, Settle::Failed).await;
    for message in [delivered, failed] {
        assert!(w.store.resend(DeliveryRef { to, message }, w.now).await.unwrap());
    }
    w.later(MINUTE);
    assert_eq!(w.store.cancel_open(to, w.now, 10).await.unwrap(), 2);
    assert_eq!(open(&w).await, 0);
    let tried = only(w.store.attempted_messages(to, all(), &Default::default(), false).await.unwrap());
    use domain::AttemptStatus::{Fail, Success};
    assert_eq!(tried.iter().map(|m| m.latest).collect::<Vec<_>>(), [Fail, Success]);
    // And a manual try works as before.
    w.tried_by_hand(to, failed, 200).await;
    assert_eq!(open(&w).await, 0);
}

// The whole.

pub async fn the_last_id_is_the_greatest_of_all_that_is_stored(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    assert_eq!(w.store.last_id().await.unwrap(), None);
    let app = w.application().await;
    assert_eq!(w.store.last_id().await.unwrap(), Some(app.id.0));
    let endpoint = w.endpoint(app.key).await;
    assert_eq!(w.store.last_id().await.unwrap(), Some(endpoint.id.0));
    let to = at(&endpoint);
    let message = w.post_to(to).await;
    assert_eq!(w.store.last_id().await.unwrap(), Some(message.0));
    let attempt = w.tried(to, message, 200, Settle::Delivered).await;
    assert_eq!(w.store.last_id().await.unwrap(), Some(attempt.0));
    let task = new_task(&mut w, to, TaskKind::Recover, Timestamp::default(), Timestamp::default().plus(DAY));
    w.store.create_task(task.clone()).await.unwrap();
    assert_eq!(w.store.last_id().await.unwrap(), Some(task.id.0));
    w.store.delete_application(app.key, w.now).await.unwrap();
    let w = w.reopen(fixture).await;
    assert_eq!(w.store.last_id().await.unwrap(), Some(task.id.0));
}

pub async fn what_was_accepted_and_recorded_is_there_in_the_next_run(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let settled = w.post_to(to).await;
    let attempt = w.tried(to, settled, 200, Settle::Delivered).await;
    let due = w.now.plus(MINUTE);
    let retry = w.post_to(to).await;
    w.tried(to, retry, 500, Settle::RetryAt(due)).await;
    let waiting = w.post_to(to).await;
    let mut w = w.reopen(fixture).await;
    assert!(w.store.attempt(app, settled, attempt).await.unwrap().is_some());
    assert_eq!(w.claimed(to).await, [waiting]);
    assert_eq!(w.store.backlog().await.unwrap(), [(to, due)]);
    w.later(MINUTE);
    assert_eq!(w.claimed(to).await, [retry]);
    w.store.ping().await.unwrap();
}

pub async fn a_batch_is_one_commit(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let post = Post { born: Born::Leased, ..Post::to(&[at(&endpoint)]) };
    let batch: Vec<_> = (0..100).map(|_| w.new_accept(app, &post)).collect();
    assert_eq!(w.store.accept(batch).await.unwrap().len(), 100);
    assert_eq!(w.commit(|c| !c.leased.is_empty()).await.leased.len(), 100);
}

pub async fn many_at_once_are_all_kept(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let accepts: Vec<_> = (0..300).map(|_| w.new_accept(app, &Post::to(&[to]))).collect();
    let ids: Vec<_> = accepts.iter().map(|a| a.message.meta.id).collect();
    let calls: Vec<_> = accepts
        .into_iter()
        .map(|accept| {
            let store = w.store.clone();
            tokio::spawn(async move { store.accept(vec![accept]).await })
        })
        .collect();
    for call in calls {
        assert!(matches!(call.await.unwrap().unwrap()[..], [Accepted::New]));
    }
    let leased = w.claim(to).await;
    assert_eq!(leased.iter().map(|l| l.delivery.message).collect::<Vec<_>>(), ids);
    for l in &leased[1..] {
        let record = w.new_record(l.delivery, Some(200), Settle::Delivered);
        w.store.record(record);
    }
    w.settle(leased[0].delivery, 200, Settle::Delivered).await;
    assert_eq!(open(&w).await, 0);
    assert_eq!(w.store.endpoint_stats(to, Ksuid::MIN, Ksuid::MAX).await.unwrap().success, 300);
}

pub async fn what_was_handed_in_is_written_before_a_later_release_is_answered(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    for _ in 0..3 {
        let message = w.post_to(to).await;
        let leased = w.claim(to).await.pop().unwrap();
        let record = w.new_record(leased.delivery, Some(200), Settle::Delivered);
        w.store.record(record);
        w.store.release(Vec::new(), w.now).await.unwrap();
        assert_eq!(w.answers_of(app, message).await.len(), 1);
    }
}
