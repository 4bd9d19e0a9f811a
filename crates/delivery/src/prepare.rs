//! An endpoint made ready to send, and what it sends of a message: filter, transform, format.
//!
//! Expressions are compiled once for each revision of an endpoint. They are bounded in time and memory, but may take
//! milliseconds, so they run where they hold up nobody. An endpoint that sends payloads as they came in passes none of this.

use crate::jws::Signers;
use bytes::Bytes;
use domain::{
    BodySigning, Encoding, Endpoint, FailureReason, Format, Outcome, Timestamp, Uid, message::TEST_CHANNEL,
    queue::Transport,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use outbound::{Client, Queue, Target};
use platforms::{
    ApplicationFacts, Expression, ExpressionError, MASKED_SECRET, RenderError, RenderInput, Rendered, by_name,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use store::{AppEntry, queue::Outgoing};

/// Payloads from this size on are rendered beside the tasks that send.
const LARGE: usize = 32 * 1024;

/// An endpoint made ready to send; holds for one revision of it.
pub(crate) struct Prepared {
    /// Of the endpoint.
    pub(crate) revision: i64,
    /// How to get there, or why nothing can be sent.
    pub(crate) way: Result<Way, String>,
    /// The address as it is recorded.
    pub(crate) url: Arc<str>,
    /// What is sent; `None` if it is the payload as it came in.
    rendering: Option<Rendering>,
}

/// How what is sent gets to an endpoint.
pub(crate) enum Way {
    /// A POST to its address.
    Http(Box<Target>),
    /// A message in its queue.
    Queue(Box<Queue>),
}

/// What a body is made with, beside the message and the endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    /// Where this server is reached from outside.
    pub(crate) public_url: &'a Arc<str>,
    /// When it is sent.
    pub(crate) now: Timestamp,
    /// Signs bodies, where an endpoint asks for it.
    pub(crate) signers: &'a Signers,
}

/// How an endpoint's bodies are made.
struct Rendering {
    filter: Option<Result<Expression, ExpressionError>>,
    transform: Option<Result<Expression, ExpressionError>>,
    format: Format,
    encoding: Encoding,
}

/// What is sent of a message.
#[derive(Debug)]
pub(crate) struct Content {
    /// The body.
    pub(crate) body: Bytes,
    /// Its type.
    pub(crate) content_type: &'static str,
    /// Further headers.
    pub(crate) headers: HeaderMap,
}

/// Why nothing is sent of a message.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// The endpoint's filter says no, its format has no form for such events, or it is none of its channels' business.
    FilteredOut,
    /// The endpoint's settings do not fit this message: a failed attempt.
    Failed(Outcome),
}

impl Prepared {
    /// Makes an endpoint ready.
    pub(crate) fn new(endpoint: &Endpoint, client: &Client) -> Self {
        let way = match endpoint.options.transport {
            Transport::Https => Target::prepare(endpoint).map(|target| Way::Http(Box::new(target))),
            Transport::Sqs => client.queue(endpoint).map(|queue| Way::Queue(Box::new(queue))),
        };
        let url = match &way {
            Ok(Way::Http(target)) => target.shown_url().into(),
            Ok(Way::Queue(queue)) => queue.shown_url().into(),
            Err(_) => "".into(),
        };
        let way = way.map_err(|e| e.to_string());
        let options = &endpoint.options;
        let is_plain = options.filter.is_none()
            && options.transform.is_none()
            && options.format == Format::Standard
            && options.encoding == Encoding::Json;
        let rendering = (!is_plain).then(|| Rendering {
            filter: options.filter.as_deref().map(Expression::compile),
            transform: options.transform.as_deref().map(Expression::compile),
            format: options.format,
            encoding: options.encoding,
        });
        Self { revision: endpoint.revision, way, url, rendering }
    }

    /// What is sent of a message, or why nothing is. The filter holds for every try, also for those that somebody asks for:
    /// it may be what keeps data inside.
    pub(crate) async fn content(
        self: &Arc<Self>,
        entry: &Arc<AppEntry>,
        endpoint: &Arc<Endpoint>,
        message: &Arc<Outgoing>,
        around: Around<'_>,
    ) -> Result<Content, NotSent> {
        if !endpoint.may_get(&message.meta.channels) {
            return Err(NotSent::FilteredOut);
        }
        let (public_url, now) = (around.public_url, around.now);
        let mut content = match &self.rendering {
            None => {
                Content { body: message.payload.clone(), content_type: "application/json", headers: HeaderMap::new() }
            }
            Some(rendering) if !rendering.takes_long(&message.payload) => {
                // A fault of ours fails this delivery; it must not take the lane's place with it.
                let render = AssertUnwindSafe(|| rendering.render(entry, endpoint, message, public_url, now));
                catch_unwind(render).unwrap_or_else(|_| Err(broken_off("see the server's log")))?
            }
            Some(_) => {
                let (prepared, entry, endpoint) = (self.clone(), entry.clone(), endpoint.clone());
                let (message, public_url) = (message.clone(), public_url.clone());
                let work = tokio::task::spawn_blocking(move || match &prepared.rendering {
                    Some(r) => r.render(&entry, &endpoint, &message, &public_url, now),
                    None => Err(failed(FailureReason::FormatFailed, "the endpoint changed".to_owned())),
                });
                work.await.unwrap_or_else(|e| Err(broken_off(e)))?
            }
        };
        if message.meta.channels.iter().any(|c| c.as_str() == TEST_CHANNEL) {
            content.headers.insert(HeaderName::from_static("webhook-test"), HeaderValue::from_static("true"));
        }
        match endpoint.options.body_signing {
            None => Ok(content),
            // Boxed because it is rare and large.
            Some(BodySigning::Jwt) => Box::pin(around.signers.sign(endpoint.app, now, content)).await,
        }
    }
}

impl Rendering {
    fn takes_long(&self, payload: &[u8]) -> bool {
        self.filter.is_some() || self.transform.is_some() || payload.len() >= LARGE
    }

    fn render(
        &self,
        entry: &AppEntry,
        endpoint: &Endpoint,
        message: &Outgoing,
        public_url: &str,
        now: Timestamp,
    ) -> Result<Content, NotSent> {
        let expression =
            |what: &str, e: &ExpressionError| failed(FailureReason::ExpressionFailed, format!("{what}: {e}"));
        let compiled = |what: &str, kept: &'_ Option<Result<Expression, ExpressionError>>| match kept {
            Some(Err(e)) => Err(expression(what, e)),
            _ => Ok(()),
        };
        compiled("filter", &self.filter)?;
        compiled("transform", &self.transform)?;
        if let Some(Ok(filter)) = &self.filter
            && !filter.accepts(&message.payload, &message.meta).map_err(|e| expression("filter", &e))?
        {
            return Err(NotSent::FilteredOut);
        }
        let application = &entry.application;
        let input = RenderInput {
            format: self.format,
            encoding: self.encoding,
            transform: self.transform.as_ref().and_then(|t| t.as_ref().ok()),
            body_secret: endpoint.secrets.body.as_ref().map(|s| s.expose()),
            application: ApplicationFacts {
                id: application.id,
                uid: application.uid.as_ref().map(|uid| uid.as_str()),
                platform: application.options.platform.as_deref().and_then(by_name),
            },
            public_url,
            subscription_id: endpoint.options.subscription_id.as_ref().map(Uid::as_str),
            now,
        };
        match platforms::format::render(&input, &message.meta, &message.payload) {
            Ok(rendered) => Ok(content(rendered)),
            Err(RenderError::NoSuchForm { .. }) => Err(NotSent::FilteredOut),
            Err(e @ RenderError::Transform(_)) => Err(failed(FailureReason::ExpressionFailed, e.to_string())),
            Err(e) => Err(failed(FailureReason::FormatFailed, e.to_string())),
        }
    }
}

fn content(rendered: Rendered) -> Content {
    let mut headers = HeaderMap::with_capacity(rendered.headers.len());
    for (name, value) in rendered.headers {
        // Formats give visible ASCII only.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Content { body: rendered.body, content_type: rendered.content_type, headers }
}

fn broken_off(why: impl std::fmt::Display) -> NotSent {
    failed(FailureReason::FormatFailed, format!("rendering broke off: {why}"))
}

pub(crate) fn failed(reason: FailureReason, detail: String) -> NotSent {
    NotSent::Failed(Outcome::Failed { reason, status: None, detail })
}

/// A text to be stored, without the endpoint's body secret: receivers may answer with what they were sent.
pub(crate) fn without_body_secret(endpoint: &Endpoint, text: String) -> String {
    match &endpoint.secrets.body {
        Some(secret) if text.contains(secret.expose()) => text.replace(secret.expose(), MASKED_SECRET),
        _ => text,
    }
}
