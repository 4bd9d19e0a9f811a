//! Publishing as fast as the server takes it, or at a rate, over kept connections; and what came of it.

use super::{
    process::Server,
    receiver::{Receiver, SENT_AT},
    report::{Quantiles, Row},
};
use crate::{commands::Failure, settings::Hidden};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Producers at the same time.
const PRODUCERS: usize = 64;
/// Producers of batches, which keep a server busy sooner.
const BATCH_PRODUCERS: usize = 8;
/// Bytes of a payload.
const PAYLOAD: usize = 512;
/// Deliveries that may be on their way before producers wait: the figure is what goes through, not how long a queue gets.
const ON_THEIR_WAY: u64 = 10_000;
/// How long nothing may arrive before what is missing counts as missing.
const QUIET: Duration = Duration::from_secs(10);
/// Between two looks at what arrived.
const LOOK: Duration = Duration::from_millis(5);
/// For results that are still being written when the last delivery has arrived.
const LAST_RESULTS: Duration = Duration::from_millis(200);

/// What one row publishes.
#[derive(Clone)]
pub(super) struct Load<'a> {
    /// As the table calls it.
    pub(super) name: &'static str,
    /// To these applications in turn.
    pub(super) apps: &'a [String],
    /// Endpoints of each.
    pub(super) endpoints: u64,
    /// Events in a request.
    pub(super) batch: u64,
    /// For so long.
    pub(super) duration: Duration,
    /// Requests per second; as many as go if it does not say.
    pub(super) rate: Option<f64>,
}

impl Load<'_> {
    /// The same at a fixed rate.
    pub(super) fn at_rate(self, rate: f64) -> Self {
        Self { rate: Some(rate.max(1.0)), ..self }
    }

    fn body(&self, sent_at: Duration) -> String {
        let sent = sent_at.as_micros();
        let filler = "x".repeat(PAYLOAD - 40);
        let message = format!(r#"{{"eventType":"bench.event","payload":{{{SENT_AT}{sent},"filler":"{filler}"}}}}"#);
        match self.batch {
            1 => message,
            n => format!(r#"{{"messages":[{}]}}"#, vec![message; usize::try_from(n).unwrap_or(1)].join(",")),
        }
    }

    fn path(&self, request: usize) -> String {
        let app = &self.apps[request % self.apps.len()];
        match self.batch {
            1 => format!("/api/v1/app/{app}/msg/?with_content=false"),
            _ => format!("/api/v1/app/{app}/msg/batch/"),
        }
    }
}

/// What publishing needs to know.
pub(super) struct Producers<'a> {
    pub(super) server: &'a Server,
    pub(super) receiver: &'a Receiver,
    pub(super) token: &'a Hidden,
}

/// What the producers of a row have in common.
struct Shared<'a> {
    load: &'a Load<'a>,
    begun: Instant,
    requests: AtomicUsize,
    accepted: AtomicU64,
}

impl Producers<'_> {
    /// Publishes, waits until all has arrived, and says what came of it.
    pub(super) async fn run(&self, load: &Load<'_>) -> Result<Row, Failure> {
        self.receiver.take();
        let before = self.server.cpu();
        let from = self.receiver.now();
        let shared = Shared { load, begun: Instant::now(), requests: AtomicUsize::new(0), accepted: AtomicU64::new(0) };
        let producers = if load.batch == 1 { PRODUCERS } else { BATCH_PRODUCERS };
        let publishing = (0..producers).map(|_| self.publish(&shared));
        let answered: Vec<Vec<Duration>> = try_join_all(publishing).await?;
        // At a rate they end before the time is up, since the next one would be due after it.
        let took = shared.begun.elapsed().max(load.duration);
        let accepted = shared.accepted.load(Ordering::Relaxed);
        self.wait_for(accepted * load.endpoints).await?;
        sleep(LAST_RESULTS).await;
        let cpu = before.zip(self.server.cpu()).map(|(before, after)| after.saturating_sub(before));

        let got = self.receiver.take();
        let deliveries = got.deliveries;
        let delivering = got.last.saturating_sub(from).as_secs_f64();
        let each = if load.endpoints == 0 { accepted } else { deliveries };
        Ok(Row {
            name: load.name,
            accepted_per_second: accepted as f64 / took.as_secs_f64(),
            deliveries_per_second: (deliveries > 0).then(|| deliveries as f64 / delivering),
            cpu_per_delivery: cpu.filter(|_| load.endpoints > 0 && each > 0).map(|cpu| cpu.div_f64(each as f64)),
            cpu_per_event: cpu.filter(|_| accepted > 0).map(|cpu| cpu.div_f64(accepted as f64)),
            acceptance: Quantiles::of(answered.into_iter().flatten().collect()),
            receipt: (deliveries > 0)
                .then(|| Quantiles::of(got.latencies.into_iter().map(|t| Duration::from_micros(t.into())).collect())),
            sync: Quantiles::default(),
        })
    }

    /// One producer: a request after the other until the time is up. How long each took to be accepted.
    async fn publish(&self, shared: &Shared<'_>) -> Result<Vec<Duration>, Failure> {
        let load = shared.load;
        let mut sender = self.connect().await?;
        let mut answered = Vec::new();
        loop {
            let n = shared.requests.fetch_add(1, Ordering::Relaxed);
            if let Some(rate) = load.rate {
                let due = Duration::from_secs_f64(n as f64 / rate);
                if due >= load.duration {
                    return Ok(answered);
                }
                sleep_until(shared.begun + due).await;
            }
            let expected = || shared.accepted.load(Ordering::Relaxed) * load.endpoints;
            while expected() > self.receiver.count() + ON_THEIR_WAY && shared.begun.elapsed() < load.duration {
                sleep(LOOK).await;
            }
            if shared.begun.elapsed() >= load.duration {
                return Ok(answered);
            }
            let sent_at = self.receiver.now();
            self.post(&mut sender, load.path(n), load.body(sent_at)).await?;
            answered.push(self.receiver.now().saturating_sub(sent_at));
            shared.accepted.fetch_add(load.batch, Ordering::Relaxed);
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let broke = |e: &dyn std::fmt::Display| Failure::other(format!("the server cannot be reached: {e}"));
        let stream = TcpStream::connect(self.server.address()).await.map_err(|e| broke(&e))?;
        stream.set_nodelay(true).map_err(|e| broke(&e))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| broke(&e))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Publishes once; anything but a success ends the measurement.
    async fn post(&self, sender: &mut SendRequest<Full<Bytes>>, path: String, body: String) -> Result<(), Failure> {
        let broke = |e: &dyn std::fmt::Display| Failure::other(format!("the server did not answer: {e}"));
        let request = Request::post(path)
            .header(header::HOST, self.server.address().to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| broke(&e))?;
        sender.ready().await.map_err(|e| broke(&e))?;
        let response = sender.send_request(request).await.map_err(|e| broke(&e))?;
        let status = response.status();
        let answer = response.into_body().collect().await.map_err(|e| broke(&e))?.to_bytes();
        if status.is_success() {
            return Ok(());
        }
        let why: String = String::from_utf8_lossy(&answer).chars().take(300).collect();
        Err(Failure::other(format!("the server refused an event ({status}): {why}")))
    }

    /// Waits until so many deliveries have arrived; fails if nothing comes any more.
    async fn wait_for(&self, deliveries: u64) -> Result<(), Failure> {
        let mut arrived = self.receiver.count();
        while arrived < deliveries {
            let more = async {
                while self.receiver.count() == arrived {
                    sleep(LOOK).await;
                }
            };
            if timeout(QUIET, more).await.is_err() {
                let missing = deliveries - arrived;
                return Err(Failure::other(format!("{missing} of {deliveries} deliveries did not arrive")));
            }
            arrived = self.receiver.count();
        }
        Ok(())
    }
}
