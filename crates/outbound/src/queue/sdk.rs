//! A batch as the SDK writes, signs and reads it.
//!
//! The operation's serializer, its reader of answers and errors, the signer and the search for credentials are the SDK's.
//! What is left out is its orchestrator, which puts a request's settings together anew each time, for retries, endpoint
//! rules and observers that we do not use: it cost more than all of these together (BENCHMARKS.md has the figures).

use super::{
    MESSAGE_MAX, Queue, QueueMessage,
    access::Access,
    door::{Door, Way},
    failed,
    verdict::reason_of,
};
use crate::{
    client::{Client, Failure},
    target::TargetError,
};
use aws_sdk_sqs::{
    error::ProvideErrorMetadata as _,
    operation::send_message_batch::{
        SendMessageBatch, SendMessageBatchError, SendMessageBatchInput, SendMessageBatchOutput,
    },
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        identity::Identity,
        interceptors::context::Input,
        orchestrator::HttpResponse,
        runtime_plugin::RuntimePlugin as _,
        ser_de::{
            DeserializeResponse as _, SerializeRequest as _, SharedRequestSerializer, SharedResponseDeserializer,
        },
    },
};
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer};
use bytes::Bytes;
use domain::{Endpoint, FailureReason, Outcome, Timestamp, queue::QueueAddress};
use http::{HeaderName, HeaderValue, Method, Request, header, request::Parts};
use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, SystemTime},
};

/// What sending to one queue takes, put together once.
pub(super) struct Sender {
    door: Door,
    way: Way,
    access: Access,
    /// What is signed as the request's address.
    address: String,
    region: String,
    user_agent: HeaderValue,
    /// The SDK's description of the operation.
    operation: FrozenLayer,
}

impl Client {
    pub(super) fn ready(&self, address: QueueAddress, endpoint: &Endpoint) -> Result<Queue, TargetError> {
        let access = match (&endpoint.secrets.queue, &self.own_access) {
            (Some(key), _) => Access::by_key(key),
            (None, Some(own)) => Access::Own(own.clone()),
            (None, None) => return Err(TargetError::Access("give it an access key")),
        };
        let operation = SendMessageBatch::new().config();
        let sender = Sender {
            door: Door { connector: self.connector.clone(), pool: self.pool.clone() },
            way: Way::to(&address.url)?,
            access,
            address: format!("{}/", &address.url[..url::Position::BeforePath]),
            region: address.region.clone(),
            user_agent: self.user_agent.clone(),
            operation: operation.ok_or(TargetError::Access("the queue's protocol is missing from this build"))?,
        };
        Ok(Queue { address, sender })
    }

    pub(super) async fn enqueue(&self, queue: &Queue, messages: &[QueueMessage], now: Timestamp) -> Vec<Outcome> {
        let outcomes = queue.send(messages, now).await;
        // A queue may be set to take less than we put into one request; and what is wrong with one message is not the
        // fault of those that travel with it.
        let of_one =
            |o: &Outcome| matches!(o.reason(), Some(FailureReason::QueueTooLarge | FailureReason::FormatFailed));
        if messages.len() == 1 || !outcomes.iter().all(of_one) {
            return outcomes;
        }
        let mut one_by_one = Vec::with_capacity(messages.len());
        for message in messages {
            one_by_one.extend(queue.send(std::slice::from_ref(message), now).await);
        }
        one_by_one
    }
}

impl Queue {
    /// One request; an outcome for each message.
    async fn send(&self, messages: &[QueueMessage], now: Timestamp) -> Vec<Outcome> {
        match self.exchange(messages, now).await {
            Ok(answer) => self.sender.read(&answer, messages.len()),
            Err(outcome) => vec![outcome; messages.len()],
        }
    }

    async fn exchange(&self, messages: &[QueueMessage], now: Timestamp) -> Result<HttpResponse, Outcome> {
        let input = self.input(messages)?;
        // No credentials, or none in time: they may be there the next time.
        let identity = self.sender.access.identity(now).await;
        let identity = identity.map_err(|e| failed(FailureReason::Unauthorized, None, causes(&e)))?;
        let signed = self.sender.signed(input, &identity, now);
        let (head, body) = signed.map_err(|e| failed(FailureReason::BadRequest, None, causes(&*e)))?;
        let answer = self.sender.door.ask(&self.sender.way, head, body).await;
        answer.map_err(|Failure { reason, detail }| failed(reason, None, detail))
    }

    fn input(&self, messages: &[QueueMessage]) -> Result<SendMessageBatchInput, Outcome> {
        let mut entries = Vec::with_capacity(messages.len());
        for (n, message) in messages.iter().enumerate() {
            // Nobody's queue takes more, so this one is not asked.
            if message.size() > MESSAGE_MAX {
                let detail = format!("{} bytes with its attributes; a queue takes {MESSAGE_MAX}", message.size());
                return Err(failed(FailureReason::QueueTooLarge, None, detail));
            }
            // All that we render is text; what is not was published as something else than JSON.
            let entry = entry(n, message, self.address.is_fifo());
            entries.push(entry.map_err(|problem| failed(FailureReason::FormatFailed, None, problem))?);
        }
        let input =
            SendMessageBatchInput::builder().queue_url(self.address.url.as_str()).set_entries(Some(entries)).build();
        input.map_err(|e| failed(FailureReason::BadRequest, None, e.to_string()))
    }
}

impl Sender {
    /// The request as it goes out.
    fn signed(
        &self,
        input: SendMessageBatchInput,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(Parts, Bytes), BoxError> {
        let serializer = self.operation.load::<SharedRequestSerializer>().ok_or("the SDK has no way to write it")?;
        let mut written = serializer.serialize_input(Input::erase(input), &mut ConfigBag::base())?;
        let instructions = {
            let body = SignableBody::Bytes(written.body().bytes().ok_or("a body that is not in memory")?);
            let signable = SignableRequest::new("POST", &self.address, written.headers().iter(), body)?;
            let since = u64::try_from(now.as_micros()).unwrap_or_default();
            let params = v4::SigningParams::builder()
                .identity(identity)
                .region(&self.region)
                .name("sqs")
                .time(SystemTime::UNIX_EPOCH + Duration::from_micros(since))
                .settings(SigningSettings::default())
                .build()?;
            sign(signable, &params.into())?.into_parts().0
        };
        let body = written.take_body();
        let mut head = Request::new(()).into_parts().0;
        head.method = Method::POST;
        for (name, value) in written.headers() {
            head.headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        for (name, value) in instructions.headers() {
            head.headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        head.headers.insert(header::USER_AGENT, self.user_agent.clone());
        Ok((head, Bytes::copy_from_slice(body.bytes().unwrap_or_default())))
    }

    /// What became of each message.
    fn read(&self, answer: &HttpResponse, count: usize) -> Vec<Outcome> {
        let reader = self.operation.load::<SharedResponseDeserializer>();
        let read = match reader.map(|reader| reader.deserialize_nonstreaming(answer)) {
            Some(Ok(output)) => output.downcast::<SendMessageBatchOutput>().ok(),
            Some(Err(error)) => {
                let known = error.as_operation_error().and_then(|e| e.downcast_ref::<SendMessageBatchError>());
                return vec![of_error(known, answer.status().as_u16()); count];
            }
            None => None,
        };
        let Some(read) = read else { return vec![no_queue(answer.status().as_u16()); count] };
        let mut outcomes = vec![None; count];
        let mut put = |id: &str, outcome| {
            if let Some(place) = id.parse::<usize>().ok().and_then(|n| outcomes.get_mut(n)) {
                *place = Some(outcome);
            }
        };
        for taken in read.successful() {
            let body = Bytes::from(format!("MessageId: {}", taken.message_id()));
            put(taken.id(), Outcome::Answered { status: 200, body, retry_after: None });
        }
        for refused in read.failed() {
            let message = refused.message().unwrap_or_default();
            let status = if refused.sender_fault() { 400 } else { 500 };
            let reason = reason_of(refused.code(), message, Some(status));
            put(refused.id(), failed(reason, None, format!("{}: {message}", refused.code())));
        }
        let lost =
            || failed(FailureReason::ServerError, None, "the queue did not say what became of this message".into());
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect()
    }
}

fn entry(n: usize, message: &QueueMessage, fifo: bool) -> Result<SendMessageBatchRequestEntry, String> {
    let body = std::str::from_utf8(&message.body).map_err(|e| format!("a queue takes text only: {e}"))?;
    let mut attributes = HashMap::with_capacity(message.attributes.len());
    for (name, value) in &message.attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
        attributes.insert((*name).to_owned(), value.map_err(|e| e.to_string())?);
    }
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(n.to_string())
        .message_body(body)
        .set_message_attributes(Some(attributes));
    if fifo {
        let group = message.order_key.as_ref().unwrap_or(&message.id);
        entry = entry.message_group_id(group).message_deduplication_id(&message.id);
    }
    entry.build().map_err(|e| e.to_string())
}

fn of_error(error: Option<&SendMessageBatchError>, status: u16) -> Outcome {
    match error.and_then(|e| Some((e.code()?, e.message().unwrap_or_default()))) {
        Some((code, message)) => {
            failed(reason_of(code, message, Some(status)), Some(status), format!("{code}: {message}"))
        }
        None => no_queue(status),
    }
}

/// An answer that says nothing about messages.
fn no_queue(status: u16) -> Outcome {
    let reason = match status {
        200..=299 => FailureReason::NotHttp,
        _ => reason_of("", "", Some(status)),
    };
    failed(reason, Some(status), "the answer is not that of a queue".to_owned())
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
