//! What would be sent to an endpoint, without sending it.

use crate::{
    Service, access::AppScope, actor::Capability, check::Check, error::ServiceError, fit, patch::Patch, platform,
};
use bytes::Bytes;
use domain::{Encoding, Endpoint, Format, MessageId, MessageMeta, Timestamp, Uid};
use platforms::{ApplicationFacts, Expression, RenderError, RenderInput, Validator};
use std::sync::Arc;

/// A message to try, and settings to try it with before they are saved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DryRunInput {
    /// What happened.
    pub event_type: String,
    /// A JSON object.
    pub payload: Bytes,
    /// Labels.
    pub channels: Option<Vec<String>>,
    /// Instead of the endpoint's format.
    pub format: Patch<String>,
    /// Instead of the endpoint's encoding.
    pub encoding: Patch<String>,
    /// Instead of the endpoint's filter.
    pub filter: Patch<String>,
    /// Instead of the endpoint's transform.
    pub transform: Patch<String>,
}

/// What would happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DryRun {
    /// Whether the endpoint takes messages of this type and with these channels.
    pub matches: bool,
    /// What would be sent, or why nothing.
    pub result: DryRunResult,
}

/// What would be sent, or why nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DryRunResult {
    /// This would be sent, the secret in the body masked.
    Send {
        /// The body.
        body: Bytes,
        /// Its type.
        content_type: &'static str,
        /// What the format puts beside it.
        headers: Vec<(&'static str, String)>,
    },
    /// The filter says no.
    FilteredOut,
    /// It would fail.
    Fails {
        /// Where.
        stage: Stage,
        /// What is wrong, and where in it.
        message: String,
    },
}

/// Where it would fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// When it is published: the payload does not fit its event type.
    Payload,
    /// In the filter.
    Filter,
    /// In the transform.
    Transform,
    /// In the format.
    Format,
}

impl Stage {
    /// In one word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Format => "format",
        }
    }
}

fn compiled(
    field: &'static str,
    given: Patch<String>,
    stored: Option<&String>,
    check: &mut Check,
) -> Option<Expression> {
    let source = match &given {
        Patch::Keep => stored?,
        Patch::Clear => return None,
        Patch::Set(source) => source,
    };
    Expression::compile(source).map_err(|e| check.fail(&[field], e.to_string())).ok()
}

impl Service {
    /// What would be sent to an endpoint.
    pub async fn dry_run(&self, scope: &AppScope, which: &str, input: DryRunInput) -> Result<DryRun, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let endpoint = self.endpoint(scope, which).await?;
        let mut check = Check::body();
        let event_type = check.event_type("event_type", &input.event_type);
        let channels = input.channels.map(|c| check.channels(&c)).unwrap_or_default();
        if input.payload.first() != Some(&b'{') {
            check.fail(&["payload"], "Payload must be an object.");
        }
        let format = match input.format {
            Patch::Keep => endpoint.options.format,
            Patch::Clear => Format::Standard,
            Patch::Set(name) => name.parse().unwrap_or_else(|e: domain::format::UnknownFormat| {
                check.fail(&["format"], e.to_string());
                Format::Standard
            }),
        };
        let encoding = match input.encoding {
            Patch::Keep => endpoint.options.encoding,
            Patch::Clear => Encoding::Json,
            Patch::Set(name) => name.parse().unwrap_or_else(|e: domain::webfilter::UnknownChoice| {
                check.fail(&["encoding"], e.to_string());
                Encoding::Json
            }),
        };
        let filter = compiled("filter", input.filter, endpoint.options.filter.as_ref(), &mut check);
        let transform = compiled("transform", input.transform, endpoint.options.transform.as_ref(), &mut check);
        let Some(event_type) = event_type else { return Err(check.into_error()) };
        check.finish()?;

        let (id, now) = self.next_id();
        let meta = MessageMeta {
            id: MessageId(id),
            app: scope.key(),
            event_type,
            event_id: None,
            channels,
            tags: Default::default(),
            order_key: None,
            created_at: now,
        };
        let matches = endpoint.takes(&meta.event_type, &meta.channels);
        let validator = self.validator(scope.application(), &meta.event_type).await?;
        let (scope, public_url) = (scope.clone(), self.settings.public_url.clone());
        // Expressions take milliseconds: not on a thread that has others to serve.
        let run = move || {
            let settings = Settings { format, encoding, filter, transform, validator, public_url: &public_url, now };
            settings.run(&scope, &endpoint, &meta, &input.payload)
        };
        let result = tokio::task::spawn_blocking(run).await.map_err(|_| ServiceError::Internal)?;
        Ok(DryRun { matches, result })
    }
}

/// What a message is sent as to an endpoint as it is.
pub(crate) async fn rendered(
    service: &Service,
    scope: &AppScope,
    endpoint: &Endpoint,
    meta: &MessageMeta,
    payload: &Bytes,
) -> Result<DryRunResult, ServiceError> {
    // What was stored was compiled before; an expression that does not compile any more sends nothing.
    let compiled = |source: &Option<String>| source.as_deref().and_then(|s| Expression::compile(s).ok());
    let (filter, transform) = (compiled(&endpoint.options.filter), compiled(&endpoint.options.transform));
    let (scope, public_url) = (scope.clone(), service.settings.public_url.clone());
    let (endpoint, meta, payload) = (endpoint.clone(), meta.clone(), payload.clone());
    let now = service.now();
    let run = move || {
        let (format, encoding) = (endpoint.options.format, endpoint.options.encoding);
        // What was accepted is not held against its schema again.
        let settings = Settings { format, encoding, filter, transform, validator: None, public_url: &public_url, now };
        settings.run(&scope, &endpoint, &meta, &payload)
    };
    tokio::task::spawn_blocking(run).await.map_err(|_| ServiceError::Internal)
}

/// What decides what is sent.
struct Settings<'a> {
    format: Format,
    encoding: Encoding,
    filter: Option<Expression>,
    transform: Option<Expression>,
    validator: Option<Arc<Validator>>,
    public_url: &'a str,
    now: Timestamp,
}

impl Settings<'_> {
    fn run(&self, scope: &AppScope, endpoint: &Endpoint, meta: &MessageMeta, payload: &Bytes) -> DryRunResult {
        let fails = |stage, message| DryRunResult::Fails { stage, message };
        let misfit = self.validator.as_ref().map_or(Ok(()), |validator| fit::fits(validator, payload));
        if let Err(ServiceError::Invalid(problems)) = misfit {
            let told: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.loc[1..].join("/"), p.msg)).collect();
            return fails(Stage::Payload, told.join("; "));
        }
        match platforms::should_send(self.filter.as_ref(), meta, payload) {
            Ok(true) => {}
            Ok(false) => return DryRunResult::FilteredOut,
            Err(e) => return fails(Stage::Filter, e.to_string()),
        }
        let has_secret = endpoint.secrets.body.is_some() || self.format.needs_body_secret();
        let input = RenderInput {
            format: self.format,
            encoding: self.encoding,
            transform: self.transform.as_ref(),
            // An endpoint gets its secret when it is saved with such a format.
            body_secret: has_secret.then_some(platforms::MASKED_SECRET),
            application: facts(scope),
            public_url: self.public_url,
            subscription_id: endpoint.options.subscription_id.as_ref().map(Uid::as_str),
            now: self.now,
        };
        match platforms::format::render(&input, meta, payload) {
            Ok(r) => DryRunResult::Send { body: r.body, content_type: r.content_type, headers: r.headers },
            Err(RenderError::NoSuchForm { .. }) => DryRunResult::FilteredOut,
            Err(RenderError::Transform(e)) => fails(Stage::Transform, e.to_string()),
            Err(e) => fails(Stage::Format, e.to_string()),
        }
    }
}

/// What rendering needs to know of an application.
pub(crate) fn facts(scope: &AppScope) -> ApplicationFacts<'_> {
    let application = scope.application();
    ApplicationFacts {
        id: application.id,
        uid: application.uid.as_ref().map(|uid| uid.as_str()),
        platform: platform::of(application),
    }
}
