//! `schoolbell demo`: the main job with no set-up. A real server on a scratch database, a receiver that checks
//! signatures, five platforms, and a steady stream of what happens in their classrooms.
//!
//! It talks to its server over HTTP only, like any platform would.

mod dice;
mod receiver;
mod screen;
mod tenants;

use super::{Failure, say};
use crate::{
    app::App,
    client::{ApiClient, ClientError},
    clock::SystemClock,
    logging,
    scratch::Scratch,
    secrets,
    server::{self, Limits},
    settings::{Database, Hidden, Settings},
    stop,
};
use clap::Args;
use dice::Dice;
use domain::{Clock as _, OrganizationId, retry::parse_duration};
use hyper::Method;
use receiver::Receiver;
use screen::{Note, Screen};
use serde_json::{Value, json};
use service::Tokens;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tenants::{Event, Stage, TENANTS, Tenant};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// Short, so that a retry can be watched.
const RETRY_SCHEDULE: &str = "2s,4s,8s,30s,2m";
/// Events on their way to the server at the same time.
const PUBLISHING: usize = 16;
/// What the end waits for deliveries that are still on their way.
const LAST_DELIVERIES: Duration = Duration::from_secs(3);

/// How to show it.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Events per second
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    /// Ends by itself after this long, such as 10s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("use a number from 0.01 to 10000".into()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "use a number with a unit, such as 10s or 5m".into())
}

/// Runs until it is interrupted, or for as long as it was told.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let stop = stop::listen();
    let scratch = Scratch::make(&std::env::temp_dir(), "demo")?;
    let mut settings = Settings::defaults();
    settings.database = Database::Sqlite(scratch.path().join("demo.db"));
    settings.retry_schedule = RETRY_SCHEDULE.parse().map_err(Failure::other)?;
    settings.allow_subnets = vec![IpAddr::V4(Ipv4Addr::LOCALHOST).into()];
    // Its failures are on purpose, and are told in the stream of deliveries.
    settings.log_level = "error".into();
    logging::start(&settings);

    let app = App::start(&settings, server::bind_nearby).await?;
    let server = format!("http://{}", app.address());
    let token = demo_token(&settings)?;
    let sign_in = app.sign_in_link().unwrap_or_default();
    let (stop_server, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));

    let (notes, incoming) = mpsc::unbounded_channel();
    let listener = server::bind((Ipv4Addr::LOCALHOST, 0).into()).await.map_err(Failure::other)?;
    let receiving = listener.local_addr().map_err(Failure::other)?;
    let client = ApiClient::new(&server, token.clone()).map_err(Failure::other)?;
    let receiver = Receiver::new(set_up(&client, receiving).await.map_err(Failure::other)?, notes.clone());
    let (stop_receiver, stopped) = oneshot::channel::<()>();
    let receiving = tokio::spawn(server::run(listener, receiver.router(), Limits::SMALL, async {
        let _ = stopped.await;
    }));

    introduce(&server, &sign_in, &token, &args);
    let screen = tokio::spawn(Screen::new(client.clone()).run(incoming));
    let time_is_up = async {
        match args.duration {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let end = async {
        tokio::select! { () = stop => {}, () = time_is_up => {} }
    };
    publish(&client, args.rate, notes, end).await;

    // All senders of notes are gone when the receiver is; until then late deliveries are still shown.
    let _ = timeout(LAST_DELIVERIES, wait_for_quiet(&client)).await;
    let _ = stop_server.send(());
    let _ = serving.await;
    let _ = stop_receiver.send(());
    let _ = receiving.await;
    drop(receiver);
    let summary = screen.await.map_err(Failure::other)?;
    drop(scratch);
    say(format_args!("\n{summary}"));
    Ok(())
}

fn demo_token(settings: &Settings) -> Result<Hidden, Failure> {
    let organization: OrganizationId = OrganizationId::DEFAULT.parse().map_err(Failure::other)?;
    let secret = secrets::jwt_secret(settings)?;
    Ok(Hidden::new(Tokens::new(secret.expose()).for_organization(&organization, SystemClock.now())))
}

/// Makes applications and endpoints; answers the endpoints' secrets.
async fn set_up(client: &ApiClient, receiver: SocketAddr) -> Result<Vec<String>, ClientError> {
    let mut secrets = Vec::new();
    for tenant in &TENANTS {
        let app = json!({ "name": tenant.name, "uid": tenant.uid, "platform": tenant.preset });
        post(client, "/app/", app).await?;
        let endpoint = json!({
            "uid": "receiver",
            "description": tenant.receiver,
            "url": format!("http://{receiver}/{}", tenant.uid),
            "onlySelected": false,
            "studentDataConfirmedBy": "The demo: all people are invented",
        });
        post(client, &format!("/app/{}/endpoint/", tenant.uid), endpoint).await?;
        let path = format!("/app/{}/endpoint/receiver/secret/", tenant.uid);
        let secret = client.call(Method::GET, &path, None).await?;
        secrets.push(secret["key"].as_str().unwrap_or_default().to_owned());
    }
    Ok(secrets)
}

async fn post(client: &ApiClient, path: &str, body: Value) -> Result<Value, ClientError> {
    client.call(Method::POST, path, Some(body.to_string().into())).await
}

/// What somebody needs who wants to look around.
fn introduce(server: &str, sign_in: &str, token: &Hidden, args: &DemoArgs) {
    let tenant = &TENANTS[1];
    let (rate, end) = (args.rate, if args.duration.is_none() { " Ctrl-C ends it." } else { "" });
    say(format_args!("Schoolbell listens on {server}"));
    say(format_args!("\nSign in to the dashboard (works once, within 15 minutes):\n\n  {sign_in}\n"));
    say(format_args!("  API and its documentation   {server}/docs"));
    say(format_args!("  What it counts              {server}/metrics"));
    say("\nPublish an event yourself:\n");
    say(format_args!("  export SCHOOLBELL_TOKEN={}", token.expose()));
    say(format_args!(
        "  curl {server}/api/v1/app/{}/msg/ -H \"Authorization: Bearer $SCHOOLBELL_TOKEN\" \\",
        tenant.uid
    ));
    say(format_args!(
        "    -d '{{\"eventType\": \"lesson.started\", \"payload\": {{\"event\": \"lesson.started\"}}}}'\n"
    ));
    say(format_args!(
        "{} classrooms, {rate} events per second; one receiver fails now and then.{end}\n",
        TENANTS.len()
    ));
}

/// Publishes events at a steady rate until the end.
async fn publish(client: &ApiClient, rate: f64, notes: mpsc::UnboundedSender<Note>, end: impl Future<Output = ()>) {
    let mut unique = [0; 8];
    store::seal::fill_random(&mut unique);
    let mut stage = Stage::new(Dice::new(u64::from_le_bytes(unique)), SystemClock.now());
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let seats = Arc::new(Semaphore::new(PUBLISHING));
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick() => {}
        }
        let (who, event) = stage.next();
        // The semaphore is never closed.
        let Ok(seat) = seats.clone().acquire_owned().await else { break };
        let (client, notes) = (client.clone(), notes.clone());
        tokio::spawn(async move {
            let _seat = seat;
            publish_one(&client, &TENANTS[who], event, &notes).await;
        });
    }
    // Those that began are finished.
    let _ = seats.acquire_many(PUBLISHING as u32).await;
}

async fn publish_one(client: &ApiClient, tenant: &'static Tenant, event: Event, notes: &mpsc::UnboundedSender<Note>) {
    let began = Instant::now();
    let channels = (!event.channels.is_empty()).then_some(event.channels);
    let body = json!({ "eventType": event.event_type, "channels": channels, "payload": event.payload });
    let note = match post(client, &format!("/app/{}/msg/?with_content=false", tenant.uid), body).await {
        Ok(answer) => Note::Published {
            id: answer["id"].as_str().unwrap_or_default().to_owned(),
            event_type: event.event_type,
            began,
        },
        Err(error) => Note::Refused { tenant, event_type: event.event_type, error: error.to_string() },
    };
    // The screen is only gone when the demo is over.
    let _ = notes.send(note);
}

/// Returns when no delivery of the last moments is open any more.
async fn wait_for_quiet(client: &ApiClient) {
    for tenant in &TENANTS {
        let path = format!("/app/{}/endpoint/receiver/msg/?status=3&limit=1&with_content=false", tenant.uid);
        while client
            .call(Method::GET, &path, None)
            .await
            .is_ok_and(|list| list["data"].as_array().is_some_and(|open| !open.is_empty()))
        {
            sleep(Duration::from_millis(100)).await;
        }
    }
}
