//! What behaviours are told with: a store, a clock that is moved by hand, ids that grow, and the everyday moves.

use super::Fixture;
use crate::{
    Store,
    queue::{Accept, Accepted, Birth, Commit, Leased, NewAttempt, NewDelivery, Outgoing, Purge, Record, Settle},
};
use bytes::Bytes;
use domain::{
    AppKey, Application, ApplicationId, AttemptId, DeliveryRef, Endpoint, EndpointId, EndpointKey, EndpointRef,
    EventTypeName, FailureReason, IdGenerator, IdOrUid, IdRange, Ksuid, MessageId, MessageMeta, OrderKey,
    OrganizationId, PageOf, Pick, Secret, Secrets, Timestamp, Trigger, Uid,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

/// How a delivery is born, without a ticket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Born {
    Waiting,
    Leased,
    InOrder,
}

/// An event to publish.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) event_type: &'static str,
    pub(super) event_id: Option<&'static str>,
    pub(super) channels: &'static [&'static str],
    pub(super) tags: &'static [&'static str],
    pub(super) order_key: Option<&'static str>,
    pub(super) payload: &'static str,
    pub(super) to: Vec<EndpointRef>,
    pub(super) born: Born,
    pub(super) hash: Option<[u8; 32]>,
    pub(super) repeat_since: Timestamp,
    pub(super) expires_hour: i64,
}

impl Default for Post {
    fn default() -> Self {
        Self {
            event_type: "track.started",
            event_id: None,
            channels: &[],
            tags: &[],
            order_key: None,
            payload: r#"{"track": 1}"#,
            to: Vec::new(),
            born: Born::Waiting,
            hash: None,
            repeat_since: Timestamp::default(),
            expires_hour: i64::from(i32::MAX),
        }
    }
}

impl Post {
    /// An event that waits to go to these.
    pub(super) fn to(to: &[EndpointRef]) -> Self {
        Self { to: to.to_vec(), ..Self::default() }
    }
    /// As [`Self::to`], one after the other.
    pub(super) fn in_order(to: EndpointRef, key: &'static str) -> Self {
        Self { to: vec![to], born: Born::InOrder, order_key: Some(key), ..Self::default() }
    }
}

pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) commits: UnboundedReceiver<Commit>,
    pub(super) now: Timestamp,
    ids: IdGenerator,
    random: u64,
}

/// Where an endpoint is, for the moves of its deliveries.
pub(super) fn at(endpoint: &Endpoint) -> EndpointRef {
    EndpointRef { app: endpoint.app, endpoint: endpoint.key }
}

pub(super) fn org(name: &str) -> OrganizationId {
    format!("org_{name}").parse().unwrap()
}

pub(super) fn event_type(name: &str) -> EventTypeName {
    EventTypeName::new(name).unwrap()
}

pub(super) fn uid(name: &str) -> Uid {
    Uid::new(name).unwrap()
}

/// Everything there is, newest first.
pub(super) fn all() -> IdRange {
    IdRange { from: Ksuid::MIN, until: Ksuid::MAX, pick: Pick::Newest, limit: 1000 }
}

/// The least id that is greater.
pub(super) fn after(id: Ksuid) -> Ksuid {
    let mut bytes = id.0;
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    Ksuid(bytes)
}

impl World {
    pub(super) async fn open(fixture: &dyn Fixture) -> Self {
        let (store, commits) = fixture.open().await;
        let now = Timestamp::parse("2026-01-02T03:04:05.678901Z").unwrap();
        Self { store, commits, now, ids: IdGenerator::after(None), random: 1 }
    }

    /// The same data in the next run. What was leased is left lying, as after a crash.
    pub(super) async fn reopen(self, fixture: &dyn Fixture) -> Self {
        let Self { store, commits, now, ids, random } = self;
        drop((store, commits));
        let (store, commits) = fixture.open().await;
        Self { store, commits, now, ids, random }
    }

    pub(super) fn later(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    pub(super) fn id(&mut self) -> (Ksuid, Timestamp) {
        let Self { ids, random, now, .. } = self;
        ids.next(*now, &mut |bytes| {
            for byte in bytes {
                // Any sequence will do; this one is the same in each run.
                *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (*random >> 33) as u8;
            }
        })
    }

    pub(super) fn new_application(&mut self, organization: &str) -> Application {
        let (id, created_at) = self.id();
        Application {
            key: AppKey(0),
            id: ApplicationId(id),
            organization: org(organization),
            uid: None,
            name: "Room 7".into(),
            throttle_rate: None,
            metadata: Default::default(),
            options: Default::default(),
            created_at,
            updated_at: created_at,
            revision: 0,
        }
    }

    pub(super) async fn application(&mut self) -> Application {
        let new = self.new_application("a");
        self.store.create_application(new).await.unwrap()
    }

    pub(super) fn new_endpoint(&mut self, app: AppKey) -> Endpoint {
        let (id, created_at) = self.id();
        Endpoint {
            key: EndpointKey(0),
            app,
            id: EndpointId(id),
            uid: None,
            url: "https://hooks.example.edu/in".into(),
            description: String::new(),
            disabled: None,
            event_types: None,
            channels: None,
            throttle_rate: None,
            version: 1,
            metadata: Default::default(),
            headers: Vec::new(),
            secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
            options: Default::default(),
            failing_since: None,
            created_at,
            updated_at: created_at,
            revision: 0,
        }
    }

    pub(super) async fn endpoint(&mut self, app: AppKey) -> Endpoint {
        let new = self.new_endpoint(app);
        self.store.create_endpoint(new).await.unwrap()
    }

    /// An application with one endpoint.
    pub(super) async fn lane(&mut self) -> (AppKey, Endpoint) {
        let app = self.application().await.key;
        let endpoint = self.endpoint(app).await;
        (app, endpoint)
    }

    pub(super) fn new_accept(&mut self, app: AppKey, post: &Post) -> Accept {
        let (id, created_at) = self.id();
        let order_key = post.order_key.map(|k| OrderKey::new(k).unwrap());
        let birth = |_| match (post.born, &order_key) {
            (Born::Waiting, _) => Birth::Waiting,
            (Born::Leased, _) => Birth::Leased(Box::new(())),
            (Born::InOrder, key) => Birth::InOrder(key.clone().unwrap()),
        };
        let deliveries = post.to.iter().map(|to| NewDelivery { to: *to, birth: birth(to) }).collect();
        Accept {
            message: Arc::new(Outgoing {
                meta: MessageMeta {
                    id: MessageId(id),
                    app,
                    event_type: event_type(post.event_type),
                    event_id: post.event_id.map(uid),
                    channels: post.channels.iter().map(|c| domain::Channel::new(c).unwrap()).collect(),
                    tags: post.tags.iter().map(|t| domain::Tag::new(t).unwrap()).collect(),
                    order_key: order_key.clone(),
                    created_at,
                },
                payload: Bytes::from_static(post.payload.as_bytes()),
                budget: None,
            }),
            expires_hour: post.expires_hour,
            deliveries,
            idempotency: post.hash,
            repeat_since: post.repeat_since,
        }
    }

    /// Publishes, and says what became of it.
    pub(super) async fn try_post(&mut self, app: AppKey, post: &Post) -> (MessageId, Accepted) {
        let accept = self.new_accept(app, post);
        let id = accept.message.meta.id;
        let answer = self.store.accept(vec![accept]).await.unwrap().pop().unwrap();
        (id, answer)
    }

    /// Publishes something new.
    pub(super) async fn post(&mut self, app: AppKey, post: &Post) -> MessageId {
        let (id, answer) = self.try_post(app, post).await;
        assert!(matches!(answer, Accepted::New), "{answer:?}");
        id
    }

    /// Publishes something new to one endpoint, to wait there.
    pub(super) async fn post_to(&mut self, to: EndpointRef) -> MessageId {
        self.post(to.app, &Post::to(&[to])).await
    }

    /// Leases what is due now.
    pub(super) async fn claim(&self, to: EndpointRef) -> Vec<Leased> {
        self.store.claim(to, self.now, 1000, usize::MAX, false).await.unwrap().deliveries
    }

    /// Leases what is due now; the messages.
    pub(super) async fn claimed(&self, to: EndpointRef) -> Vec<MessageId> {
        self.claim(to).await.iter().map(|l| l.delivery.message).collect()
    }

    fn new_attempt(&mut self, status: u16, trigger: Trigger) -> NewAttempt {
        let (id, at) = self.id();
        NewAttempt {
            id: AttemptId(id),
            at,
            url: "https://hooks.example.edu/in".into(),
            success: (200..300).contains(&status),
            trigger,
            response: format!("answer {status}"),
            response_status: status,
            duration_ms: 12,
            reason: FailureReason::of_status(status),
        }
    }

    /// Hands in a result and waits until it is on disk.
    pub(super) async fn hand_in(&self, mut record: Record) {
        let (kept, dropped) = oneshot::channel::<()>();
        record.ticket = Some(Box::new(kept));
        self.store.record(record);
        // The store drops the ticket when the result is on disk.
        let _ = within(dropped).await;
    }

    pub(super) fn new_record(&mut self, delivery: DeliveryRef, status: Option<u16>, settle: Settle) -> Record {
        let trigger = if settle == Settle::AsPlanned { Trigger::Manual } else { Trigger::Scheduled };
        let attempt = status.map(|status| self.new_attempt(status, trigger));
        Record { delivery, attempt, settle, tries: 1, order_key: None, now: self.now, ticket: None }
    }

    /// A try of a delivery that is leased, answered with `status`.
    pub(super) async fn settle(&mut self, delivery: DeliveryRef, status: u16, settle: Settle) -> AttemptId {
        let record = self.new_record(delivery, Some(status), settle);
        let id = record.attempt.as_ref().unwrap().id;
        self.hand_in(record).await;
        id
    }

    /// A try of an ordered delivery that is leased.
    pub(super) async fn settle_in_order(&mut self, delivery: DeliveryRef, key: &str, status: u16, settle: Settle) {
        let order_key = Some(OrderKey::new(key).unwrap());
        let record = Record { order_key, ..self.new_record(delivery, Some(status), settle) };
        self.hand_in(record).await;
    }

    /// Leases all of an endpoint that waits, whenever it is due, then tries one delivery.
    pub(super) async fn tried(
        &mut self,
        to: EndpointRef,
        message: MessageId,
        status: u16,
        settle: Settle,
    ) -> AttemptId {
        let far = self.now.plus(Duration::from_secs(3600 * 24 * 365));
        self.store.claim(to, far, 1000, usize::MAX, false).await.unwrap();
        self.settle(DeliveryRef { to, message }, status, settle).await
    }

    /// A manual try of a message from beginning to end.
    pub(super) async fn tried_by_hand(&mut self, to: EndpointRef, message: MessageId, status: u16) -> AttemptId {
        let delivery = DeliveryRef { to, message };
        assert!(self.store.resend(delivery, self.now).await.unwrap());
        let good = (200..300).contains(&status);
        self.tried(to, message, status, if good { Settle::Delivered } else { Settle::AsPlanned }).await
    }

    /// The next commit that the engine hears of and that `fits`.
    pub(super) async fn commit(&mut self, mut fits: impl FnMut(&Commit) -> bool) -> Commit {
        loop {
            let commit = within(self.commits.recv()).await.expect("the store is open");
            if fits(&commit) {
                return commit;
            }
        }
    }

    /// Attempts of a message, newest first: to whom, and the HTTP status.
    pub(super) async fn answers_of(&self, app: AppKey, message: MessageId) -> Vec<(EndpointId, u16)> {
        let of = crate::AttemptsOf::Message(app, message);
        let page = self.store.attempts(of, all(), &Default::default(), true).await.unwrap();
        page.items.iter().map(|a| (a.endpoint, a.response_status)).collect()
    }

    pub(super) async fn payload_of(&self, app: AppKey, message: MessageId) -> Option<Bytes> {
        self.store.message(app, &IdOrUid::Id(message), true).await.unwrap().unwrap().payload
    }

    /// A retention step in which nothing is past its time yet.
    pub(super) fn nothing_old(&self) -> Purge {
        let never = Timestamp::default();
        Purge { now: self.now, payload_hour: 0, rows_before: never, answers_before: never, limit: 100, lazily: false }
    }
}

/// Waits for something that must come; a test that waits in vain fails instead of hanging.
pub(super) async fn within<T>(it: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), it).await.expect("nothing came within a minute")
}

/// The items of a page that must be the last one.
pub(super) fn only<T>(page: PageOf<T>) -> Vec<T> {
    assert!(!page.more, "another page follows");
    page.items
}
