//! What a request to an endpoint looks like, told from the message and the endpoint as they are now. Storing each request's
//! headers would cost the hot path hundreds of bytes per attempt for what is the same every time.

use crate::{
    Service,
    access::AppScope,
    actor::Capability,
    dry_run::{DryRunResult, rendered},
    error::ServiceError,
};
use domain::{Endpoint, Message, Timestamp, message::TEST_CHANNEL};
use url::Url;

/// What stands for a value that is not shown.
pub const MASKED: &str = "••••••";

/// The headers of requests that carry one message to one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentHeaders {
    /// All but what differs from attempt to attempt.
    fixed: Vec<(String, String)>,
    /// The message's id, where requests are signed.
    signed: Option<String>,
}

impl SentHeaders {
    /// Of the attempt at this instant, secrets and signatures masked.
    pub fn at(&self, at: Timestamp) -> Vec<(String, String)> {
        let mut headers = self.fixed.clone();
        if let Some(id) = &self.signed {
            for family in ["webhook", "svix"] {
                headers.push((format!("{family}-id"), id.clone()));
                headers.push((format!("{family}-timestamp"), at.as_seconds().to_string()));
                headers.push((format!("{family}-signature"), format!("v1,{MASKED}")));
            }
        }
        headers
    }
}

impl Service {
    /// What is sent of a message to an endpoint, beside the body.
    pub async fn sent_headers(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        message: &Message,
    ) -> Result<SentHeaders, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let mut fixed = Vec::new();
        if !endpoint.options.transport.is_default() {
            // A queue has no headers that a person would look for.
            return Ok(SentHeaders { fixed, signed: None });
        }
        let url = Url::parse(&endpoint.url).ok();
        if let Some(host) = url.as_ref().and_then(Url::host_str) {
            let port = url.as_ref().and_then(Url::port).map(|p| format!(":{p}")).unwrap_or_default();
            fixed.push(("host".to_owned(), format!("{host}{port}")));
        }
        // A signed body is another one than the payload is rendered to.
        // Only its length and type are told: whoever may not see it may see these.
        let payload = match &message.payload {
            Some(payload) => Some(payload.clone()),
            None => self.find_message(scope, &message.meta.id.to_string(), true).await?.payload,
        };
        if let (Some(payload), None) = (&payload, &endpoint.options.body_signing)
            && let DryRunResult::Send { body, content_type, headers } =
                rendered(self, scope, endpoint, &message.meta, payload).await?
        {
            fixed.push(("content-type".to_owned(), content_type.to_owned()));
            // A secret in the body is masked here and may be longer there.
            if endpoint.secrets.body.is_none() {
                fixed.push(("content-length".to_owned(), body.len().to_string()));
            }
            fixed.extend(headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)));
        }
        fixed.push(("user-agent".to_owned(), concat!("Schoolbell/", env!("CARGO_PKG_VERSION")).to_owned()));
        fixed.push(("accept".to_owned(), "*/*".to_owned()));
        if message.meta.channels.iter().any(|c| c.as_str() == TEST_CHANNEL) {
            fixed.push(("webhook-test".to_owned(), "true".to_owned()));
        }
        if url.is_some_and(|u| !u.username().is_empty() || u.password().is_some()) {
            fixed.push(("authorization".to_owned(), MASKED.to_owned()));
        }
        for header in &endpoint.headers {
            let name = header.name.to_ascii_lowercase();
            fixed.retain(|(n, _)| *n != name);
            let value = if header.is_sensitive() { MASKED } else { &header.value };
            fixed.push((name, value.to_owned()));
        }
        let signed = (!endpoint.options.unsigned).then(|| message.meta.id.to_string());
        Ok(SentHeaders { fixed, signed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_its_own_time_and_no_signature_to_read() {
        let sent = SentHeaders { fixed: vec![("accept".into(), "*/*".into())], signed: Some("msg_1".into()) };
        let headers = sent.at(Timestamp::from_micros(7_000_000));
        let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("webhook-timestamp"), Some("7"));
        assert_eq!(value("webhook-id"), Some("msg_1"));
        assert_eq!(value("svix-signature"), Some("v1,••••••"));
        let unsigned = SentHeaders { signed: None, ..sent };
        assert_eq!(unsigned.at(Timestamp::from_micros(0)).len(), 1);
    }
}
