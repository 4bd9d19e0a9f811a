//! The wiring: from settings to a server that runs. Everything is made here once and handed down.

use crate::{
    clock::SystemClock,
    secrets::{self, SecretsError},
    server::{self, Limits},
    settings::{Database, Settings},
};
use api::{ApiState, Slashes};
use dashboard::{Dashboard, DashboardSettings};
use delivery::{Engine, EngineParts, EngineSettings, Happened, Reporter, Seats, Upkeep, UpkeepSettings};
use domain::{
    BodyKey, Endpoint, EndpointRef, InLine, OrganizationId, Secret,
    webfilter::{Protection, Question},
};
use filters::{FilterSettings, Filters, LogSettings};
use outbound::{AnswerLimits, Client, ClientOptions, Guard, Mail, QueueOptions, SigningKey, Target};
use service::{
    AddressPolicy, Admission, Agreement, Ask, Asker, Asking, Fetch, Fetched, Post, Posted, SecretMaker, Service,
    ServiceSettings, Tokens,
    oidc::Provider,
    operational::{AttemptNames, EndpointNames, LastAttempt, OperationalEvent},
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use store::{
    Birth, Commit, Directory, Ids, MainKey, Store, StoreError, postgres::Postgres, queue::SharedTicket, sqlite::Sqlite,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};
use url::Url;

/// Time for the head of a request, and how long a connection may idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the body of a request, at most 2 MiB.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What a stop leaves to requests and deliveries in flight. The whole stop takes at most ten seconds.
const GRACE: Duration = Duration::from_secs(8);
/// Answers to requests with an idempotency key are repeated for this long, as Svix does.
const ANSWER_RETENTION: Duration = Duration::from_secs(12 * 3600);
/// Reports on their way to becoming operational webhooks. Beyond these, reports are dropped rather than slow delivery.
const REPORTS: usize = 4096;

/// Requests on the wire from which on each endpoint has one place among them. A connection takes about 20 KB.
const CROWDED: usize = 1024;

/// Beyond the deadline of any webfilter, which `filters` keeps.
const WEBFILTER_CLIENT_TIMEOUT: Duration = Duration::from_secs(61);
/// Runs of webfilters in the log, of one application.
const WEBFILTER_RUNS: usize = 10_000;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A secret is not to be had.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}. Another LISTEN address, or stopping who uses this one, would help")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The client for receivers cannot be made.
    #[error(transparent)]
    Client(#[from] outbound::ClientError),
    /// Mail cannot be sent.
    #[error("SMTP_URL or MAIL_FROM has to change: {0}")]
    Mail(#[from] outbound::MailError),
    /// Nothing can be counted.
    #[error("cannot count: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Something else that the service needs at the start.
    #[error(transparent)]
    Service(#[from] service::ServiceError),
}

/// A server that is ready: it listens, and deliveries run.
pub(crate) struct App {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    router: Slashes,
    engine: Engine,
    upkeep: Upkeep,
    filters: Arc<Filters>,
    reports: JoinHandle<()>,
    rotation: JoinHandle<()>,
    service: Arc<Service>,
    store: Arc<dyn Store>,
}

impl App {
    /// Opens the database, listens, and takes up the deliveries that were left waiting.
    pub(crate) async fn start(
        settings: &Settings,
        bind: impl AsyncFnOnce(SocketAddr) -> io::Result<TcpListener>,
    ) -> Result<Self, StartError> {
        // First, because whatever counts asks for its counters when it is made.
        let figures = api::figures::install()?;
        let tokens = Arc::new(Tokens::new(secrets::jwt_secret(settings)?.expose()));
        let key = secrets::main_key(settings)?;
        // First: a second server on the same database has to learn that before anything else.
        let (store, commits) = open(settings, &key).await?;
        let ids = Arc::new(Ids::after(&*store, Arc::new(SystemClock)).await?);
        let directory = Arc::new(Directory::new(store.clone()));

        let bind_error = |error| StartError::Bind { address: settings.listen, error };
        let listener = bind(settings.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;

        let guard = Arc::new(Guard::new(settings.allow_subnets.clone()));
        let options = || ClientOptions::new(guard.clone(), concat!("Schoolbell/", env!("CARGO_PKG_VERSION")));
        let client = Arc::new(Client::new(ClientOptions {
            timeout: settings.request_timeout,
            queues: QueueOptions { own_access: settings.sqs_own_access, endpoint: settings.sqs_endpoint.clone() },
            ..options()
        })?);
        let filters = Arc::new(start_filters(settings, options(), &directory, &ids)?);
        let oidc = settings.oidc_issuer.as_ref().map(|issuer| {
            let secret = settings.oidc_client_secret.as_ref().map(|s| s.expose().to_owned());
            let web: Arc<dyn Fetch> = Arc::new(Web(client.clone()));
            Provider::new(issuer, settings.oidc_client_id.clone(), secret, web)
        });
        let mail = match &settings.smtp_url {
            Some(url) => {
                let mail: Arc<dyn Post> = Arc::new(Mails(Mail::new(url.expose(), &settings.mail_from)?));
                Some(mail)
            }
            None => None,
        };
        let addresses = Addresses { guard, client: client.clone(), ids: ids.clone() };
        let (reporter, reports) = mpsc::channel(REPORTS);
        let parts = EngineParts {
            directory: directory.clone(),
            client,
            ids: ids.clone(),
            reporter: Arc::new(Forward(reporter)),
            jitter: Box::new(random_share),
            settings: EngineSettings {
                public_url: settings.address_for_others(address).into(),
                retry_schedule: settings.retry_schedule.clone(),
                concurrency: settings.endpoint_concurrency,
                disable_after: settings.disable_after,
                crowded: CROWDED,
                memory_budget: settings.memory_budget,
            },
        };
        let engine = Engine::start(parts, commits).await?;
        let upkeep_settings = UpkeepSettings {
            attempt_retention: settings.attempt_retention,
            answer_retention: ANSWER_RETENTION,
            audit_retention: settings.audit_retention,
        };
        let upkeep = Upkeep::start(directory.clone(), ids.clone(), upkeep_settings);

        let service = Arc::new(Service::new(service::Parts {
            directory,
            ids,
            settings: ServiceSettings {
                payload_days: settings.payload_retention,
                signature: match settings.default_signature {
                    outbound::SignatureKind::Hmac256 => service::SignatureKind::Hmac256,
                    outbound::SignatureKind::Ed25519 => service::SignatureKind::Ed25519,
                },
                https_only: settings.endpoint_https_only,
                operational_webhooks: settings.operational_webhooks,
                public_url: settings.address_for_others(address),
            },
            admission: Arc::new(Doors { seats: engine.seats(), tasks: upkeep.bell() }),
            guard: Arc::new(addresses),
            secrets: Arc::new(Keys),
            tokens,
            oidc,
            mail,
            asker: Arc::new(AskFilters(filters.clone())),
        }));
        service.seed_operational_event_types().await?;
        let reports = tokio::spawn(tell_operators(reports, service.clone()));
        let dashboard_settings = DashboardSettings {
            frame_origins: settings.portal_frame_origins.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
        };
        let pages = dashboard::routes(Dashboard::new(service.clone(), dashboard_settings));
        let router = api::trim_slashes(api::routes(ApiState::new(service.clone(), Some(figures))).merge(pages));

        let limits =
            Limits { connections: settings.max_connections, head: HEAD_TIMEOUT, body: BODY_TIMEOUT, grace: GRACE };
        let rotation = tokio::spawn(rotate_body_keys(service.clone(), settings.signing_key_rotation));
        Ok(Self { listener, address, limits, router, engine, upkeep, filters, reports, rotation, service, store })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A link that signs the operator in to the dashboard, once.
    pub(crate) fn sign_in_link(&self) -> Option<String> {
        let organization = OrganizationId::DEFAULT.parse().ok()?;
        Some(self.service.sign_in_link(&organization))
    }

    /// Serves until `stop` is over, then finishes or gives back what is in flight, within ten seconds.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = oneshot::channel();
        let stop = async {
            stop.await;
            tracing::info!("stopping");
            let _ = stopping.send(());
        };
        let serve = server::run(self.listener, self.router, self.limits, stop);
        // Requests and deliveries in flight have the same time, side by side.
        let deliver = async {
            let _ = stopped.await;
            self.engine.stop(GRACE).await;
        };
        tokio::join!(serve, deliver);
        self.upkeep.stop().await;
        self.filters.stop().await;
        self.rotation.abort();
        // Cancelled, as asked.
        let _ = self.rotation.await;
        self.reports.abort();
        // Cancelled, as asked. After it nobody but us holds the store, which then puts its log into the database.
        let _ = self.reports.await;
        if let Err(error) = self.store.leave().await {
            tracing::warn!(%error, "failed to take leave of the other nodes; they notice within 15 seconds");
        }
    }
}

/// Opens the store that the settings name.
async fn open(
    settings: &Settings,
    key: &MainKey,
) -> Result<(Arc<dyn Store>, mpsc::UnboundedReceiver<Commit>), StartError> {
    match &settings.database {
        Database::Sqlite(path) => {
            secrets::make_private(path)?;
            let (store, commits) = Sqlite::open(path, key)?;
            Ok((Arc::new(store), commits))
        }
        Database::Postgres(url) => {
            let (store, commits) = Postgres::open(url.expose(), &settings.node_name(), key).await?;
            Ok((Arc::new(store), commits))
        }
    }
}

/// Replaces keys that sign bodies when their time has come.
async fn rotate_body_keys(service: Arc<Service>, after: Duration) {
    let pause = (after / 10).clamp(Duration::from_millis(200), Duration::from_secs(3600));
    loop {
        match service.rotate_old_body_keys(after).await {
            Ok(0) => {}
            Ok(applications) => tracing::info!(applications, "replaced keys that sign bodies"),
            Err(error) => tracing::error!(%error, "failed to replace keys that sign bodies; trying again"),
        }
        tokio::time::sleep(pause).await;
    }
}

/// A number from 0 to 1, for spreading retries.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    store::seal::fill_random(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// Where the service meets the engine.
struct Doors {
    seats: Seats,
    tasks: Arc<Notify>,
}

impl Admission for Doors {
    fn admit(&self, to: EndpointRef) -> Birth {
        self.seats.admit(to)
    }
    fn budget(&self, bytes: usize) -> Option<SharedTicket> {
        self.seats.budget(bytes)
    }
    fn tasks_changed(&self) {
        self.tasks.notify_one();
    }
    fn endpoint_changed(&self, to: EndpointRef) {
        self.seats.endpoint_changed(to);
    }
    fn in_line(&self, to: EndpointRef) -> InLine {
        self.seats.in_line(to)
    }
}

/// Where the service meets the address guard.
struct Addresses {
    guard: Arc<Guard>,
    client: Arc<Client>,
    ids: Arc<Ids>,
}

impl AddressPolicy for Addresses {
    fn check_url(&self, url: &Url) -> Result<(), String> {
        Target::check_url(url).map_err(|e| e.to_string())?;
        self.guard.check_url(url).map_err(|blocked| blocked.to_string())
    }
    fn check_queue(&self, endpoint: &Endpoint) -> Result<(), String> {
        self.client.queue(endpoint).map(|_| ()).map_err(|e| e.to_string())
    }
    fn shake_hands<'a>(&'a self, endpoint: &'a Endpoint, how: service::Handshake) -> Agreement<'a> {
        let how = match how {
            service::Handshake::HookSecret => outbound::Handshake::HookSecret,
            service::Handshake::CloudEvents(origin) => outbound::Handshake::CloudEvents { origin },
        };
        Box::pin(async move {
            let target = Target::prepare(endpoint).map_err(|e| e.to_string())?;
            self.client.shake_hands(&target, &how, self.ids.now()).await.map_err(|e| e.to_string())
        })
    }
}

/// Where the service meets web servers that are no receivers.
struct Web(Arc<Client>);

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a Url, ask: Ask) -> Fetched<'a> {
        let question = outbound::Question { form: ask.form, authorization: ask.authorization };
        Box::pin(async move {
            let answer = self.0.fetch(url, question).await;
            answer.map(|(status, body)| (status.as_u16(), body)).map_err(|e| e.to_string())
        })
    }
}

/// Where the service meets the mail server.
struct Mails(Mail);

impl Post for Mails {
    fn send<'a>(&'a self, to: &'a str, subject: &'a str, text: String) -> Posted<'a> {
        Box::pin(async move { self.0.send(to, subject, text).await.map_err(|e| e.to_string()) })
    }
}

/// A client of their own, because answers of webfilters are read to the end and deliveries' are not.
fn start_filters(
    settings: &Settings,
    options: ClientOptions,
    directory: &Directory,
    ids: &Arc<Ids>,
) -> Result<Filters, StartError> {
    let limit = settings.webfilter_answer_limit;
    let client = Client::new(ClientOptions {
        timeout: WEBFILTER_CLIENT_TIMEOUT,
        // One more than is taken, to tell what is too long.
        answer_limits: AnswerLimits { read: limit + 1, kept: limit + 1 },
        ..options
    })?;
    let mut protection = Protection::with(settings.webfilter_protected_fields.iter().cloned());
    protection.may_leave = settings.webfilter_allow_protected.leave;
    protection.may_be_set = settings.webfilter_allow_protected.set;
    let decided = FilterSettings {
        timeout: settings.webfilter_timeout,
        run_timeout: settings.webfilter_run_timeout,
        answer_limit: limit,
        protection,
    };
    let log = LogSettings { retention: settings.attempt_retention, runs_max: WEBFILTER_RUNS };
    Ok(Filters::start(client, directory.store().clone(), ids.clone(), decided, log))
}

/// Where the service meets the webfilters.
struct AskFilters(Arc<Filters>);

impl Asker for AskFilters {
    fn run(&self, question: Question) -> Asking<'_> {
        Box::pin(self.0.run(question))
    }
}

/// Where the service meets the maker of keys.
struct Keys;

impl SecretMaker for Keys {
    fn generate(&self, kind: service::SignatureKind) -> Secret {
        outbound::generate_secret(match kind {
            service::SignatureKind::Hmac256 => outbound::SignatureKind::Hmac256,
            service::SignatureKind::Ed25519 => outbound::SignatureKind::Ed25519,
        })
    }
    fn check(&self, secret: &Secret) -> Result<(), String> {
        SigningKey::new(secret).map(|_| ()).map_err(|e| e.to_string())
    }
    fn generate_body_key(&self) -> BodyKey {
        outbound::jws::generate_body_key()
    }
}

/// Hands reports on without ever holding up delivery.
struct Forward(mpsc::Sender<Happened>);

impl Reporter for Forward {
    fn report(&self, happened: Happened) {
        if self.0.try_send(happened).is_err() {
            tracing::warn!("an operational webhook was dropped: too many at once");
        }
    }
}

async fn tell_operators(mut reports: mpsc::Receiver<Happened>, service: Arc<Service>) {
    while let Some(happened) = reports.recv().await {
        let attempt = |a: delivery::LastAttempt| LastAttempt {
            id: a.id,
            response_status_code: a.response_status,
            timestamp: a.at,
        };
        let (app, event) = match happened {
            Happened::EndpointDisabled { app, endpoint, fail_since, given_up } => {
                let endpoint = EndpointNames::of(&app.application, &endpoint);
                let given_up = given_up.map(Into::into);
                (app, OperationalEvent::EndpointDisabled { endpoint, fail_since, given_up })
            }
            Happened::Failing(app, endpoint, message, last) => {
                let names = AttemptNames::of(&app.application, &message, &endpoint, attempt(last));
                (app, OperationalEvent::AttemptFailing(names))
            }
            Happened::Exhausted(app, endpoint, message, last) => {
                let names = AttemptNames::of(&app.application, &message, &endpoint, attempt(last));
                (app, OperationalEvent::AttemptExhausted(names))
            }
            Happened::Recovered(app, endpoint, message, last) => {
                let names = AttemptNames::of(&app.application, &message, &endpoint, attempt(last));
                (app, OperationalEvent::AttemptRecovered(names))
            }
        };
        service.operational(&app.application.organization, event).await;
    }
}
