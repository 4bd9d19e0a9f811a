//! CPU time per send over kept connections, beside the same exchange through hyper-util's pooled client without any of
//! what this crate adds (signing, guard, deadline, limits).
//!
//! `cargo run --release -p outbound --example send_cost [SENDS] [AT_ONCE]`. The receiver is a second process, so that
//! its time is not counted. Linux only: reads /proc.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use outbound::{Client, ClientOptions, Guard, OutgoingRequest, Target};
use std::{
    convert::Infallible,
    error::Error,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == "receive") {
        return tokio::runtime::Runtime::new()?.block_on(receive());
    }
    let number = |i: usize, default| arguments.get(i).map_or(Ok(default), |a| a.parse());
    let (sends, at_once) = (number(0, 200_000)?, number(1, 64)?);
    let mut receiver = Command::new(std::env::current_exe()?).arg("receive").stdout(Stdio::piped()).spawn()?;
    let mut port = String::new();
    BufReader::new(receiver.stdout.take().ok_or("no output")?).read_line(&mut port)?;
    let url = format!("http://127.0.0.1:{}/hook", port.trim());
    let measured = tokio::runtime::Runtime::new()?.block_on(async {
        measure("outbound", sends, at_once, ours(&url)?).await?;
        measure("hyper-util, bare", sends, at_once, bare(&url)?).await
    });
    receiver.kill()?;
    measured
}

/// Answers 200 to everything.
async fn receive() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn body() -> Bytes {
    Bytes::from(format!(r#"{{"type":"track.started","data":"{}"}}"#, "x".repeat(1_000)))
}

type Send =
    Arc<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = bool> + std::marker::Send>> + std::marker::Send + Sync>;

fn ours(url: &str) -> Result<Send> {
    let guard = Guard::new(vec!["127.0.0.0/8".parse()?]);
    let client = Arc::new(Client::new(ClientOptions::new(Arc::new(guard), "Schoolbell/bench"))?);
    let target = Arc::new(Target::prepare(&testkit::build::endpoint(url))?);
    let body = body();
    Ok(Arc::new(move || {
        let (client, target, body) = (Arc::clone(&client), Arc::clone(&target), body.clone());
        Box::pin(async move {
            let request = OutgoingRequest {
                id: "msg_2mTcXJ0N4pQ7Vb9dKf3hLs8wYzA",
                now: domain::Timestamp::from_micros(1_714_000_000_000_000),
                content_type: HeaderValue::from_static("application/json"),
                body,
                extra_headers: HeaderMap::new(),
            };
            client.send(&target, request).await.outcome.is_success()
        })
    }))
}

fn bare(url: &str) -> Result<Send> {
    let client: legacy::Client<_, Full<Bytes>> =
        legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
    let (uri, body): (http::Uri, _) = (url.parse()?, body());
    Ok(Arc::new(move || {
        let (client, uri, body) = (client.clone(), uri.clone(), body.clone());
        Box::pin(async move {
            let mut request = Request::post(uri).body(Full::new(body)).unwrap_or_default();
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            match client.request(request).await {
                Ok(answer) => answer.status() == 200 && answer.into_body().collect().await.is_ok(),
                Err(_) => false,
            }
        })
    }))
}

async fn measure(name: &str, sends: usize, at_once: usize, send: Send) -> Result<()> {
    let (cpu, wall) = (cpu_time()?, Instant::now());
    let mut lanes = JoinSet::new();
    for _ in 0..at_once {
        let send = Arc::clone(&send);
        lanes.spawn(async move {
            for _ in 0..sends / at_once {
                assert!(send().await);
            }
        });
    }
    while let Some(done) = lanes.join_next().await {
        done?;
    }
    let (cpu, wall) = (cpu_time()? - cpu, wall.elapsed());
    let sent = (sends / at_once * at_once) as f64;
    println!(
        "{name}: {:.1} µs CPU per send, {:.0} sends/s, {at_once} at once",
        cpu.as_secs_f64() * 1e6 / sent,
        sent / wall.as_secs_f64()
    );
    Ok(())
}

/// User and system time of this process. Assumes the usual 100 ticks per second.
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("no name")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
