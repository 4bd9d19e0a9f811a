//! What the tests share: the server as a process, and a receiver of webhooks. No test lives here.

mod receiver;
mod server;

pub use receiver::{Hook, Received, Receiver};
pub use server::{Server, new_organization};

use std::{future::Future, time::Duration};

/// Calls `read` until it gives something, and returns that.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut read: impl FnMut() -> F) -> T {
    for _ in 0..1500 {
        if let Some(value) = read().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not come true within 30 s");
}
