//! Sends one request and says what came of it: within one deadline, reading no more than is good for us, never
//! following where an answer points, never failing in any other way than by an [`Outcome`].
//!
//! HTTP/1.1 over kept connections. Each connection is driven by whoever uses it at that moment, so nothing runs for an
//! idle one, nothing is handed between tasks, and a request that is dropped takes its connection with it.

mod answer;
pub(crate) mod connect;
pub(crate) mod connection;
mod fetch;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
pub(crate) mod pool;

use crate::{guard::Guard, queue::QueueOptions, target::Target};
use answer::{BodyReader, retry_after};
use bytes::Bytes;
use connect::Connector;
use connection::Connection;
use domain::{FailureReason, Outcome, Timestamp};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use pool::Pool;
use rustls::pki_types::CertificateDer;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use answer::AnswerLimits;
pub use fetch::{FetchError, Question};
pub use handshake::{Handshake, HandshakeError};

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Says which addresses may be reached.
    pub guard: Arc<Guard>,
    /// For a whole attempt: connect, head and body.
    pub timeout: Duration,
    /// What the header `user-agent` says, `Schoolbell/1.2.3`.
    pub user_agent: String,
    /// Certificate authorities to trust beside those of the machine.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// How long a connection is kept without use.
    pub idle_timeout: Duration,
    /// Kept connections without use, to one origin.
    pub idle_per_origin: usize,
    /// Kept connections without use, in all.
    pub idle_total: usize,
    /// How much of an answer's body counts.
    pub answer_limits: AnswerLimits,
    /// What the operator decides about queues.
    pub queues: QueueOptions,
}

impl ClientOptions {
    /// The usual settings.
    pub fn new(guard: Arc<Guard>, user_agent: impl Into<String>) -> Self {
        Self {
            guard,
            timeout: Duration::from_secs(15),
            user_agent: user_agent.into(),
            extra_roots: Vec::new(),
            idle_timeout: Duration::from_secs(25),
            // Many endpoints may share an origin, each 32 connections wide.
            idle_per_origin: 512,
            idle_total: 1024,
            answer_limits: AnswerLimits::default(),
            queues: QueueOptions::default(),
        }
    }
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The text cannot be a header value.
    #[error("the user agent '{0}' holds characters that HTTP forbids")]
    UserAgent(String),
    /// One of the extra certificate authorities cannot be read.
    #[error("an extra certificate authority cannot be used: {0}")]
    ExtraRoot(rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// The resolver cannot be set up.
    #[error("the resolver cannot be set up: {0}")]
    Resolver(String),
}

/// What one attempt sends.
#[derive(Clone, Debug)]
pub struct OutgoingRequest<'a> {
    /// What receivers dedupe on; the same for all attempts of a message.
    pub id: &'a str,
    /// The time of this attempt; goes into the signature.
    pub now: Timestamp,
    /// The body's type.
    pub content_type: HeaderValue,
    /// Signed and sent as it is.
    pub body: Bytes,
    /// Further headers, usually none. Replace the endpoint's.
    pub extra_headers: HeaderMap,
}

/// What came of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// From the beginning to the end.
    pub duration: Duration,
}

/// Sends requests to targets. One for the whole process: it keeps the connections.
#[derive(Debug)]
pub struct Client {
    timeout: Duration,
    answer_limits: AnswerLimits,
    pub(crate) user_agent: HeaderValue,
    pub(crate) connector: Arc<Connector>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) queues: QueueOptions,
    #[cfg(feature = "sqs")]
    pub(crate) own_access: Option<crate::queue::OwnAccess>,
}

/// A failure before the attempt knows how far the answer came.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Failure {
    pub(crate) reason: FailureReason,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(reason: FailureReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// How far an attempt is, for the case that the deadline cuts it off.
#[derive(Clone, Copy)]
pub(crate) enum Progress {
    Resolving,
    Connecting,
    Securing,
    Asked,
    Answering { status: u16 },
}

impl Progress {
    fn status(self) -> Option<u16> {
        match self {
            Self::Answering { status } => Some(status),
            _ => None,
        }
    }

    fn timed_out(self, after: Duration) -> Failure {
        let (reason, doing) = match self {
            Self::Resolving => (FailureReason::ConnectTimeout, "looking up the host name"),
            Self::Connecting => (FailureReason::ConnectTimeout, "connecting"),
            Self::Securing => (FailureReason::ConnectTimeout, "agreeing on TLS"),
            Self::Asked => (FailureReason::ResponseTimeout, "waiting for the answer to begin"),
            Self::Answering { .. } => (FailureReason::BodyTimeout, "reading the answer's body"),
        };
        Failure::new(reason, format!("the deadline of {after:?} passed while {doing}"))
    }
}

/// Why an exchange over a connection failed.
pub(crate) enum Broken {
    /// The connection ended before anything of an answer came.
    Unanswered(Failure),
    /// In any other way.
    Other(Failure),
}

impl Client {
    /// Makes a client. Needs to be called within a Tokio runtime.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let user_agent = HeaderValue::from_str(&options.user_agent);
        let pool = Arc::new(Pool::new(options.idle_timeout, options.idle_per_origin, options.idle_total));
        #[cfg(feature = "sqs")]
        let own_access = if options.queues.own_access {
            // Connections of its own: what is kept there may lie at addresses that receivers must not reach.
            let connector = Connector::new(Arc::new(Guard::open()), options.extra_roots.clone())?;
            Some(crate::queue::OwnAccess::new(Arc::new(connector), Arc::new(Pool::new(options.idle_timeout, 1, 4))))
        } else {
            None
        };
        Ok(Self {
            timeout: options.timeout,
            answer_limits: options.answer_limits,
            user_agent: user_agent.map_err(|_| ClientError::UserAgent(options.user_agent))?,
            connector: Arc::new(Connector::new(options.guard, options.extra_roots)?),
            pool,
            queues: options.queues,
            #[cfg(feature = "sqs")]
            own_access,
        })
    }

    /// For a whole attempt.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Which addresses may be reached.
    pub(crate) fn guard(&self) -> &Guard {
        self.connector.guard()
    }

    /// Sends a request and reads the answer. Takes at most the client's timeout.
    pub async fn send(&self, target: &Target, request: OutgoingRequest<'_>) -> Sent {
        let started = Instant::now();
        let mut progress = Progress::Connecting;
        // One timer for the whole attempt.
        let result = tokio::time::timeout(self.timeout, self.attempt(target, &request, &mut progress)).await;
        let result = result.unwrap_or_else(|_| Err(progress.timed_out(self.timeout)));
        let outcome = result.unwrap_or_else(|Failure { reason, detail }| Outcome::Failed {
            reason,
            status: progress.status(),
            detail,
        });
        Sent { outcome, duration: started.elapsed() }
    }

    async fn attempt(
        &self,
        target: &Target,
        request: &OutgoingRequest<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Failure> {
        if let Some(kept) = self.pool.take(&target.origin) {
            match self.exchange(kept, target, request, progress).await {
                // The peer had closed the kept connection, or was about to. That says nothing about the receiver, so
                // a fresh connection decides.
                Err(Broken::Unanswered(_)) => *progress = Progress::Connecting,
                Err(Broken::Other(failure)) => return Err(failure),
                Ok(outcome) => return Ok(outcome),
            }
        }
        // Boxed because it is rare and large: the future of a send over a kept connection stays small.
        let fresh = Box::pin(self.connector.connect(&target.origin, target.server_name.as_ref(), progress)).await?;
        self.exchange(fresh, target, request, progress).await.map_err(|broken| match broken {
            Broken::Unanswered(failure) | Broken::Other(failure) => failure,
        })
    }

    /// Sends the request over this connection, reads the answer, keeps the connection if it is still good.
    async fn exchange(
        &self,
        mut connection: Connection,
        target: &Target,
        request: &OutgoingRequest<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Broken> {
        let OutgoingRequest { id, now, content_type, body, extra_headers } = request;
        let headers = target
            .headers_for(id, *now, body, content_type, &self.user_agent, extra_headers)
            .ok_or_else(|| Broken::Other(Failure::new(FailureReason::BadRequest, "the message's id cannot be sent")))?;
        let mut message = Request::new(Full::new(body.clone()));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = target.uri.clone();
        *message.headers_mut() = headers;

        *progress = Progress::Asked;
        let (head, mut body) = connection.send(message).await?.into_parts();
        *progress = Progress::Answering { status: head.status.as_u16() };

        let mut reader = BodyReader::new(&head.headers, self.answer_limits);
        let whole = loop {
            match connection.next_data(&mut body).await? {
                Some(data) if reader.take(&data) => {}
                // More than anybody needs to answer: the status decides, and the rest is not our business.
                Some(_) => break false,
                None => break true,
            }
        };
        if whole && connection.is_ready() {
            self.pool.put(&target.origin, connection);
        }
        Ok(Outcome::Answered {
            status: head.status.as_u16(),
            body: reader.kept(),
            retry_after: retry_after(&head.headers, *now),
        })
    }
}
