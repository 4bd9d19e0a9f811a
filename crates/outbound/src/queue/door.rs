//! The SDK's way out: its requests go over our own connections, so that nothing is reached that the guard refuses.

use crate::{
    client::{Broken, Failure, Progress, connect::Connector, connection::Connection, pool::Pool},
    target::{Address, Origin, TargetError},
};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    shared::IntoShared as _,
};
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use domain::FailureReason;
use http::{HeaderValue, Request, Response, header, request::Parts};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use std::{fmt, sync::Arc};
use url::Url;

/// Bytes of an answer at most: a batch's is some kilobytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// Takes the SDK's requests.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) connector: Arc<Connector>,
    pub(super) pool: Arc<Pool>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

/// Where requests go, worked out once for all of them.
pub(super) struct Way {
    origin: Arc<Origin>,
    server_name: ServerName<'static>,
    authority: HeaderValue,
}

impl Way {
    pub(super) fn to(url: &Url) -> Result<Self, TargetError> {
        let Address { origin, server_name, authority, .. } = Address::of(url)?;
        Ok(Self { origin: Arc::new(origin), server_name, authority })
    }
}

fn bad(problem: impl fmt::Display) -> Failure {
    Failure::new(FailureReason::BadRequest, problem.to_string())
}

impl Door {
    /// Sends a request, whose address is a path, and reads the whole answer.
    pub(super) async fn ask(&self, way: &Way, mut head: Parts, body: Bytes) -> Result<HttpResponse, Failure> {
        // The one that was signed: the SDK leaves it to whoever sends.
        head.headers.insert(header::HOST, way.authority.clone());
        if let Some(kept) = self.pool.take(&way.origin) {
            match over(kept, head.clone(), body.clone()).await {
                // The peer had closed the kept connection: a fresh one decides.
                Err(Broken::Unanswered(_)) => {}
                Err(Broken::Other(failure)) => return Err(failure),
                Ok((answer, connection)) => {
                    self.keep(way, connection);
                    return Ok(answer);
                }
            }
        }
        let mut progress = Progress::Resolving;
        let name = way.origin.tls.then_some(&way.server_name);
        // Boxed because it is rare and large.
        let fresh = Box::pin(self.connector.connect(&way.origin, name, &mut progress)).await?;
        let (answer, connection) = over(fresh, head, body).await.map_err(|broken| match broken {
            Broken::Unanswered(failure) | Broken::Other(failure) => failure,
        })?;
        self.keep(way, connection);
        Ok(answer)
    }

    fn keep(&self, way: &Way, mut connection: Connection) {
        if connection.is_ready() {
            self.pool.put(&way.origin, connection);
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (mut head, body) = request.try_into_http1x().map_err(bad)?.into_parts();
        let body = Bytes::copy_from_slice(body.bytes().ok_or_else(|| bad("a body that is not in memory"))?);
        let way = Url::parse(&head.uri.to_string()).map_err(bad).and_then(|url| Way::to(&url).map_err(bad))?;
        if let Some(path) = head.uri.path_and_query() {
            head.uri = path.clone().into();
        }
        self.ask(&way, head, body).await
    }
}

/// One request over one connection.
async fn over(mut connection: Connection, head: Parts, body: Bytes) -> Result<(HttpResponse, Connection), Broken> {
    let (head, mut incoming) = connection.send(Request::from_parts(head, Full::new(body))).await?.into_parts();
    let mut answer = Bytes::new();
    while let Some(data) = connection.next_data(&mut incoming).await? {
        if answer.len() + data.len() > ANSWER_MAX {
            return Err(Broken::Other(Failure::new(FailureReason::NotHttp, "the answer is larger than 1 MiB")));
        }
        // Mostly it comes in one piece.
        answer = if answer.is_empty() { data } else { joined(answer, &data) };
    }
    let answer = HttpResponse::try_from(Response::from_parts(head, SdkBody::from(answer)));
    Ok((answer.map_err(|e| Broken::Other(bad(e)))?, connection))
}

fn joined(first: Bytes, second: &[u8]) -> Bytes {
    let mut both = first.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    both.extend_from_slice(second);
    both.freeze()
}

// What looks for credentials is a client of the SDK's own, and takes this as its way.
impl HttpClient for Door {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

impl HttpConnector for Door {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let door = self.clone();
        HttpConnectorFuture::new(async move {
            match door.exchange(request).await {
                Ok(answer) => Ok(answer),
                Err(failure) => Err(ConnectorError::io(failure.into())),
            }
        })
    }
}
