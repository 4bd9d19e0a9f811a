//! Calls from web pages of any origin. Browsers name the page's origin; whoever names none is no browser, and is spared what
//! these headers cost.

use axum::response::Response;
use futures_util::future::Either;
use http::{Request, header::ORIGIN};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, Any, Cors, CorsLayer};

/// Lets web pages of any origin call.
#[derive(Clone)]
pub(crate) struct AnyOrigin(Arc<CorsLayer>);

impl AnyOrigin {
    pub(crate) fn new() -> Self {
        let cors = CorsLayer::new()
            .allow_origin(Any)
            .allow_methods(Any)
            .allow_headers(AllowHeaders::mirror_request())
            .max_age(Duration::from_secs(600));
        Self(Arc::new(cors))
    }
}

impl<S> Layer<S> for AnyOrigin {
    type Service = ForBrowsers<S>;
    fn layer(&self, inner: S) -> ForBrowsers<S> {
        ForBrowsers { inner, cors: self.0.clone() }
    }
}

/// Adds the headers to what browsers are answered.
#[derive(Clone)]
pub(crate) struct ForBrowsers<S> {
    inner: S,
    cors: Arc<CorsLayer>,
}

impl<S, B, R> Service<Request<B>> for ForBrowsers<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, <Cors<S> as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.headers().contains_key(ORIGIN) {
            Either::Right(self.cors.layer(self.inner.clone()).call(request))
        } else {
            Either::Left(self.inner.call(request))
        }
    }
}
