//! Bodies that nobody read. A refusal often needs no body, but if the rest of a request stays on the connection, hyper
//! closes it without a word and the client's next request fails. So what is left is read and thrown away; where that
//! is too much, the answer says that the connection closes.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tower::{Service, ServiceExt as _};

/// Bytes that are thrown away at most: as many as the API would have read.
const THROWN_AWAY: u64 = 2 * 1024 * 1024;
/// For how long.
const WITHIN: Duration = Duration::from_secs(5);

/// A request's body that two can reach: the handler, and whoever cleans up after it.
pub(crate) struct Shared(Arc<Mutex<Reading>>);

struct Reading {
    body: Incoming,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reading> {
        // Polling changes nothing of ours halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut reading = self.lock();
        let polled = Pin::new(&mut reading.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            reading.ended = true;
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        let reading = self.lock();
        reading.ended || reading.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

/// Answers a request and leaves the connection fit for the next one, or says that it closes.
pub(crate) async fn answer<S, B>(service: S, request: Request<Incoming>) -> Result<Response<B>, Infallible>
where
    S: Service<Request<Shared>, Response = Response<B>, Error = Infallible>,
{
    let (parts, body) = request.into_parts();
    let mut rest = Shared(Arc::new(Mutex::new(Reading { body, ended: false })));
    let mut response = service.oneshot(Request::from_parts(parts, Shared(rest.0.clone()))).await?;
    if !rest.is_end_stream() && !throw_away(&mut rest).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Reads to the end; false if that is too long.
async fn throw_away(rest: &mut Shared) -> bool {
    if rest.size_hint().lower() > THROWN_AWAY {
        return false;
    }
    let to_the_end = async {
        let mut bytes = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *rest).poll_frame(cx)).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => bytes += data.len() as u64,
                Ok(Err(_trailers)) => {}
                Err(_broken) => return false,
            }
            if bytes > THROWN_AWAY {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(WITHIN, to_the_end).await.unwrap_or(false)
}
