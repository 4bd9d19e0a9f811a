//! Being asked to stop: SIGTERM or SIGINT. The first asks, the second does not wait for an answer.

use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports for a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// Signals within this long of the first are the same request: `timeout`, and some shells and supervisors, send one to the
/// process and another one to its group.
const TOGETHER: Duration = Duration::from_millis(500);

/// Listens from now on; what it answers is over when somebody asks the process to stop. From then on a second signal
/// ends it at once.
pub(crate) fn listen() -> impl Future<Output = ()> + Send {
    let mut signals = Signals::new();
    async move {
        signals.next().await;
        let asked = Instant::now();
        tokio::spawn(async move {
            loop {
                signals.next().await;
                if asked.elapsed() > TOGETHER {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
    }
}

struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    fn new() -> Self {
        let listen = |kind| {
            signal(kind).inspect_err(|error| tracing::warn!(%error, "failed to listen for a signal to stop")).ok()
        };
        Self { terminate: listen(SignalKind::terminate()), interrupt: listen(SignalKind::interrupt()) }
    }

    async fn next(&mut self) {
        async fn of(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = of(&mut self.terminate) => {}
            () = of(&mut self.interrupt) => {}
        }
    }
}
