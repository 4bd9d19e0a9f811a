//! The SDK's way out: its requests go over our own connections, so that nothing is reached that the guard refuses.

use crate::{
    client::{Broken, Failure, Progress, connect::Connector, connection::Connection, pool::Pool},
    target::Address,
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

fn bad(problem: impl fmt::Display) -> Failure {
    Failure::new(FailureReason::BadRequest, problem.to_string())
}

impl Door {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (parts, body) = request.try_into_http1x().map_err(bad)?.into_parts();
        let body = Bytes::copy_from_slice(body.bytes().ok_or_else(|| bad("a body that is not in memory"))?);
        let url = Url::parse(&parts.uri.to_string()).map_err(bad)?;
        let address = Address::of(&url).map_err(bad)?;
        let origin = Arc::new(address.origin);
        if let Some(kept) = self.pool.take(&origin) {
            match self.over(kept, &parts, &address.authority, body.clone()).await {
                // The peer had closed the kept connection: a fresh one decides.
                Err(Broken::Unanswered(_)) => {}
                Err(Broken::Other(failure)) => return Err(failure),
                Ok((answer, connection)) => {
                    self.keep(&origin, connection);
                    return Ok(answer);
                }
            }
        }
        let mut progress = Progress::Resolving;
        let name = origin.tls.then_some(&address.server_name);
        let fresh = self.connector.connect(&origin, name, &mut progress).await?;
        let done = self.over(fresh, &parts, &address.authority, body).await;
        let (answer, connection) = done.map_err(|broken| match broken {
            Broken::Unanswered(failure) | Broken::Other(failure) => failure,
        })?;
        self.keep(&origin, connection);
        Ok(answer)
    }

    fn keep(&self, origin: &Arc<crate::target::Origin>, mut connection: Connection) {
        if connection.is_ready() {
            self.pool.put(origin, connection);
        }
    }

    async fn over(
        &self,
        mut connection: Connection,
        parts: &Parts,
        authority: &HeaderValue,
        body: Bytes,
    ) -> Result<(HttpResponse, Connection), Broken> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = parts.method.clone();
        if let Some(path) = parts.uri.path_and_query() {
            *request.uri_mut() = path.clone().into();
        }
        *request.headers_mut() = parts.headers.clone();
        // The one that was signed: the SDK leaves it to whoever sends.
        request.headers_mut().insert(header::HOST, authority.clone());
        let (head, mut incoming) = connection.send(request).await?.into_parts();
        let mut answer = BytesMut::new();
        while let Some(data) = connection.next_data(&mut incoming).await? {
            if answer.len() + data.len() > ANSWER_MAX {
                let failure = Failure::new(FailureReason::NotHttp, "the answer is larger than 1 MiB");
                return Err(Broken::Other(failure));
            }
            answer.extend_from_slice(&data);
        }
        let answer = Response::from_parts(head, SdkBody::from(answer.freeze()));
        let answer = HttpResponse::try_from(answer).map_err(|e| Broken::Other(bad(e)))?;
        Ok((answer, connection))
    }
}
