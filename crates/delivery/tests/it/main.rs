//! The engine on the real embedded store, with receivers that answer badly and a clock moved by hand.
#![allow(clippy::unwrap_used)]

mod world;

use domain::{Clock as _, DeliveryRef, DisabledBecause, Task, TaskId, TaskKind, TaskStatus, WaitsFor};
use std::{collections::HashSet, time::Duration};
use testkit::receiver::{Receiver, Reply};
use world::{World, all_failed, later, statuses};

#[tokio::test]
async fn a_receiver_that_recovers_gets_its_event_on_schedule() {
    let world = World::new("10s,60s");
    let receiver = Receiver::start().await.replying([503, 500, 200]);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    run.publish(&app).await;
    run.attempts(to, 1).await;
    run.advance(Duration::from_secs(9));
    run.advance(Duration::from_secs(1));
    run.attempts(to, 2).await;
    run.advance(Duration::from_secs(60));
    let attempts = run.attempts(to, 3).await;
    run.settled().await;
    assert_eq!(statuses(&attempts), [503, 500, 200]);
    assert!(attempts[1].at >= later(attempts[0].at, 10) && attempts[2].at >= later(attempts[1].at, 60));
    let ids: HashSet<_> = receiver.requests().iter().map(|r| r.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 1, "every try carries the same id");
    run.stop().await;
}

#[tokio::test]
async fn a_final_status_ends_the_schedule_and_410_switches_the_endpoint_off() {
    let world = World::new("1ms,1ms,1ms");
    let (lost, gone) = (Receiver::start().await.always(404), Receiver::start().await.always(410));
    let run = world.start().await;
    let app = run.application().await;
    let to_lost = run.endpoint_with(&app, &lost, |e| e.options.final_statuses = [404].into()).await;
    let to_gone = run.endpoint(&app, &gone).await;
    run.publish(&app).await;
    run.settled().await;
    assert_eq!(run.attempts(to_lost, 1).await.len(), 1);
    assert_eq!(run.attempts(to_gone, 1).await.len(), 1);
    run.until("it is switched off", async || {
        run.current(to_gone).await.unwrap().disabled == Some(DisabledBecause::Gone)
    })
    .await;
    run.until("it is reported", async || run.reported().contains(&"disabled")).await;
    run.publish(&app).await;
    run.settled().await;
    assert_eq!(gone.requests().len(), 1, "nothing goes to an endpoint that is switched off");
    run.stop().await;
}

#[tokio::test]
async fn what_is_sent_is_what_the_endpoint_s_settings_make_of_it() {
    let world = World::new("1ms,1ms");
    let (plain, made, fussy, broken) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let run = world.start().await;
    let app = run.application().await;
    run.endpoint(&app, &plain).await;
    let to_made = run
        .endpoint_with(&app, &made, |e| {
            e.options.transform = Some("{n: (.n + 1)}".into());
            e.options.format = domain::Format::CloudeventsBinary;
            e.options.unsigned = true;
        })
        .await;
    run.endpoint_with(&app, &fussy, |e| e.options.filter = Some(".n > 1".into())).await;
    let to_broken = run.endpoint_with(&app, &broken, |e| e.options.filter = Some(".n | error".into())).await;
    run.publish_with(&app, None, r#"{"n" : 1}"#).await;
    run.settled().await;
    assert_eq!(plain.requests()[0].body, r#"{"n" : 1}"#);
    assert_eq!(made.requests()[0].body, r#"{"n":2}"#);
    assert_eq!(made.requests()[0].header("ce-specversion"), "1.0");
    assert!(!made.requests()[0].headers.contains_key("webhook-signature"));
    assert_eq!(run.attempts(to_made, 1).await.len(), 1);
    assert!(fussy.requests().is_empty(), "cancelled without a try");
    let attempts = run.attempts(to_broken, 1).await;
    assert_eq!((attempts.len(), attempts[0].reason), (1, Some(domain::FailureReason::ExpressionFailed)));
    assert!(broken.requests().is_empty() && attempts[0].response.contains("filter: "), "{}", attempts[0].response);
    run.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_held_is_delivered_by_the_next_one() {
    let world = World::new("1h");
    let receiver = Receiver::start().await.always(Reply::Hang);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    let sent = [run.publish(&app).await, run.publish(&app).await];
    receiver.wait_for(2).await;
    // No stop: as if killed. The runtime's tasks of the engine hold the store, so they go first.
    run.engine.stop(Duration::ZERO).await;
    run.upkeep.stop().await;
    drop((run.directory, run.store, run.ids));
    receiver.reply_always(204);
    let run = world.start().await;
    // Those that were on the wire may have been recorded as timed out: then they are retried after an hour.
    run.advance(Duration::from_secs(3700));
    run.settled().await;
    let ids: HashSet<_> = receiver.requests().iter().map(|r| r.header("svix-id").to_owned()).collect();
    assert_eq!(ids, sent.iter().map(ToString::to_string).collect());
    assert!(run.attempts(to, 2).await.iter().any(|a| a.response_status == 204));
    run.stop().await;
}

#[tokio::test]
async fn a_manual_try_settles_a_failed_delivery_and_leaves_a_delivered_one_alone() {
    let world = World::new("");
    let receiver = Receiver::start().await.replying([500, 200, 500]);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    let message = run.publish(&app).await;
    run.attempts(to, 1).await;
    run.settled().await;
    for n in 2..=3 {
        assert!(run.store.resend(DeliveryRef { to, message }, run.clock.now()).await.unwrap());
        run.attempts(to, n).await;
        run.settled().await;
    }
    let task = recover(&run, to, 3600).await;
    run.until("the task is finished", async || finished(&run, task).await).await;
    run.settled().await;
    assert_eq!(receiver.requests().len(), 3, "it was delivered once, so there is nothing to recover");
    run.stop().await;
}

#[tokio::test]
async fn a_manual_try_that_fails_leaves_the_schedule_as_it_was() {
    let world = World::new("1h");
    let receiver = Receiver::start().await.replying([500, 500, 200]);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    let message = run.publish(&app).await;
    run.attempts(to, 1).await;
    run.store.resend(DeliveryRef { to, message }, run.clock.now()).await.unwrap();
    run.attempts(to, 2).await;
    run.advance(Duration::from_secs(3700));
    let attempts = run.attempts(to, 3).await;
    run.settled().await;
    assert_eq!(statuses(&attempts), [500, 500, 200]);
    run.stop().await;
}

#[tokio::test]
async fn a_resend_to_an_endpoint_that_is_switched_off_sends_nothing_and_spoils_nothing() {
    let world = World::new("");
    let receiver = Receiver::start().await.always(200);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    let message = run.publish(&app).await;
    run.attempts(to, 1).await;
    run.settled().await;
    let mut endpoint = run.current(to).await.unwrap();
    endpoint.disabled = Some(DisabledBecause::Asked);
    run.directory.save_endpoint(endpoint).await.unwrap();
    assert!(run.store.resend(DeliveryRef { to, message }, run.clock.now()).await.unwrap());
    run.settled().await;
    assert_eq!(receiver.requests().len(), 1);
    let task = recover(&run, to, 3600).await;
    run.until("the task is finished", async || finished(&run, task).await).await;
    let organization = domain::OrganizationId::DEFAULT.parse().unwrap();
    assert_eq!(run.store.task(&organization, None, task).await.unwrap().unwrap().sent, 0, "it is still delivered");
    run.stop().await;
}

#[tokio::test]
async fn messages_of_one_order_key_go_one_after_the_other_and_do_not_hold_up_other_keys() {
    let world = World::new("10s");
    let receiver = Receiver::start().await.replying([500]);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint_with(&app, &receiver, |e| e.options.ordered = true).await;
    for n in 1..=4 {
        run.publish_with(&app, Some("ada"), &format!(r#"{{"ada":{n}}}"#)).await;
        if n == 1 {
            run.attempts(to, 1).await;
        }
    }
    run.publish_with(&app, Some("bob"), r#"{"bob":1}"#).await;
    run.attempts(to, 2).await;
    assert_eq!(receiver.requests().last().unwrap().text(), r#"{"bob":1}"#);
    run.advance(Duration::from_secs(11));
    run.settled().await;
    let ada: Vec<_> = receiver.requests().iter().map(|r| r.text().to_owned()).filter(|t| t.contains("ada")).collect();
    let want = [1, 1, 2, 3, 4].map(|n| format!(r#"{{"ada":{n}}}"#));
    assert_eq!(ada, want);
    run.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_its_own_lane_only_and_memory_holds_a_window_of_it() {
    let world = World::new("1h");
    let (hung, well) = (Receiver::start().await.always(Reply::Hang), Receiver::start().await.always(200));
    let run = world.start().await;
    let app = run.application().await;
    run.endpoint(&app, &hung).await;
    run.endpoint(&app, &well).await;
    for _ in 0..1500 {
        run.publish(&app).await;
    }
    well.wait_for(1500).await;
    assert!(hung.requests().len() <= 64, "{} requests at a receiver that never answered", hung.requests().len());
    run.until("only the hung receiver's are open", async || run.store.open_deliveries().await.unwrap().0 == 1500).await;
    run.engine.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_window_that_overflowed_is_emptied_from_the_table_and_nothing_is_sent_twice() {
    let world = World::new("1h");
    let receiver = Receiver::start().await.always(Reply::from(200).after(Duration::from_millis(2)));
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    let mut sent = HashSet::new();
    for _ in 0..3000 {
        sent.insert(run.publish(&app).await.to_string());
    }
    run.settled().await;
    let got: Vec<_> = receiver.requests().iter().map(|r| r.header("svix-id").to_owned()).collect();
    assert_eq!(got.len(), 3000);
    assert_eq!(got.into_iter().collect::<HashSet<_>>(), sent);
    assert_eq!(run.attempts(to, 3000).await.len(), 3000);
    run.stop().await;
}

#[tokio::test]
async fn recover_sends_each_failed_message_of_the_window_once_and_goes_on_after_a_restart() {
    let world = World::new("");
    let receiver = Receiver::start().await.always(500);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    let mut sent = HashSet::new();
    for _ in 0..1300 {
        sent.insert(run.publish(&app).await.to_string());
    }
    run.settled().await;
    let before = receiver.requests().len();
    assert_eq!(before, 1300);
    receiver.reply_always(200);
    let task = recover(&run, to, 3600).await;
    receiver.wait_for(before + 100).await;
    run.stop().await;
    let run = world.start().await;
    run.until("the task is finished", async || finished(&run, task).await).await;
    run.settled().await;
    let again: Vec<_> = receiver.requests()[before..].iter().map(|r| r.header("svix-id").to_owned()).collect();
    assert_eq!(again.len(), 1300, "each once");
    assert_eq!(again.into_iter().collect::<HashSet<_>>(), sent, "none skipped");
    run.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_only_failed_for_long_enough_is_switched_off_and_what_waits_is_cancelled() {
    let mut world = World::new("10s");
    world.disable_after = Duration::from_secs(3600);
    let receiver = Receiver::start().await.always(500);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint(&app, &receiver).await;
    run.publish(&app).await;
    run.attempts(to, 1).await;
    run.until("the failing is noted", async || run.current(to).await.unwrap().failing_since.is_some()).await;
    run.advance(Duration::from_secs(11));
    run.attempts(to, 2).await;
    assert!(run.current(to).await.unwrap().disabled.is_none());
    run.advance(Duration::from_secs(3600));
    run.publish(&app).await;
    run.attempts(to, 3).await;
    run.publish(&app).await;
    run.attempts(to, 4).await;
    run.advance(Duration::from_secs(11));
    run.until("it is switched off", async || run.current(to).await.unwrap().disabled == Some(DisabledBecause::Failing))
        .await;
    run.advance(Duration::from_secs(11));
    run.settled().await;
    assert!(all_failed(&run.attempts(to, 5).await));
    assert!(run.reported().contains(&"exhausted") && run.reported().contains(&"disabled"));
    run.stop().await;
}

#[tokio::test]
async fn a_rate_is_kept_over_the_clock() {
    let world = World::new("");
    let receiver = Receiver::start().await.always(200);
    let run = world.start().await;
    let app = run.application().await;
    let to = run.endpoint_with(&app, &receiver, |e| e.throttle_rate = Some(10)).await;
    for _ in 0..30 {
        run.publish(&app).await;
    }
    receiver.wait_for(1).await;
    let seats = run.engine.seats();
    run.until("the others stand in line", async || {
        let line = seats.in_line(to);
        line.messages.len() + receiver.requests().len() == 30 && line.waits_for == Some(WaitsFor::EndpointRate)
    })
    .await;
    for second in 1..=2usize {
        run.advance(Duration::from_millis(500));
        run.advance(Duration::from_millis(500));
        assert!(receiver.requests().len() <= 11 * second + 1);
    }
    run.until("all are sent", async || {
        run.advance(Duration::from_millis(100));
        receiver.requests().len() == 30
    })
    .await;
    run.stop().await;
}

#[tokio::test]
async fn a_stop_gives_back_what_waits_and_the_next_start_sends_it() {
    let world = World::new("1h");
    // So slow that most still wait when all are published, however slow that is.
    let receiver = Receiver::start().await.always(Reply::from(200).after(Duration::from_secs(1)));
    let run = world.start().await;
    let app = run.application().await;
    run.endpoint(&app, &receiver).await;
    for _ in 0..100 {
        run.publish(&app).await;
    }
    run.stop().await;
    receiver.reply_always(200);
    let before = receiver.requests().len();
    assert!(before < 100);
    let run = world.start().await;
    run.settled().await;
    assert_eq!(receiver.requests().len(), 100, "each exactly once over a clean stop");
    run.stop().await;
}

#[tokio::test]
async fn endpoints_take_turns_when_their_application_has_a_rate() {
    let world = World::new("");
    let [one, other] = [Receiver::start().await.always(200), Receiver::start().await.always(200)];
    let run = world.start().await;
    let app = run.application_with(|a| a.throttle_rate = Some(5)).await;
    run.endpoint(&app, &one).await;
    let to_other = run.endpoint(&app, &other).await;
    for _ in 0..20 {
        run.publish(&app).await;
    }
    let seats = run.engine.seats();
    run.until("the rate is used up", async || seats.in_line(to_other).waits_for == Some(WaitsFor::ApplicationRate))
        .await;
    let both = || (one.requests().len(), other.requests().len());
    run.until("half of all are sent", async || {
        run.advance(Duration::from_millis(50));
        both().0 + both().1 >= 20
    })
    .await;
    let (a, b) = both();
    assert!(a.min(b) >= 5, "{a} to one endpoint and {b} to the other");
    run.until("all are sent", async || {
        run.advance(Duration::from_millis(50));
        both() == (20, 20)
    })
    .await;
    run.stop().await;
}

#[tokio::test]
async fn endpoints_without_anything_to_do_are_forgotten() {
    let world = World::new("");
    let [well, broken] = [Receiver::start().await.always(200), Receiver::start().await.always(500)];
    let run = world.start().await;
    let app = run.application_with(|a| a.throttle_rate = Some(1000)).await;
    run.endpoint(&app, &well).await;
    run.endpoint_with(&app, &broken, |e| e.throttle_rate = Some(100)).await;
    run.publish(&app).await;
    run.settled().await;
    assert!(run.engine.lanes() > 0);
    run.advance(Duration::from_secs(11));
    run.until("only the failing one is remembered", async || run.engine.lanes() <= 1).await;
    run.advance(Duration::from_secs(601));
    run.until("none is", async || run.engine.lanes() == 0).await;
    run.stop().await;
}

async fn recover(run: &world::Running, to: domain::EndpointRef, seconds: u64) -> TaskId {
    let (id, now) = run.ids.next();
    let task = Task {
        id: TaskId(id),
        kind: TaskKind::Recover,
        status: TaskStatus::Running,
        to,
        since: now.minus(Duration::from_secs(seconds)),
        until: now.plus(Duration::from_secs(1)),
        sent: 0,
        updated_at: now,
    };
    run.store.create_task(task).await.unwrap();
    run.upkeep.bell().notify_one();
    TaskId(id)
}

async fn finished(run: &world::Running, task: TaskId) -> bool {
    let organization = domain::OrganizationId::DEFAULT.parse().unwrap();
    run.store.task(&organization, None, task).await.unwrap().unwrap().status == TaskStatus::Finished
}

#[tokio::test]
async fn with_many_requests_on_the_wire_every_endpoint_still_has_one_place() {
    let world = World::new("1h");
    let run = world.start().await;
    let app = run.application().await;
    let (hanging, healthy) = (Receiver::start().await.always(Reply::Hang), Receiver::start().await);
    for _ in 0..10 {
        run.endpoint(&app, &hanging).await;
    }
    // Eight places at each of ten endpoints would be eighty.
    for _ in 0..8 {
        run.publish(&app).await;
    }
    hanging.wait_for(64).await;
    let other = run.application().await;
    run.endpoint(&other, &healthy).await;
    for _ in 0..5 {
        run.publish(&other).await;
    }
    healthy.wait_for(5).await;
    assert!(hanging.connections() <= 64, "{}", hanging.connections());
    run.stop().await;
}
