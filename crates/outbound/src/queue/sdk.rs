//! The SDK: a client for each queue, one look for the server's own credentials, and batches.

use super::{Queue, QueueMessage, door::Door, failed, verdict::reason_of};
use crate::{
    client::{Client, Failure, connect::Connector, pool::Pool},
    target::TargetError,
};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_sqs::{
    config::{
        Credentials, ProvideCredentials, SharedCredentialsProvider, StalledStreamProtectionConfig, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata as _, SdkError},
    operation::send_message_batch::SendMessageBatchError,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use domain::{Endpoint, FailureReason, Outcome, queue::QueueAddress};
use std::{error::Error, sync::Arc};
use tokio::sync::OnceCell;

/// The server's own access, looked for at the first need: environment, profile, web identity, container, machine.
#[derive(Clone, Debug)]
pub(crate) struct OwnAccess {
    /// The metadata services of clouds live at addresses that receivers may not have, so this one has no guard. Where it
    /// goes is decided by the machine's own settings, never by an endpoint's.
    door: Door,
    found: Arc<OnceCell<Option<SharedCredentialsProvider>>>,
}

impl OwnAccess {
    pub(crate) fn new(connector: Arc<Connector>, pool: Arc<Pool>) -> Self {
        Self { door: Door { connector, pool }, found: Arc::new(OnceCell::new()) }
    }

    async fn provider(&self) -> Option<SharedCredentialsProvider> {
        let look = async {
            let config = aws_config::defaults(BehaviorVersion::latest()).http_client(self.door.clone()).load().await;
            config.credentials_provider()
        };
        self.found.get_or_init(|| look).await.clone()
    }
}

impl ProvideCredentials for OwnAccess {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            match self.provider().await {
                Some(provider) => provider.provide_credentials().await,
                None => Err(CredentialsError::not_loaded("this server has no access of its own")),
            }
        })
    }
}

impl Client {
    pub(super) fn ready(&self, address: QueueAddress, endpoint: &Endpoint) -> Result<Queue, TargetError> {
        let door = Door { connector: self.connector.clone(), pool: self.pool.clone() };
        let origin = &address.url[..url::Position::BeforePath];
        let builder = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(address.region.clone()))
            .endpoint_url(origin)
            .http_client(door)
            // Tries, waits and deadlines are the engine's.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let builder = match &endpoint.secrets.queue {
            Some(key) => {
                let secret = key.secret.expose().to_owned();
                builder.credentials_provider(Credentials::new(key.id.clone(), secret, None, None, "endpoint"))
            }
            None => match &self.own_access {
                Some(own) => builder.credentials_provider(own.clone()),
                None => return Err(TargetError::Access("give it an access key")),
            },
        };
        Ok(Queue { address, sdk: aws_sdk_sqs::Client::from_conf(builder.build()) })
    }

    pub(super) async fn enqueue(&self, queue: &Queue, messages: &[QueueMessage]) -> Vec<Outcome> {
        let outcomes = send_batch(queue, messages).await;
        // A queue may be set to take less than we put into one request.
        let too_large = |o: &Outcome| o.reason() == Some(FailureReason::TooLarge);
        if messages.len() == 1 || !outcomes.iter().all(too_large) {
            return outcomes;
        }
        let mut one_by_one = Vec::with_capacity(messages.len());
        for message in messages {
            one_by_one.extend(send_batch(queue, std::slice::from_ref(message)).await);
        }
        one_by_one
    }
}

/// One request.
async fn send_batch(queue: &Queue, messages: &[QueueMessage]) -> Vec<Outcome> {
    let mut request = queue.sdk.send_message_batch().queue_url(queue.address.url.as_str());
    for (n, message) in messages.iter().enumerate() {
        match entry(n, message, queue.address.is_fifo()) {
            Ok(entry) => request = request.entries(entry),
            // All that we render is text; what is not was published as something else than JSON.
            Err(problem) => {
                return vec![failed(FailureReason::FormatFailed, None, problem); messages.len()];
            }
        }
    }
    match request.send().await {
        Err(error) => vec![of_error(&error); messages.len()],
        Ok(answer) => {
            let lost = "the queue did not say what became of this message".to_owned();
            let mut outcomes = vec![failed(FailureReason::ServerError, None, lost); messages.len()];
            let at = |id: &str| id.parse::<usize>().ok();
            for taken in answer.successful() {
                if let Some(outcome) = at(taken.id()).and_then(|n| outcomes.get_mut(n)) {
                    let body = Bytes::from(format!("MessageId: {}", taken.message_id()));
                    *outcome = Outcome::Answered { status: 200, body, retry_after: None };
                }
            }
            for refused in answer.failed() {
                if let Some(outcome) = at(refused.id()).and_then(|n| outcomes.get_mut(n)) {
                    let message = refused.message().unwrap_or_default();
                    let status = if refused.sender_fault() { 400 } else { 500 };
                    let reason = reason_of(refused.code(), message, Some(status));
                    *outcome = failed(reason, None, format!("{}: {message}", refused.code()));
                }
            }
            outcomes
        }
    }
}

fn entry(n: usize, message: &QueueMessage, fifo: bool) -> Result<SendMessageBatchRequestEntry, String> {
    let body = std::str::from_utf8(&message.body).map_err(|e| format!("a queue takes text only: {e}"))?;
    let mut entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body);
    for (name, value) in &message.attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
        entry = entry.message_attributes(*name, value.map_err(|e| e.to_string())?);
    }
    if fifo {
        let group = message.order_key.as_ref().unwrap_or(&message.id);
        entry = entry.message_group_id(group).message_deduplication_id(&message.id);
    }
    entry.build().map_err(|e| e.to_string())
}

fn of_error(error: &SdkError<SendMessageBatchError, HttpResponse>) -> Outcome {
    match error {
        SdkError::ServiceError(e) => {
            let status = e.raw().status().as_u16();
            let (code, message) = (e.err().code().unwrap_or_default(), e.err().message().unwrap_or_default());
            failed(reason_of(code, message, Some(status)), Some(status), format!("{code}: {message}"))
        }
        SdkError::ResponseError(e) => {
            let status = e.raw().status().as_u16();
            failed(FailureReason::NotHttp, Some(status), "the answer is not that of a queue".to_owned())
        }
        e => match failure_in(e) {
            Some(failure) => failed(failure.reason, None, failure.detail.clone()),
            // No credentials, or none in time: they may be there the next time.
            None => failed(FailureReason::Unauthorized, None, causes(e)),
        },
    }
}

/// What our own connection said, somewhere below.
fn failure_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failure> {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if let Some(failure) = e.downcast_ref::<Failure>() {
            return Some(failure);
        }
        cause = e.source();
    }
    None
}

fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}
