//! `schoolbell simulate`: plays a believable class of a platform to a running server, through its API like any platform.

use super::{
    Failure,
    send::{Server, segment},
};
use crate::{clock::SystemClock, settings::Flags, stop};
use bytes::Bytes;
use clap::Args;
use domain::{Clock as _, retry::parse_duration};
use hyper::Method;
use platforms::simulate::{Step, simulate};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// What to play, and where.
#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    /// The platform: replit, teachstack, openedx, canvas or instruqt
    platform: String,
    /// Id or uid of the application that the events are published to
    #[arg(long, value_name = "APP")]
    app: String,
    /// Events per second; without it, events come as they would in a class
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Ends by itself after this long, such as 10s or 5m; without it, Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Plays the same class again: the same number gives the same people and events
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    server: Server,
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

/// Publishes until the time is up or somebody interrupts it, and says each event.
pub(crate) async fn run(args: SimulateArgs, flags: &Flags) -> Result<(), Failure> {
    let platform = platforms::by_name(&args.platform)
        .and_then(|platform| simulate(platform, args.seed.unwrap_or_else(random_seed), SystemClock.now()));
    let Some(steps) = platform else {
        let playable = platforms::catalog::all().iter().filter(|p| simulate(p, 0, SystemClock.now()).is_some());
        let names: Vec<_> = playable.map(|p| p.name).collect();
        return Err(Failure::Usage(format!("cannot play '{}': use one of {}", args.platform, names.join(", "))));
    };
    let client = args.server.client(flags)?;
    let path = format!("/app/{}/msg/?with_content=false", segment(&args.app));

    let end = args.duration.map(|time| Instant::now() + time);
    let mut ticks = args.rate.map(|rate| {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    let mut over = std::pin::pin!(async {
        let time_is_up = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = stop::listen() => {}, () = time_is_up => {} }
    });
    let mut published = 0_u64;
    for step in steps {
        // The first comes at once: whoever starts it sees that it works, or why not.
        let wait = if published == 0 { Duration::ZERO } else { step.after };
        let turn = async {
            match &mut ticks {
                Some(ticks) => {
                    ticks.tick().await;
                }
                None => sleep(wait).await,
            }
        };
        tokio::select! {
            () = &mut over => break,
            () = turn => {}
        }
        let answer = client.call(Method::POST, &path, Some(body(&step))).await.map_err(Failure::other)?;
        published += 1;
        println!("{} {}", answer["id"].as_str().unwrap_or_default(), step.event_type);
    }
    eprintln!("published {published} events");
    Ok(())
}

/// The body of the call; the payload goes in as it was played.
fn body(step: &Step) -> Bytes {
    let channels: Vec<_> = step.channels.iter().map(|c| c.as_str()).collect();
    let channels = (!channels.is_empty()).then_some(channels);
    let order_key = step.order_key.as_ref().map(|key| key.as_str());
    let head = json!({ "eventType": step.event_type, "channels": channels, "orderKey": order_key }).to_string();
    let mut body = head.into_bytes();
    body.pop();
    body.extend_from_slice(b",\"payload\":");
    body.extend_from_slice(&step.payload);
    body.push(b'}');
    body.into()
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    store::seal::fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_is_published_as_it_is() {
        let platform = platforms::by_name("teachstack").unwrap();
        let step = simulate(platform, 7, domain::Timestamp::default()).unwrap().next().unwrap();
        let read: serde_json::Value = serde_json::from_slice(&body(&step)).unwrap();
        assert_eq!(read["eventType"], step.event_type.as_str());
        assert_eq!(read["payload"], serde_json::from_slice::<serde_json::Value>(&step.payload).unwrap());
        assert!(read["channels"].is_array() && read["orderKey"].is_string());
    }
}
