//! Questions to web servers that are no receivers, such as an OpenID provider: unsigned, but through the same guard and
//! within the same deadline and limits.

use super::{BodyReader, Broken, Client, Failure, Progress};
use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use url::Url;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// A form to post; a GET without one.
    pub form: Option<String>,
    /// For the header `authorization`.
    pub authorization: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(String);

impl Client {
    /// Asks; takes at most the client's timeout, and gives back no more of the body than of a receiver's answer.
    pub async fn fetch(&self, url: &Url, question: Question) -> Result<(StatusCode, Bytes), FetchError> {
        let cannot = |e: &dyn std::fmt::Display| FetchError(e.to_string());
        let target = Target::plain(url).map_err(|e| cannot(&e))?;
        let mut headers = target.plain_headers(&self.user_agent);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let (method, body) = match question.form {
            Some(form) => {
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.insert(header::CONTENT_TYPE, kind);
                (Method::POST, Bytes::from(form))
            }
            None => (Method::GET, Bytes::new()),
        };
        if let Some(text) = question.authorization {
            let mut value = HeaderValue::from_str(&text).map_err(|e| cannot(&e))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let mut progress = Progress::Connecting;
        let asked = tokio::time::timeout(self.timeout, self.question(&target, method, headers, body, &mut progress));
        let asked = asked.await.unwrap_or_else(|_| Err(progress.timed_out(self.timeout)));
        asked.map_err(|f| {
            let detail = if f.detail.is_empty() { String::new() } else { format!(" ({})", f.detail) };
            FetchError(format!("{}{detail}", f.reason.sentence()))
        })
    }

    /// Over a connection of its own, which is not kept.
    async fn question(
        &self,
        target: &Target,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        progress: &mut Progress,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let failed = |broken| match broken {
            Broken::Unanswered(failure) | Broken::Other(failure) => failure,
        };
        let mut connection =
            Box::pin(self.connector.connect(&target.origin, target.server_name.as_ref(), progress)).await?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = headers;
        *progress = Progress::Asked;
        let (head, mut body) = connection.send(request).await.map_err(failed)?.into_parts();
        *progress = Progress::Answering { status: head.status.as_u16() };
        let mut reader = BodyReader::new(&head.headers, self.answer_limits);
        while let Some(data) = connection.next_data(&mut body).await.map_err(failed)? {
            if !reader.take(&data) {
                break;
            }
        }
        Ok((head.status, reader.kept()))
    }
}
