//! Handshakes: asks an address, before anything is sent to it, whether it wants what will come.

use super::{Broken, Client, Failure, Progress};
use crate::target::Target;
use aws_lc_rs::rand;
use bytes::Bytes;
use domain::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;

const HOOK_SECRET: HeaderName = HeaderName::from_static("x-hook-secret");
const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");

/// How an address is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// A POST with a random `X-Hook-Secret`, which the answer has to repeat (REST hooks).
    HookSecret,
    /// An OPTIONS with `WebHook-Request-Origin`, which the answer has to allow (CloudEvents).
    CloudEvents {
        /// Who asks: a host name.
        origin: String,
    },
}

/// Why an address did not agree.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// There was no answer.
    #[error("the handshake failed: {0}")]
    NoAnswer(String),
    /// The answer is not a 2xx.
    #[error("the handshake failed: the receiver answered with {0}")]
    Status(StatusCode),
    /// The answer does not repeat the secret.
    #[error("the handshake failed: the answer does not repeat the header X-Hook-Secret")]
    NoSecret,
    /// The answer does not allow us.
    #[error("the handshake failed: the answer's header WebHook-Allowed-Origin is neither '{0}' nor '*'")]
    NotAllowed(String),
    /// The question cannot be asked.
    #[error("the handshake failed: {0}")]
    Question(String),
}

impl Client {
    /// Asks; takes at most the client's timeout.
    pub async fn shake_hands(&self, target: &Target, how: &Handshake, now: Timestamp) -> Result<(), HandshakeError> {
        let cannot = |e: &dyn std::fmt::Display| HandshakeError::Question(e.to_string());
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|e| cannot(&e))?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (method, name, value) = match how {
            Handshake::HookSecret => (Method::POST, HOOK_SECRET, &secret),
            Handshake::CloudEvents { origin } => (Method::OPTIONS, REQUEST_ORIGIN, origin),
        };
        let mut extra = HeaderMap::new();
        extra.insert(name, HeaderValue::from_str(value).map_err(|e| cannot(&e))?);
        let body = if method == Method::POST { Bytes::from_static(b"{}") } else { Bytes::new() };

        let mut progress = Progress::Connecting;
        let asked = tokio::time::timeout(self.timeout, self.ask(target, method, extra, body, now, &mut progress)).await;
        let asked = asked.unwrap_or_else(|_| Err(progress.timed_out(self.timeout)));
        let (status, headers) = asked.map_err(|f| {
            let detail = if f.detail.is_empty() { String::new() } else { format!(" ({})", f.detail) };
            HandshakeError::NoAnswer(format!("{}{detail}", f.reason.sentence()))
        })?;
        if !status.is_success() {
            return Err(HandshakeError::Status(status));
        }
        match how {
            Handshake::HookSecret if headers.get(HOOK_SECRET).is_some_and(|v| v == secret.as_str()) => Ok(()),
            Handshake::HookSecret => Err(HandshakeError::NoSecret),
            Handshake::CloudEvents { origin } => {
                let allowed = headers.get_all(ALLOWED_ORIGIN).iter().filter_map(|v| v.to_str().ok());
                let agrees = allowed.flat_map(|v| v.split(',')).any(|v| v.trim() == "*" || v.trim() == origin);
                if agrees { Ok(()) } else { Err(HandshakeError::NotAllowed(origin.clone())) }
            }
        }
    }

    /// One request over a connection of its own, which is not kept. The answer's body is not read.
    async fn ask(
        &self,
        target: &Target,
        method: Method,
        extra: HeaderMap,
        body: Bytes,
        now: Timestamp,
        progress: &mut Progress,
    ) -> Result<(StatusCode, HeaderMap), Failure> {
        let mut connection =
            Box::pin(self.connector.connect(&target.origin, target.server_name.as_ref(), progress)).await?;
        let json = HeaderValue::from_static("application/json");
        let headers = target.headers_for("handshake", now, &body, &json, &self.user_agent, &extra);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = headers.unwrap_or_default();
        *progress = Progress::Asked;
        let answer = connection.send(request).await.map_err(|broken| match broken {
            Broken::Unanswered(failure) | Broken::Other(failure) => failure,
        })?;
        let (head, _) = answer.into_parts();
        Ok((head.status, head.headers))
    }
}
