//! A world for engine tests: the embedded store in a scratch folder, one application, a clock moved by hand.

use bytes::Bytes;
use delivery::{Engine, EngineParts, EngineSettings, Happened, Reporter, Upkeep, UpkeepSettings};
use domain::{
    Application, ApplicationId, AttemptStatus, Endpoint, EndpointRef, EventTypeName, IdRange, Ksuid, MessageId,
    MessageMeta, OrderKey, Pick, Timestamp, application::ApplicationOptions,
};
use outbound::{client::ClientOptions, guard::Guard};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{
    Accept, Accepted, AttemptFilter, AttemptsOf, Birth, Directory, Ids, MainKey, NewDelivery, Outgoing, Store,
    sqlite::Sqlite,
};
use testkit::{clock::ManualClock, receiver::Receiver};

#[derive(Default)]
pub(crate) struct Reports(Mutex<Vec<&'static str>>);

impl Reporter for Reports {
    fn report(&self, happened: Happened) {
        self.0.lock().unwrap().push(match happened {
            Happened::EndpointDisabled { .. } => "disabled",
            Happened::Failing(..) => "failing",
            Happened::Exhausted(..) => "exhausted",
            Happened::Recovered(..) => "recovered",
        });
    }
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) key: MainKey,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) schedule: &'static str,
    pub(crate) disable_after: Duration,
}

/// The parts that a process has, until it stops or dies.
pub(crate) struct Running {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) engine: Engine,
    pub(crate) upkeep: Upkeep,
    pub(crate) reports: Arc<Reports>,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new(schedule: &'static str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: MainKey::generate(),
            clock: Arc::new(ManualClock::default()),
            schedule,
            disable_after: Duration::from_secs(5 * 86_400),
        }
    }

    pub(crate) async fn start(&self) -> Running {
        let path = self.folder.path().join("test.db");
        let mut opened = Sqlite::open(&path, &self.key);
        for _ in 0..1000 {
            // The last request of the run before may still be on the wire, and holds the store.
            if !matches!(opened, Err(store::StoreError::InUse(_))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            opened = Sqlite::open(&path, &self.key);
        }
        let (sqlite, commits) = opened.unwrap();
        let store: Arc<dyn Store> = Arc::new(sqlite);
        let directory = Arc::new(Directory::new(store.clone()));
        let ids = Arc::new(Ids::after(&*store, self.clock.clone()).await.unwrap());
        let guard = Arc::new(Guard::new(vec!["127.0.0.0/8".parse().unwrap()]));
        let mut options = ClientOptions::new(guard, "Schoolbell/test");
        options.timeout = Duration::from_secs(2);
        let reports = Arc::new(Reports::default());
        let parts = EngineParts {
            directory: directory.clone(),
            client: Arc::new(outbound::client::Client::new(options).unwrap()),
            ids: ids.clone(),
            reporter: reports.clone(),
            jitter: Box::new(|| 0.5),
            settings: EngineSettings {
                public_url: "https://hooks.example.edu".into(),
                retry_schedule: self.schedule.parse().unwrap(),
                concurrency: 8,
                disable_after: self.disable_after,
                crowded: 64,
                memory_budget: 16 << 20,
            },
        };
        let engine = Engine::start(parts, commits).await.unwrap();
        let settings = UpkeepSettings {
            attempt_retention: Duration::from_secs(90 * 86_400),
            answer_retention: Duration::from_secs(12 * 3600),
            audit_retention: Duration::from_secs(365 * 86_400),
        };
        let upkeep = Upkeep::start(directory.clone(), ids.clone(), settings);
        Running { store, directory, ids, engine, upkeep, reports, clock: self.clock.clone() }
    }
}

impl Running {
    pub(crate) async fn application(&self) -> Application {
        self.application_with(|_| {}).await
    }

    pub(crate) async fn application_with(&self, change: impl FnOnce(&mut Application)) -> Application {
        let (id, now) = self.ids.next();
        let mut new = Application {
            key: domain::AppKey(0),
            id: ApplicationId(id),
            organization: domain::OrganizationId::DEFAULT.parse().unwrap(),
            uid: None,
            name: "Fundamentals".into(),
            throttle_rate: None,
            metadata: Default::default(),
            options: ApplicationOptions::default(),
            created_at: now,
            updated_at: now,
            revision: 0,
        };
        change(&mut new);
        self.store.create_application(new).await.unwrap()
    }

    pub(crate) async fn endpoint(&self, app: &Application, receiver: &Receiver) -> EndpointRef {
        self.endpoint_with(app, receiver, |_| {}).await
    }

    pub(crate) async fn endpoint_with(
        &self,
        app: &Application,
        receiver: &Receiver,
        change: impl FnOnce(&mut Endpoint),
    ) -> EndpointRef {
        let mut new = testkit::build::endpoint(&receiver.url());
        new.id = domain::EndpointId(self.ids.next().0);
        new.app = app.key;
        new.revision = 0;
        change(&mut new);
        let made = self.directory.create_endpoint(new).await.unwrap();
        EndpointRef { app: app.key, endpoint: made.key }
    }

    pub(crate) async fn current(&self, to: EndpointRef) -> Option<Endpoint> {
        self.store.endpoints_of(to.app).await.unwrap().into_iter().find(|e| e.key == to.endpoint)
    }

    pub(crate) async fn publish(&self, app: &Application) -> MessageId {
        self.publish_with(app, None, r#"{"n":1}"#).await
    }

    /// The same way as the API's: match, take seats, store.
    pub(crate) async fn publish_with(&self, app: &Application, order: Option<&str>, payload: &str) -> MessageId {
        let (id, now) = self.ids.next();
        let entry = self.directory.by_key(app.key).await.unwrap().unwrap();
        let meta = MessageMeta {
            id: MessageId(id),
            app: app.key,
            event_type: EventTypeName::new("room.created").unwrap(),
            event_id: None,
            channels: Default::default(),
            tags: Default::default(),
            order_key: order.map(|k| OrderKey::new(k).unwrap()),
            created_at: now,
        };
        let seats = self.engine.seats();
        let takers = entry.endpoints.iter().filter(|e| e.takes(&meta.event_type, &meta.channels));
        let deliveries = takers.map(|e| {
            let to = EndpointRef { app: app.key, endpoint: e.key };
            let birth = match &meta.order_key {
                Some(key) if e.options.ordered => Birth::InOrder(key.clone()),
                _ => seats.admit(to),
            };
            NewDelivery { to, birth }
        });
        let deliveries = deliveries.collect();
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let budget = seats.budget(payload.len());
        let accept = Accept {
            message: Arc::new(Outgoing { meta, payload, budget }),
            expires_hour: now.as_seconds() / 3600 + 24 * 90,
            deliveries,
            idempotency: None,
            repeat_since: now,
        };
        let accepted = self.store.accept(vec![accept]).await.unwrap();
        assert!(matches!(accepted[..], [Accepted::New]));
        MessageId(id)
    }

    /// Moves the clock on and lets the engine look at it.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.engine.look_at_the_clock();
    }

    /// Waits until no delivery is open.
    pub(crate) async fn settled(&self) {
        self.until("no delivery is open", async || self.store.open_deliveries().await.unwrap().0 == 0).await;
        // What can be read may not be synced yet. This is answered after it, and after its seats are given back.
        self.store.release(Vec::new(), self.ids.now()).await.unwrap();
    }

    /// Waits until this many attempts of an endpoint are on disk.
    pub(crate) async fn attempts(&self, to: EndpointRef, n: usize) -> Vec<domain::Attempt> {
        let mut found = Vec::new();
        let mut tries = 0;
        while found.len() < n {
            tries += 1;
            assert!(tries < 3000, "{} of {n} attempts were made", found.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
            let all = IdRange { from: Ksuid::MIN, until: Ksuid::MAX, pick: Pick::Newest, limit: 5000 };
            let page = self.store.attempts(AttemptsOf::Endpoint(to), all, &AttemptFilter::default(), true).await;
            found = page.unwrap().items;
        }
        found.reverse();
        found
    }

    pub(crate) async fn until(&self, what: &str, check: impl AsyncFn() -> bool) {
        for _ in 0..6000 {
            if check().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("half a minute has gone by, and still not: {what}");
    }

    pub(crate) fn reported(&self) -> Vec<&'static str> {
        self.reports.0.lock().unwrap().clone()
    }

    pub(crate) async fn stop(self) {
        self.engine.stop(Duration::from_secs(5)).await;
        self.upkeep.stop().await;
    }
}

pub(crate) fn statuses(attempts: &[domain::Attempt]) -> Vec<u16> {
    attempts.iter().map(|a| a.response_status).collect()
}

pub(crate) fn all_failed(attempts: &[domain::Attempt]) -> bool {
    attempts.iter().all(|a| a.status == AttemptStatus::Fail)
}

pub(crate) fn later(at: Timestamp, seconds: u64) -> Timestamp {
    at.plus(Duration::from_secs(seconds))
}
