//! Queues as endpoints: how an address names one, and who may write to it.

use crate::lti::SharedSecret;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use url::Url;

/// How what an endpoint gets travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A POST to an address.
    #[default]
    Https,
    /// A message in a queue of Amazon SQS, or of something that speaks its protocol.
    Sqs,
}

impl Transport {
    /// As settings and the API call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Sqs => "sqs",
        }
    }
    /// Whether it is the one of endpoints that do not say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a text is no transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be https or sqs")]
pub struct UnknownTransport;

impl FromStr for Transport {
    type Err = UnknownTransport;
    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        [Self::Https, Self::Sqs].into_iter().find(|t| t.name().eq_ignore_ascii_case(text)).ok_or(UnknownTransport)
    }
}

/// An endpoint's own key to its queue. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueKey {
    /// What AWS calls the access key id.
    pub id: String,
    /// What signs.
    pub secret: SharedSecret,
}

impl fmt::Debug for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueKey(…)")
    }
}

impl QueueKey {
    /// Enough of its id to recognise it: the beginning and the end.
    pub fn masked(&self) -> String {
        match (self.id.get(..4), self.id.len().checked_sub(4).and_then(|at| self.id.get(at..))) {
            (Some(head), Some(tail)) if self.id.len() >= 12 => format!("{head}…{tail}"),
            _ => "…".to_owned(),
        }
    }
}

/// Why an address names no queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Neither form.
    #[error("must be a queue's URL (https://sqs.eu-west-1.amazonaws.com/123456789012/name) or its ARN")]
    Form,
    /// An ARN of something else, or cut short.
    #[error("must be the ARN of a queue: arn:aws:sqs:REGION:ACCOUNT:NAME")]
    Arn,
    /// No region in the address, and none beside it.
    #[error("the queue's region is not in its URL: say it")]
    Region,
}

/// A queue, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueAddress {
    /// Its URL, as every request names it.
    pub url: Url,
    /// Where it is.
    pub region: String,
    /// Whether it was named by an ARN: its URL was worked out, and may be elsewhere for this server.
    pub by_arn: bool,
}

impl QueueAddress {
    /// Reads a URL or an ARN. `region` is what the endpoint says beside its address.
    pub fn read(address: &str, region: Option<&str>) -> Result<Self, QueueError> {
        if is_arn(address) {
            return Self::of_arn(address);
        }
        let url = Url::parse(address).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
        let is_queue =
            |u: &Url| u.host().is_some() && u.path().len() > 1 && u.username().is_empty() && u.password().is_none();
        let url = url.filter(is_queue).ok_or(QueueError::Form)?;
        let host = url.host_str().unwrap_or_default();
        let found = host.split('.').find(|label| is_region(label)).map(str::to_owned);
        let legacy = (host == "queue.amazonaws.com").then(|| "us-east-1".to_owned());
        let region = region.map(str::to_owned).or(found).or(legacy).ok_or(QueueError::Region)?;
        Ok(Self { url, region, by_arn: false })
    }

    fn of_arn(arn: &str) -> Result<Self, QueueError> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sqs", region, account, name] = parts[..] else { return Err(QueueError::Arn) };
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let is_name = (1..=85).contains(&name.len()) && name.bytes().all(fits);
        let is_account = !account.is_empty() && account.len() <= 12 && account.bytes().all(|c| c.is_ascii_digit());
        if !is_region(region) || !is_account || !is_name {
            return Err(QueueError::Arn);
        }
        let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url =
            Url::parse(&format!("https://sqs.{region}.{domain}/{account}/{name}")).map_err(|_| QueueError::Arn)?;
        Ok(Self { url, region: region.to_owned(), by_arn: true })
    }

    /// Whether it is one of Amazon's own, so that the server's own role may be shown there.
    pub fn is_amazons(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        self.url.scheme() == "https" && [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end))
    }

    /// Whether it keeps order and drops repetitions.
    pub fn is_fifo(&self) -> bool {
        self.url.path().ends_with(".fifo")
    }
}

/// Whether an address has the form of an ARN.
pub fn is_arn(address: &str) -> bool {
    address.starts_with("arn:")
}

/// `eu-west-1`, `us-gov-east-1`.
fn is_region(label: &str) -> bool {
    let mut parts = label.split('-');
    let first = parts.next().is_some_and(|p| p.len() == 2 && p.bytes().all(|c| c.is_ascii_lowercase()));
    let rest: Vec<&str> = parts.collect();
    let Some((number, words)) = rest.split_last() else { return false };
    first
        && (1..=3).contains(&words.len())
        && words.iter().all(|w| !w.is_empty() && w.bytes().all(|c| c.is_ascii_lowercase()))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(address: &str) -> Result<(String, String), QueueError> {
        QueueAddress::read(address, None).map(|q| (q.url.to_string(), q.region))
    }

    #[test]
    fn a_queue_is_named_by_its_url_or_its_arn() {
        let eu = "https://sqs.eu-west-1.amazonaws.com/123456789012/canvas-live-events-x";
        let found = Ok((eu.to_owned(), "eu-west-1".to_owned()));
        assert_eq!(read(eu), found);
        assert_eq!(read("arn:aws:sqs:eu-west-1:123456789012:canvas-live-events-x"), found);
        let china = read("arn:aws-cn:sqs:cn-north-1:1:q").unwrap();
        assert_eq!(china.0, "https://sqs.cn-north-1.amazonaws.com.cn/1/q");
        assert_eq!(read("https://us-west-2.queue.amazonaws.com/1/q").unwrap().1, "us-west-2");
        assert_eq!(read("https://queue.amazonaws.com/1/q").unwrap().1, "us-east-1");
        assert_eq!(read("https://vpce-1-2.sqs.us-gov-east-1.vpce.amazonaws.com/1/q").unwrap().1, "us-gov-east-1");
        assert_eq!(read("http://127.0.0.1:5055/1/q"), Err(QueueError::Region));
        let local = QueueAddress::read("http://127.0.0.1:5055/1/q.fifo", Some("eu-west-1")).unwrap();
        assert!(local.is_fifo() && !local.is_amazons() && !local.by_arn);
    }

    #[test]
    fn what_is_no_queue_is_refused() {
        for odd in [
            "arn:aws:sns:eu-west-1:1:q",
            "arn:aws:sqs:eu-west-1:1",
            "arn:aws:sqs:here:1:q",
            "arn:aws:sqs:eu-west-1:1:a/b",
        ] {
            assert_eq!(read(odd), Err(QueueError::Arn), "{odd}");
        }
        for odd in [
            "",
            "q",
            "ftp://sqs.eu-west-1.amazonaws.com/1/q",
            "https://sqs.eu-west-1.amazonaws.com",
            "https:///x",
            "https://u:p@sqs.eu-west-1.amazonaws.com/1/q",
        ] {
            assert!(matches!(read(odd), Err(QueueError::Form | QueueError::Region)), "{odd}");
        }
    }

    #[test]
    fn only_amazons_own_hosts_are_amazons() {
        let is = |url: &str| QueueAddress::read(url, Some("eu-west-1")).unwrap().is_amazons();
        assert!(is("https://sqs.eu-west-1.amazonaws.com/1/q") && is("https://queue.amazonaws.com/1/q"));
        for odd in [
            "http://sqs.eu-west-1.amazonaws.com/1/q",
            "https://sqs.eu-west-1.amazonaws.com.evil.example/1/q",
            "https://evilamazonaws.com/1/q",
        ] {
            assert!(!is(odd), "{odd}");
        }
    }

    #[test]
    fn a_key_shows_its_ends_only() {
        let key = |id: &str| QueueKey { id: id.into(), secret: SharedSecret::new("hidden".into()) };
        assert_eq!(key("AKIAIOSFODNN7EXAMPLE").masked(), "AKIA…MPLE");
        assert_eq!(key("short").masked(), "…");
        assert_eq!(format!("{:?}", key("x")), "QueueKey(…)");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(arn:aws:sqs:)?\\PC{0,40}", region in prop::option::of("[a-z0-9-]{0,12}")) {
            if let Ok(queue) = QueueAddress::read(&text, region.as_deref()) {
                prop_assert!(matches!(queue.url.scheme(), "http" | "https") && queue.url.host().is_some());
            }
        }
    }
}
