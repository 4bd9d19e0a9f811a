//! The whole API over a real store: whatever a request says, the answer is one of ours, and what was accepted can be
//! sent.
//!
//! Input: method, a space, path and query below `/api/v1`, a line feed, the body. `/app/a`, its endpoint `e` and the
//! event type `t` are there.
#![no_main]

use api::Slashes;
use axum::body::Body;
use domain::{EndpointId, EndpointRef, IdOrUid, OrganizationId, Secret};
use http::{Method, Request, Uri};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use outbound::{Guard, SignatureKind, SigningKey, Target, generate_secret};
use serde_json::{Value, json};
use service::{AddressPolicy, Admission, Parts, SecretMaker, Service, ServiceSettings, Tokens};
use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};
use store::{Birth, Commit, Directory, Ids, MainKey, Store, queue::SharedTicket, sqlite::Sqlite};
use testkit::ManualClock;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};
use tower::ServiceExt as _;
use url::Url;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

fuzz_target!(|data: &[u8]| {
    let Some((head, body)) = data.iter().position(|b| *b == b'\n').map(|at| (&data[..at], &data[at + 1..])) else {
        return;
    };
    let Some((method, path)) = std::str::from_utf8(head).ok().and_then(|head| head.split_once(' ')) else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), format!("/api/v1{path}").parse::<Uri>()) else { return };
    SERVER.runtime.block_on(SERVER.tried(method, uri, body));
});

struct Server {
    runtime: Runtime,
    router: Slashes,
    store: Arc<dyn Store>,
    organization: OrganizationId,
    token: String,
    _commits: mpsc::UnboundedReceiver<Commit>,
    _folder: tempfile::TempDir,
}

/// Nothing is sent: all deliveries wait.
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

struct Guarded(Guard);
impl AddressPolicy for Guarded {
    fn check_url(&self, url: &Url) -> Result<(), String> {
        // As the server has it.
        Target::check_url(url).map_err(|e| e.to_string())?;
        self.0.check_url(url).map_err(|e| e.to_string())
    }
}

struct Random;
impl SecretMaker for Random {
    fn generate(&self, _: service::SignatureKind) -> Secret {
        generate_secret(SignatureKind::Hmac256)
    }
    fn check(&self, secret: &Secret) -> Result<(), String> {
        SigningKey::new(secret).map(|_| ()).map_err(|e| e.to_string())
    }
    fn generate_body_key(&self) -> domain::BodyKey {
        // A real one takes a good part of a second.
        domain::BodyKey { kid: "k".into(), n: "AQ".into(), e: "AQAB".into(), private: String::new() }
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
            at: domain::Timestamp::default(),
            duration_us: 0,
            test: question.test.is_some(),
            outcome: combined.outcome,
            report: combined.report,
        };
        Box::pin(std::future::ready(run))
    }
}

impl Server {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // In memory where there is such a place: a sync costs nothing there.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let path = folder.path().join("fuzz.db");
        let (sqlite, commits) = runtime.block_on(async { Sqlite::open(&path, &MainKey::generate()) }).unwrap();
        let store: Arc<dyn Store> = Arc::new(sqlite);
        let organization: OrganizationId = OrganizationId::DEFAULT.parse().unwrap();
        let (token, router) = runtime.block_on(async {
            let ids = Arc::new(Ids::after(&*store, Arc::new(ManualClock::default())).await.unwrap());
            let tokens = Arc::new(Tokens::new("secret"));
            let token = tokens.for_organization(&organization, ids.now());
            let service = Arc::new(Service::new(Parts {
                directory: Arc::new(Directory::new(store.clone())),
                ids,
                settings: ServiceSettings::default(),
                admission: Arc::new(Waiting),
                guard: Arc::new(Guarded(Guard::default())),
                secrets: Arc::new(Random),
                tokens,
                asker: Arc::new(Nobody),
                oidc: None,
                mail: None,
            }));
            (token, api::router(api::ApiState::new(service, None)))
        });
        let server = Self { runtime, router, store, organization, token, _commits: commits, _folder: folder };
        server.runtime.block_on(async {
            for (path, body) in [
                ("/app", json!({"name": "A", "uid": "a"})),
                ("/event-type", json!({"name": "t", "description": ""})),
                ("/app/a/endpoint", json!({"url": "https://example.com/", "uid": "e"})),
                ("/app/a/msg", json!({"eventType": "t", "eventId": "m", "payload": {"n": 1}})),
            ] {
                let uri = format!("/api/v1{path}").parse().unwrap();
                let (status, text) = server.send(Method::POST, uri, body.to_string().into_bytes()).await;
                assert!((200..300).contains(&status), "{path}: {status} {text}");
            }
        });
        server
    }

    async fn send(&self, method: Method, uri: Uri, body: Vec<u8>) -> (u16, String) {
        let request =
            Request::builder().method(method).uri(uri).header("authorization", format!("Bearer {}", self.token));
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.into()).unwrap())
    }

    async fn tried(&self, method: Method, uri: Uri, body: &[u8]) {
        // Without these there is nothing to play with.
        let gone = matches!(uri.path().trim_end_matches('/'), "/api/v1/app/a" | "/api/v1/app/a/endpoint/e");
        if gone && method != Method::GET && method != Method::POST {
            return;
        }
        let (status, text) = self.send(method.clone(), uri.clone(), body.to_vec()).await;
        let what = || format!("{method} {uri}: {status} {text}");
        assert!(status < 500, "{}", what());
        // Pages, documents and empty answers.
        if text.is_empty() || !text.starts_with('{') {
            return;
        }
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {}", what()));
        match status {
            422 => {
                let problems = json["detail"].as_array().unwrap_or_else(|| panic!("{}", what()));
                let whole = |p: &Value| p["loc"].is_array() && p["msg"].is_string() && p["type"].is_string();
                assert!(!problems.is_empty() && problems.iter().all(whole), "{}", what());
            }
            400.. => assert!(json["code"].is_string() && json["detail"].is_string(), "{}", what()),
            202 if method == Method::POST && uri.path() == "/api/v1/app/a/msg" && uri.query().is_none() => {
                self.payload_stays(body, &json).await;
            }
            200..300 => self.can_be_sent_to(&json).await,
            _ => {}
        }
    }

    /// What is shown, and kept, is what came in.
    async fn payload_stays(&self, body: &[u8], shown: &Value) {
        let mut first = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
        let Some(Ok(sent)) = first.next() else { return };
        if sent.get("transformationsParams").is_some() {
            return;
        }
        let payload = sent.get("payload").or(sent.get("data")).unwrap();
        assert_eq!(&shown["payload"], payload);
        let uri = format!("/api/v1/app/a/msg/{}", shown["id"].as_str().unwrap()).parse().unwrap();
        let (status, text) = self.send(Method::GET, uri, Vec::new()).await;
        assert_eq!((status, &serde_json::from_str::<Value>(&text).unwrap()), (200, shown));
    }

    /// What is accepted as an endpoint is one: with an address that may be reached, headers and keys that work.
    async fn can_be_sent_to(&self, json: &Value) {
        let Some(id) = json["id"].as_str().and_then(|id| id.parse::<EndpointId>().ok()) else { return };
        let app = self.store.application(&self.organization, &IdOrUid::Uid("a".to_owned())).await.unwrap().unwrap();
        let Some(endpoint) = self.store.endpoint(app.key, &IdOrUid::Id(id)).await.unwrap() else { return };
        Target::prepare(&endpoint).unwrap_or_else(|e| panic!("{} was accepted: {e}", endpoint.url));
        assert!(
            Guard::default().check_url(&Url::parse(&endpoint.url).unwrap()).is_ok(),
            "{} was accepted",
            endpoint.url
        );
        if endpoint.uid.as_ref().is_none_or(|uid| uid.as_str() != "e") {
            let uri = format!("/api/v1/app/a/endpoint/{id}").parse().unwrap();
            assert_eq!(self.send(Method::DELETE, uri, Vec::new()).await.0, 204);
        }
    }
}
