//! A small client for a running server's API, for the commands that talk to one. Not for endpoints of users: those are
//! reached through `outbound` alone.

use crate::settings::Hidden;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt as _;
use serde_json::Value;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

/// For a whole call.
const PATIENCE: Duration = Duration::from_secs(30);
/// The greatest answer that is read.
const ANSWER_MAX: usize = 8 << 20;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address cannot be called.
    #[error("{0} is not an address of a server: use one such as http://127.0.0.1:8484")]
    Address(String),
    /// Nobody answers there.
    #[error("no server can be reached at {server}: {problem}. Is `schoolbell serve` running there?")]
    Unreachable {
        /// Where.
        server: String,
        /// What happened.
        problem: String,
    },
    /// The exchange broke off.
    #[error("{server} did not answer: {problem}")]
    Broken {
        /// Where.
        server: String,
        /// What happened.
        problem: String,
    },
    /// The server says no.
    #[error("the server refused ({status}): {reason}")]
    Refused {
        /// With this status.
        status: StatusCode,
        /// In its words.
        reason: String,
    },
}

/// Calls one server with one token.
#[derive(Clone, Debug)]
pub(crate) struct ApiClient {
    server: Url,
    token: Hidden,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl ApiClient {
    /// For the server at this address.
    pub(crate) fn new(server: &str, token: Hidden) -> Result<Self, ClientError> {
        match Url::parse(server) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
                Ok(Self { server: url, token })
            }
            _ => Err(ClientError::Address(server.to_owned())),
        }
    }

    /// Calls an operation below `/api/v1`, with a body of JSON if there is one, and answers the JSON that comes back.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Value, ClientError> {
        let (status, body) = timeout(PATIENCE, self.exchange(method, path, body))
            .await
            .unwrap_or_else(|_| Err(self.broken(format!("nothing came for {} s", PATIENCE.as_secs()))))?;
        if status.is_success() {
            if body.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&body).map_err(|e| self.broken(format!("its answer is not JSON ({e})")))
        } else {
            Err(ClientError::Refused { status, reason: reason(&body) })
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let base = self.server.path().trim_end_matches('/');
        let host = self.server.host_str().unwrap_or_default();
        let host_and_port = match self.server.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}/api/v1{path}"))
            .header(HOST, host_and_port)
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(USER_AGENT, concat!("schoolbell/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|e| self.broken(e))?;
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(e))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|e| self.broken(e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(|e| self.broken(e))?;
        Ok((status, body.to_bytes()))
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        let host = self.server.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.server.port_or_known_default().unwrap_or(80);
        let tcp = TcpStream::connect((host, port)).await.map_err(|e| self.unreachable(e))?;
        if self.server.scheme() == "http" {
            return Ok(Box::new(tcp));
        }
        let tls = rustls::ClientConfig::with_platform_verifier().map_err(|e| self.unreachable(e))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|e| self.unreachable(e))?;
        let tls = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(|e| self.unreachable(e))?;
        Ok(Box::new(tls))
    }

    fn server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }

    fn unreachable(&self, problem: impl fmt::Display) -> ClientError {
        ClientError::Unreachable { server: self.server(), problem: problem.to_string() }
    }

    fn broken(&self, problem: impl fmt::Display) -> ClientError {
        ClientError::Broken { server: self.server(), problem: problem.to_string() }
    }
}

/// What a refusal says, in one line.
fn reason(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).trim().chars().take(300).collect();
    };
    match &body["detail"] {
        Value::String(detail) => detail.clone(),
        Value::Array(problems) => problems.iter().map(problem).collect::<Vec<_>>().join("; "),
        _ => body.to_string(),
    }
}

/// One broken rule: where, and what it says.
fn problem(one: &Value) -> String {
    let place: Vec<_> = one["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!("{}: {}", place.join("."), one["msg"].as_str().unwrap_or("wrong"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_one_line() {
        assert_eq!(reason(br#"{"code":"not_found","detail":"Application not found"}"#), "Application not found");
        let rules = br#"{"detail":[{"loc":["body","event_type"],"msg":"String too long","type":"value_error"}]}"#;
        assert_eq!(reason(rules), "body.event_type: String too long");
        assert_eq!(reason(b"<html>"), "<html>");
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_the_address() {
        // Bound, so that nobody else gets it, and not listening.
        let quiet = tokio::net::TcpSocket::new_v4().unwrap();
        quiet.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = quiet.local_addr().unwrap();
        let client = ApiClient::new(&format!("http://{free}"), Hidden::new("t".into())).unwrap();
        let error = client.call(Method::GET, "/app/", None).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("no server can be reached at http://{free}: ")), "{error}");
        assert!(ApiClient::new("127.0.0.1:8484", Hidden::new("t".into())).is_err());
    }
}
