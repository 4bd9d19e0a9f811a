//! Expressions that users write: each is refused, or runs within its limits on a stack as small as a worker's, gives the
//! same again, and sees nothing but the payload.
//!
//! Input: the expression, a line feed, the payload.
#![no_main]

use domain::{AppKey, EventTypeName, Ksuid, MessageId, MessageMeta, Timestamp};
use libfuzzer_sys::fuzz_target;
use platforms::{Expression, expression::MAX_OUTPUT};
use std::{
    sync::{
        LazyLock, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Stands in the environment of every process that cargo or the script starts, and in no payload.
static SECRET: LazyLock<String> = LazyLock::new(|| std::env::var("PATH").unwrap_or_default());
/// Far more than the limits of an expression take, also on a busy machine without optimisation.
const TOO_LONG: Duration = Duration::from_secs(8);

type Job = (String, Vec<u8>);
static WORKER: LazyLock<(SyncSender<Job>, Mutex<Receiver<()>>)> = LazyLock::new(|| {
    let (jobs, todo) = sync_channel::<Job>(0);
    let (over, done) = sync_channel(0);
    let work = move || {
        for (source, payload) in todo {
            tried(&source, &payload);
            let _ = over.send(());
        }
    };
    // As large as the stacks of the server's worker threads.
    thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap();
    (jobs, Mutex::new(done))
});

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let Ok(source) = std::str::from_utf8(&data[..at]) else { return };
    WORKER.0.send((source.to_owned(), data[at + 1..].to_vec())).unwrap();
    WORKER.1.lock().unwrap().recv().unwrap();
});

fn tried(source: &str, payload: &[u8]) {
    let meta = MessageMeta {
        id: MessageId(Ksuid::MIN),
        app: AppKey(1),
        event_type: EventTypeName::new("track.started").unwrap(),
        event_id: None,
        channels: Default::default(),
        tags: Default::default(),
        order_key: None,
        created_at: Timestamp::default(),
    };
    let Ok(expression) = Expression::compile(source) else { return };
    assert_eq!(expression.source(), source);
    let began = Instant::now();
    let first = expression.transform(payload, &meta);
    assert!(began.elapsed() < TOO_LONG, "{source} took {:?}", began.elapsed());
    assert_eq!(first, expression.transform(payload, &meta), "{source} is not the same twice");
    let takes = expression.accepts(payload, &meta);
    if let Ok(made) = first {
        assert!(made.len() <= MAX_OUTPUT);
        let text = std::str::from_utf8(&made).unwrap();
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(), "{source} gave {text}");
        assert!(SECRET.len() < 20 || !text.contains(&*SECRET), "{source} sees the environment");
        // One value, so the filter sees the same one.
        assert_eq!(takes, Ok(!matches!(text, "null" | "false")), "{source}");
    }
}
