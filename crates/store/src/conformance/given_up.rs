//! Messages given up, counted by endpoint and day.

use super::{
    Fixture,
    world::{World, at},
};
use crate::{Record, Settle};
use domain::{DeliveryRef, DisabledBecause, EndpointRef, GivenUp, GivenUpCount};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Gives one message up; what the engine hears of it.
async fn give_up(w: &mut World, to: EndpointRef, what: GivenUp) -> (u64, u64) {
    let message = w.post_to(to).await;
    w.claim(to).await;
    let delivery = DeliveryRef { to, message };
    let record = Record { given_up: Some(what), ..w.new_record(delivery, Some(500), Settle::Failed) };
    w.hand_in(record).await;
    let commit = w.commit(|c| !c.given_up.is_empty()).await;
    let [(of, GivenUpCount { timeouts, errors })] = commit.given_up[..] else { panic!("{:?}", commit.given_up) };
    assert_eq!(of, to);
    (timeouts, errors)
}

pub async fn messages_given_up_are_counted_by_endpoint_and_in_the_next_run(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, endpoint) = w.lane().await;
    let to = at(&endpoint);
    let other = at(&w.endpoint(app).await);
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 1));
    assert_eq!(give_up(&mut w, to, GivenUp::Timeout).await, (1, 1));
    assert_eq!(give_up(&mut w, other, GivenUp::Timeout).await, (1, 0));
    let mut w = w.reopen(fixture).await;
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (1, 2));
}

pub async fn a_message_given_up_counts_for_a_day(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 1));
    w.later(HOUR * 23);
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 2));
    w.later(HOUR);
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 2));
    // Removing what counts no more changes no count.
    w.store.purge(w.nothing_old()).await.unwrap();
    assert_eq!(give_up(&mut w, to, GivenUp::Timeout).await, (1, 2));
}

pub async fn a_result_that_comes_too_late_is_not_counted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    let message = w.post_to(to).await;
    let delivery = DeliveryRef { to, message };
    // Nobody holds it.
    let late = Record { given_up: Some(GivenUp::Error), ..w.new_record(delivery, Some(500), Settle::Failed) };
    w.hand_in(late).await;
    assert_eq!(w.commit(|c| !c.lost.is_empty()).await.given_up, []);
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 1));
}

pub async fn the_count_of_an_endpoint_that_is_switched_off_begins_anew(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (_, mut endpoint) = w.lane().await;
    let to = at(&endpoint);
    give_up(&mut w, to, GivenUp::Error).await;
    endpoint.description = "another".into();
    let mut endpoint = w.store.save_endpoint(endpoint).await.unwrap();
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 2), "another change leaves it");
    endpoint.disabled = Some(DisabledBecause::Failing);
    let mut endpoint = w.store.save_endpoint(endpoint).await.unwrap();
    endpoint.disabled = None;
    w.store.save_endpoint(endpoint).await.unwrap();
    assert_eq!(give_up(&mut w, to, GivenUp::Error).await, (0, 1));
}

pub async fn many_given_up_at_once_are_all_counted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let to = at(&w.lane().await.1);
    let mut messages = Vec::new();
    for _ in 0..40 {
        messages.push(w.post_to(to).await);
    }
    w.claim(to).await;
    for message in messages {
        let record = w.new_record(DeliveryRef { to, message }, Some(500), Settle::Failed);
        w.store.record(Record { given_up: Some(GivenUp::Error), ..record });
    }
    let all = GivenUpCount { timeouts: 0, errors: 40 };
    w.commit(|c| c.given_up.last() == Some(&(to, all))).await;
}
