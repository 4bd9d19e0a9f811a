//! A server without sockets, and short words for calling it.

use api::Slashes;
use axum::body::Body;
use bytes::Bytes;
use domain::{DeliveryRef, EndpointRef, IdOrUid, OrganizationId, Secret, Timestamp, Trigger};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;
use service::{AddressPolicy, Admission, Parts, SecretMaker, Service, ServiceSettings, SignatureKind, Tokens};
use std::{sync::Arc, time::Duration};
use store::{
    Birth, Commit, Directory, Ids, MainKey, NewAttempt, Record, Settle, Store, queue::SharedTicket, seal::fill_random,
    sqlite::Sqlite,
};
use testkit::ManualClock;
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use url::Url;

pub(crate) struct World {
    pub(crate) router: Slashes,
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) organization: String,
    _commits: mpsc::UnboundedReceiver<Commit>,
    _folder: tempfile::TempDir,
}

/// All deliveries wait, so that tests claim them when they like.
struct Waiting;
impl Admission for Waiting {
    fn admit(&self, _: EndpointRef) -> Birth {
        Birth::Waiting
    }
    fn budget(&self, _: usize) -> Option<SharedTicket> {
        None
    }
    fn tasks_changed(&self) {}
}

struct NotTen;
impl AddressPolicy for NotTen {
    fn check_url(&self, url: &Url) -> Result<(), String> {
        if url.host_str() == Some("10.0.0.1") { Err("10.0.0.1 is a private address".to_owned()) } else { Ok(()) }
    }
}

struct Random;
impl SecretMaker for Random {
    fn generate(&self, _: SignatureKind) -> Secret {
        let mut key = vec![0; 24];
        fill_random(&mut key);
        Secret::Hmac(key)
    }
    fn check(&self, secret: &Secret) -> Result<(), String> {
        if *secret == Secret::Ed25519([1; 64]) { Err("the halves do not belong together".to_owned()) } else { Ok(()) }
    }
    fn generate_body_key(&self) -> domain::BodyKey {
        let mut kid = [0; 8];
        fill_random(&mut kid);
        let kid = u64::from_le_bytes(kid).to_string();
        domain::BodyKey { kid, n: "AQ".into(), e: "AQAB".into(), private: "hidden".into() }
    }
}

/// Asks no webfilter.
struct Nobody;

impl service::Asker for Nobody {
    fn run(&self, question: domain::webfilter::Question) -> service::Asking<'_> {
        let heard: Vec<_> = question
            .webfilters
            .iter()
            .map(|w| {
                let given = question.given.iter().find(|(of, _)| *of == w.id).map(|(_, said)| said.clone());
                (w.as_ref(), given.unwrap_or(domain::webfilter::Heard::Unneeded), Duration::ZERO)
            })
            .collect();
        let combined = domain::webfilter::combine(&question.rules, &heard, &Default::default());
        let run = domain::webfilter::Run {
            id: domain::WebfilterRunId(domain::Ksuid::MIN),
            app: question.app,
            filter: question.rules.name.clone(),
            at: Timestamp::default(),
            duration_us: 0,
            test: question.test.is_some(),
            outcome: combined.outcome,
            report: combined.report,
        };
        Box::pin(std::future::ready(run))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }
    /// The code of an ordinary error.
    #[track_caller]
    pub(crate) fn fails(self, status: u16) -> String {
        let json = self.is(status);
        assert!(json["detail"].is_string(), "{json}");
        json["code"].as_str().unwrap().to_owned()
    }
    /// Place, message and type of the first problem of a 422.
    #[track_caller]
    pub(crate) fn invalid(self) -> (String, String, String) {
        let json = self.is(422);
        let first = &json["detail"][0];
        let loc: Vec<_> = first["loc"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        let text = |field: &str| first[field].as_str().unwrap().to_owned();
        (loc.join("/"), text("msg"), text("type"))
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sqlite, commits) = Sqlite::open(&folder.path().join("test.db"), &MainKey::generate()).unwrap();
        let store: Arc<dyn Store> = Arc::new(sqlite);
        let clock = Arc::new(ManualClock::default());
        let ids = Arc::new(Ids::after(&*store, clock.clone()).await.unwrap());
        let tokens = Arc::new(Tokens::new("secret"));
        let organization = tokens.for_organization(&OrganizationId::DEFAULT.parse().unwrap(), ids.now());
        let service = Arc::new(Service::new(Parts {
            directory: Arc::new(Directory::new(store.clone())),
            ids: ids.clone(),
            settings: ServiceSettings::default(),
            admission: Arc::new(Waiting),
            guard: Arc::new(NotTen),
            secrets: Arc::new(Random),
            tokens,
            oidc: None,
            mail: None,
            asker: Arc::new(Nobody),
        }));
        service.seed_operational_event_types().await.unwrap();
        let router = api::router(api::ApiState::new(service.clone(), None));
        Self { router, service, store, clock, ids, organization, _commits: commits, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// With a token and headers, below `/api/v1`.
    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call_as(&self.organization, Method::GET, path, &[], "").await
    }
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call_as(&self.organization, Method::DELETE, path, &[], "").await
    }
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call_as(&self.organization, Method::POST, path, &[], body.to_string()).await
    }
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call_as(&self.organization, Method::PUT, path, &[], body.to_string()).await
    }
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call_as(&self.organization, Method::PATCH, path, &[], body.to_string()).await
    }
    /// A POST whose body is not made by us.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> Answer {
        self.call_as(&self.organization, Method::POST, path, &[], body.to_owned()).await
    }

    /// An application with this uid.
    pub(crate) async fn app(&self, uid: &str) {
        self.post("/app", serde_json::json!({"name": uid, "uid": uid})).await.is(201);
    }
    /// An endpoint in it; gives its id.
    pub(crate) async fn endpoint(&self, app: &str) -> String {
        let body = serde_json::json!({"url": "https://example.com/hook"});
        let json = self.post(&format!("/app/{app}/endpoint"), body).await.is(201);
        json["id"].as_str().unwrap().to_owned()
    }
    /// A message in it; gives its id.
    pub(crate) async fn message(&self, app: &str) -> String {
        let body = serde_json::json!({"eventType": "track.started", "payload": {"n": 1}});
        let json = self.post(&format!("/app/{app}/msg"), body).await.is(202);
        json["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn endpoint_ref(&self, app: &str, endpoint: &str) -> EndpointRef {
        let organization = OrganizationId::DEFAULT.parse().unwrap();
        let app = self.store.application(&organization, &IdOrUid::read(app)).await.unwrap().unwrap();
        let endpoint = self.store.endpoint(app.key, &IdOrUid::read(endpoint)).await.unwrap().unwrap();
        EndpointRef { app: app.key, endpoint: endpoint.key }
    }

    /// Takes all that is due to an endpoint and records what the receiver answered.
    pub(crate) async fn answer_all(&self, app: &str, endpoint: &str, status: u16, settle: Settle) -> usize {
        let to = self.endpoint_ref(app, endpoint).await;
        let claimed = self.store.claim(to, self.ids.now(), 100, 1 << 20, false).await.unwrap();
        let count = claimed.deliveries.len();
        for leased in claimed.deliveries {
            let (id, at) = self.ids.next();
            let attempt = NewAttempt {
                id: domain::AttemptId(id),
                at,
                url: "https://example.com/hook".into(),
                success: (200..300).contains(&status),
                trigger: leased.trigger,
                response: "answered".to_owned(),
                response_status: status,
                duration_ms: 7,
                reason: domain::FailureReason::of_status(status),
            };
            self.store.record(Record {
                delivery: leased.delivery,
                attempt: Some(attempt),
                settle,
                tries: leased.tries + u32::from(leased.trigger == Trigger::Scheduled),
                order_key: None,
                given_up: None,
                now: at,
                ticket: None,
            });
        }
        // Once this is answered, what was handed in before it is written.
        self.store.release(Vec::<DeliveryRef>::new(), self.ids.now()).await.unwrap();
        count
    }

    pub(crate) fn later(&self, by: Duration) {
        self.clock.advance(by);
    }
    pub(crate) fn now(&self) -> Timestamp {
        self.ids.now()
    }
}

/// One field of every item of a list.
pub(crate) fn column(list: &Value, field: &str) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}
