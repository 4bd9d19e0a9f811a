//! Asking real receivers over the real client: what is waited for, and what is not.
#![allow(clippy::unwrap_used)]

use domain::{
    AppKey, FailureReason, FilterName, Ksuid, Secret, Secrets, Timestamp, Webfilter, WebfilterId, WebfilterKey,
    WebfilterSettings,
    json::Members,
    webfilter::{Because, FilterRules, Outcome, Protection, Question, ReadingResult},
};
use filters::{FilterSettings, Filters, LogSettings};
use outbound::{AnswerLimits, Client, ClientOptions, Guard};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Ids, MainKey, Store, sqlite::Sqlite};
use tempfile::TempDir;
use testkit::{ManualClock, Place, Receiver, Reply};

struct World {
    filters: Filters,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let (sqlite, _) = Sqlite::open(&folder.path().join("test.db"), &MainKey::generate()).unwrap();
    let store: Arc<dyn Store> = Arc::new(sqlite);
    let clock = Arc::new(ManualClock::default());
    let ids = Arc::new(Ids::after(&*store, clock.clone()).await.unwrap());
    let guard = Arc::new(Guard::new(vec!["127.0.0.0/8".parse().unwrap()]));
    let limits = AnswerLimits { read: 1_001, kept: 1_001 };
    let client = Client::new(ClientOptions { answer_limits: limits, ..ClientOptions::new(guard, "test") }).unwrap();
    let settings = FilterSettings {
        timeout: Duration::from_secs(30),
        run_timeout: Duration::from_secs(60),
        answer_limit: 1_000,
        protection: Protection::default(),
    };
    let log = LogSettings { retention: Duration::from_secs(3600), runs_max: 10 };
    World { filters: Filters::start(client, store, ids, settings, log), clock, _folder: folder }
}

fn webfilter(n: u8, url: &str, change: impl FnOnce(&mut WebfilterSettings)) -> Arc<Webfilter> {
    let mut settings = WebfilterSettings::default();
    change(&mut settings);
    Arc::new(Webfilter {
        key: WebfilterKey(n.into()),
        app: AppKey(1),
        id: WebfilterId(Ksuid([n; 20])),
        uid: None,
        filter: FilterName::new("room.join").unwrap(),
        url: url.to_owned(),
        secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
        settings,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        revision: 0,
    })
}

fn question(webfilters: &[Arc<Webfilter>]) -> Question {
    Question {
        app: AppKey(1),
        rules: Arc::new(FilterRules::own(FilterName::new("room.join").unwrap())),
        payload: Members::new(),
        webfilters: webfilters.to_vec(),
        deadline: None,
        given: Vec::new(),
        test: None,
    }
}

#[tokio::test]
async fn what_comes_behind_a_halt_is_not_waited_for_but_what_comes_before_is() {
    let world = world().await;
    let quick = Receiver::start().await.always(403);
    let hangs = Receiver::start().await.always(Reply::Hang);
    let halting = webfilter(1, &quick.url(), |s| s.on_4xx.halts = true);
    let slow = webfilter(2, &hangs.url(), |s| s.deadline_ms = Some(300));
    let endless = webfilter(3, &hangs.url(), |s| s.deadline_ms = Some(60_000));

    let began = Instant::now();
    let run = world.filters.run(question(&[halting.clone(), endless])).await;
    assert_eq!((run.outcome, run.report.answers[1].result), (Outcome::Halt, ReadingResult::Unneeded));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());

    let run = world.filters.run(question(&[slow, halting])).await;
    let results: Vec<_> = run.report.answers.iter().map(|a| a.result).collect();
    assert_eq!(results, [ReadingResult::Silent, ReadingResult::Halted]);
    assert_eq!(run.report.halt.unwrap().because, Because::Status4xx);
}

#[tokio::test]
async fn a_receiver_that_is_down_is_paused_probed_and_taken_back() {
    let world = world().await;
    let place = Place::take();
    let asked = [webfilter(1, &format!("http://{}/", place.address()), |_| {})];
    let results = async |times: usize| {
        let mut results = Vec::new();
        for _ in 0..times {
            results.push(world.filters.run(question(&asked)).await.report.answers[0].result);
        }
        results
    };
    use ReadingResult::{Empty, Failed, Paused};
    assert_eq!(results(7).await, [Failed, Failed, Failed, Failed, Failed, Paused, Paused]);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(results(2).await, [Failed, Paused], "a probe, then a longer pause");
    let _back = Receiver::start_on(&place).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(results(1).await, [Paused]);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(results(2).await, [Empty, Empty]);
}

#[tokio::test]
async fn an_answer_counts_up_to_the_limit_and_not_beyond() {
    let world = world().await;
    for (filler, reason) in [(1_000 - 20, None), (1_001 - 20, Some(FailureReason::AnswerTooLarge))] {
        let body = format!(r#"{{"data": {{"a": "{}"}}}}"#, "x".repeat(filler + 1));
        let receiver = Receiver::start().await.always(Reply::body(200, body));
        let run = world.filters.run(question(&[webfilter(filler as u8, &receiver.url(), |_| {})])).await;
        assert_eq!(run.report.answers[0].failure(), reason);
    }
}
