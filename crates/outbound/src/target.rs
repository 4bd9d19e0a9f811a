//! An endpoint made ready for sending: everything that does not change from one message to the next is worked out once.
//!
//! Made from an endpoint's settings alone; it opens no connection and resolves no name.

use crate::signing::{KeyError, SignatureKind, SigningKey, generate_secret, sign_header_into};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{Endpoint, Header, Secrets, Timestamp};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{self, Entry},
    uri::PathAndQuery,
};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use std::{fmt, io::Write as _, net::IpAddr, sync::Arc};
use url::{Host, Url};

/// Both families, because Svix's verifiers look for the first and Standard Webhooks verifiers know only the second.
static SIGNATURE_HEADERS: [HeaderName; 6] = [
    HeaderName::from_static("svix-id"),
    HeaderName::from_static("svix-timestamp"),
    HeaderName::from_static("svix-signature"),
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];

/// Where connections go: what they are kept and shared by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: HostName,
    pub(crate) port: u16,
}

/// The host of a URL.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum HostName {
    /// A literal address: nothing to resolve.
    Address(IpAddr),
    /// A name to resolve.
    Name(String),
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// An endpoint made ready for sending. Cheap to share, made anew when the endpoint changes.
pub struct Target {
    pub(crate) origin: Arc<Origin>,
    /// What the certificate has to be for.
    pub(crate) server_name: Option<ServerName<'static>>,
    pub(crate) uri: Uri,
    headers: HeaderMap,
    shown_url: String,
    /// Whether the signature headers are sent.
    signed: bool,
    current: SigningKey,
    retired: Vec<(SigningKey, Timestamp)>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown_url)
    }
}

/// Why nothing can be sent with an endpoint's settings.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// The address cannot be used.
    #[error("the endpoint's address cannot be used: {0}")]
    Address(String),
    /// A header that the user added cannot be sent.
    #[error("the endpoint's header '{0}' cannot be sent: its name or its value holds characters that HTTP forbids")]
    Header(String),
    /// A queue that this server has no way into.
    #[error("nothing can be sent to the endpoint's queue: {0}")]
    Access(&'static str),
    /// A signing secret cannot be used.
    #[error("the endpoint's signing secret cannot be used: {0}")]
    Secret(#[from] KeyError),
}

impl Target {
    /// Makes an endpoint ready.
    ///
    /// Custom headers replace what would be sent by default, except for what makes a request a signed and well-formed
    /// one: the signatures and the body's length stay ours.
    pub fn prepare(endpoint: &Endpoint) -> Result<Self, TargetError> {
        Self::at(&endpoint.url, &endpoint.headers, &endpoint.secrets, !endpoint.options.unsigned)
    }

    /// Makes an address ready that is no endpoint's; as [`Self::prepare`].
    pub fn at(address: &str, custom: &[Header], secrets: &Secrets, signed: bool) -> Result<Self, TargetError> {
        let mut url = Url::parse(address).map_err(|e| TargetError::Address(e.to_string()))?;
        let credentials = basic_credentials(&url);
        // These cannot fail for a URL that has a host; for one without, `origin_of` refuses it.
        let _ = url.set_username("");
        let _ = url.set_password(None);

        let Address { origin, server_name, path, authority } = Address::of(&url)?;
        let mut headers = HeaderMap::with_capacity(16 + custom.len());
        headers.insert(header::HOST, authority);
        // Empty values keep the places for what `headers_for` and the client fill in: cloning a map of the final size
        // is cheaper than growing it for each message.
        for name in SIGNATURE_HEADERS.iter().filter(|_| signed) {
            headers.insert(name, HeaderValue::from_static(""));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(""));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(""));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        for custom in custom {
            let bad = || TargetError::Header(custom.name.clone());
            let name = HeaderName::from_bytes(custom.name.as_bytes()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(&custom.value).map_err(|_| bad())?;
            value.set_sensitive(true);
            if !is_ours(&name) {
                headers.insert(name, value);
            }
        }
        if let (Some(value), Entry::Vacant(free)) = (credentials, headers.entry(header::AUTHORIZATION)) {
            free.insert(value);
        }

        let retired = secrets.retired.iter();
        Ok(Self {
            server_name: origin.tls.then_some(server_name),
            origin: Arc::new(origin),
            uri: path.into(),
            headers,
            shown_url: url.into(),
            signed,
            current: SigningKey::new(&secrets.current)?,
            retired: retired.map(|(s, until)| Ok((SigningKey::new(s)?, *until))).collect::<Result<_, KeyError>>()?,
        })
    }

    /// A web server that is no receiver: nothing is signed for it.
    pub(crate) fn plain(url: &Url) -> Result<Self, TargetError> {
        let Address { origin, server_name, path, authority } = Address::of(url)?;
        Ok(Self {
            server_name: origin.tls.then_some(server_name),
            origin: Arc::new(origin),
            uri: path.into(),
            headers: HeaderMap::from_iter([(header::HOST, authority)]),
            shown_url: url.to_string(),
            signed: false,
            current: SigningKey::new(&generate_secret(SignatureKind::Hmac256))?,
            retired: Vec::new(),
        })
    }

    /// Its headers, without what belongs to messages.
    pub(crate) fn plain_headers(&self, user_agent: &HeaderValue) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(header::USER_AGENT, user_agent.clone());
        headers
    }

    /// For the moment an address is typed in: refuses one that could never be sent to.
    pub fn check_url(url: &Url) -> Result<(), TargetError> {
        Address::of(url).map(|_| ())
    }

    /// The address without user info, for records of attempts.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// All headers of one request but those that the connection adds. `None` if the id cannot be sent.
    pub(crate) fn headers_for(
        &self,
        id: &str,
        now: Timestamp,
        body: &[u8],
        content_type: &HeaderValue,
        user_agent: &HeaderValue,
        extra: &HeaderMap,
    ) -> Option<HeaderMap> {
        let mut headers = self.headers.clone();
        for (name, value) in extra {
            if !is_ours(name) {
                headers.insert(name, value.clone());
            }
        }
        fill(&mut headers, header::CONTENT_TYPE, content_type);
        fill(&mut headers, header::USER_AGENT, user_agent);
        if body.is_empty() {
            // Hyper leaves the length out when there is no body, and some receivers then wait for one.
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }

        if !self.signed {
            return Some(headers);
        }

        // One buffer holds what is signed before the body, `id.timestamp.`, and the signatures behind it; the three
        // header values are slices of it.
        let mut buffer = Vec::with_capacity(id.len() + 80);
        buffer.extend_from_slice(id.as_bytes());
        // Writing into a Vec cannot fail.
        let _ = write!(buffer, ".{}.", now.as_seconds());
        let prefix = buffer.len();
        let valid = self.retired.iter().filter(|(_, until)| *until > now).map(|(key, _)| key);
        sign_header_into(&mut buffer, std::iter::once(&self.current).chain(valid), body);
        let buffer = Bytes::from(buffer);
        let values = [0..id.len(), id.len() + 1..prefix - 1, prefix..buffer.len()];
        for (i, range) in values.into_iter().enumerate() {
            let value = HeaderValue::from_maybe_shared(buffer.slice(range)).ok()?;
            headers.insert(&SIGNATURE_HEADERS[i], value.clone());
            headers.insert(&SIGNATURE_HEADERS[i + 3], value);
        }
        Some(headers)
    }
}

/// Sets a header that the user did not set.
fn fill(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    if let Some(slot) = headers.get_mut(name).filter(|slot| slot.is_empty()) {
        *slot = value.clone();
    }
}

/// Whether only we may set this header.
fn is_ours(name: &HeaderName) -> bool {
    SIGNATURE_HEADERS.contains(name) || *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING
}

/// The parts of an address.
pub(crate) struct Address {
    pub(crate) origin: Origin,
    pub(crate) server_name: ServerName<'static>,
    path: PathAndQuery,
    pub(crate) authority: HeaderValue,
}

impl Address {
    pub(crate) fn of(url: &Url) -> Result<Self, TargetError> {
        let bad = |what: &str| TargetError::Address(what.to_owned());
        let origin = origin_of(url)?;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        Ok(Self {
            server_name: server_name(&origin.host)?,
            path: PathAndQuery::try_from(path).map_err(|_| bad("its path cannot be sent"))?,
            authority: authority.parse().map_err(|_| bad("its host cannot be sent"))?,
            origin,
        })
    }
}

fn origin_of(url: &Url) -> Result<Origin, TargetError> {
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        other => return Err(TargetError::Address(format!("'{other}' is neither http nor https"))),
    };
    let host = match url.host() {
        Some(Host::Ipv4(ip)) => HostName::Address(ip.into()),
        Some(Host::Ipv6(ip)) => HostName::Address(ip.into()),
        Some(Host::Domain(name)) => HostName::Name(name.to_owned()),
        None => return Err(TargetError::Address("it has no host".into())),
    };
    let port = url.port_or_known_default().ok_or_else(|| TargetError::Address("it has no port".into()))?;
    Ok(Origin { tls, host, port })
}

fn server_name(host: &HostName) -> Result<ServerName<'static>, TargetError> {
    match host {
        HostName::Address(ip) => Ok(ServerName::IpAddress((*ip).into())),
        // The root's full stop is DNS's own; certificates do not have it.
        HostName::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| TargetError::Address("its host is not a name that can be looked up".into())),
    }
}

/// User info of a URL as the value of an `Authorization` header.
fn basic_credentials(url: &Url) -> Option<HeaderValue> {
    let password = url.password();
    if url.username().is_empty() && password.is_none() {
        return None;
    }
    let mut plain = percent_decode_str(url.username()).collect::<Vec<u8>>();
    plain.push(b':');
    plain.extend(percent_decode_str(password.unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Header, Secret};
    use testkit::build::{SECRET, endpoint};

    #[test]
    fn an_endpoint_may_leave_the_signature_headers_out() {
        let mut e = endpoint("https://example.com/");
        e.options.unsigned = true;
        let (json, extra) = (HeaderValue::from_static("application/json"), HeaderMap::new());
        let headers = Target::prepare(&e).unwrap();
        let headers = headers.headers_for("msg_1", Timestamp::default(), b"{}", &json, &json, &extra).unwrap();
        assert!(SIGNATURE_HEADERS.iter().all(|name| !headers.contains_key(name)));
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    }

    fn prepared(url: &str, custom: &[(&str, &str)]) -> Result<Target, TargetError> {
        let mut e = endpoint(url);
        e.headers = custom.iter().map(|(n, v)| Header { name: (*n).into(), value: (*v).into() }).collect();
        Target::prepare(&e)
    }

    fn sent(target: &Target, extra: &HeaderMap) -> HeaderMap {
        let [json, agent] = ["application/json", "Schoolbell/1"].map(HeaderValue::from_static);
        target.headers_for("msg_1", Timestamp::from_micros(1_714_000_000_999_999), b"{}", &json, &agent, extra).unwrap()
    }

    #[test]
    fn the_address_is_taken_apart_once() {
        let t = prepared("https://Example.COM:8443/a b/../c?x=%20y#part", &[]).unwrap();
        assert_eq!(*t.origin, Origin { tls: true, host: HostName::Name("example.com".into()), port: 8443 });
        assert_eq!(t.uri, "/c?x=%20y");
        let h = sent(&t, &HeaderMap::new());
        assert_eq!(h.keys().next(), Some(&header::HOST));
        assert_eq!(h["host"], "example.com:8443");
        assert_eq!(t.shown_url(), "https://example.com:8443/c?x=%20y#part");

        let t = prepared("http://[::1]", &[]).unwrap();
        assert_eq!(*t.origin, Origin { tls: false, host: HostName::Address("::1".parse().unwrap()), port: 80 });
        assert_eq!(t.uri, "/");
        assert_eq!(sent(&t, &HeaderMap::new())["host"], "[::1]");
        let t = prepared("http://0x7f.1:80/", &[]).unwrap();
        assert_eq!(t.origin.host, HostName::Address("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn all_that_a_url_may_hold_can_be_sent() {
        let t = prepared("https://x.org//a|b/ü/[1]{2}/'\"<>`^?q=a|b'{}`[]\\^ü \"#f", &[]).unwrap();
        assert!(t.uri.path().starts_with("//a|b/%C3%BC/"), "{}", t.uri);
    }

    #[test]
    fn user_info_becomes_a_header_and_is_shown_nowhere() {
        let t = prepared("https://us%20er:p%40ss@example.com/", &[]).unwrap();
        let h = sent(&t, &HeaderMap::new());
        assert_eq!(h["authorization"], "Basic dXMgZXI6cEBzcw==");
        assert_eq!(h["host"], "example.com");
        assert!(!format!("{t:?}{h:?}").contains("cEBzcw"), "{h:?}");
        assert_eq!(t.shown_url(), "https://example.com/");
        let own = prepared("https://user:pass@example.com/", &[("Authorization", "Bearer x")]).unwrap();
        assert_eq!(sent(&own, &HeaderMap::new())["authorization"], "Bearer x");
    }

    #[test]
    fn custom_headers_replace_ours_but_never_the_signature() {
        let custom = [
            ("Host", "other.example"),
            ("Content-Type", "text/plain"),
            ("user-agent", "me"),
            ("ACCEPT", "text/*"),
            ("X-Mine", "ä"),
            ("webhook-signature", "forged"),
            ("Svix-Id", "forged"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ];
        let h = sent(&prepared("https://example.com/", &custom).unwrap(), &HeaderMap::new());
        for (name, value) in &custom[..5] {
            assert_eq!(h[*name], value.as_bytes(), "{name}");
        }
        assert!(h["webhook-signature"].to_str().unwrap().starts_with("v1,"));
        assert_eq!(h["svix-id"], "msg_1");
        assert!(!h.contains_key("content-length") && !h.contains_key("transfer-encoding"));
    }

    #[test]
    fn extra_headers_of_one_request_replace_the_endpoints_but_never_the_signature() {
        let extra = [("x-mine", "2"), ("webhook-id", "forged")]
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        let h = sent(&prepared("https://example.com/", &[("X-Mine", "1")]).unwrap(), &HeaderMap::from_iter(extra));
        assert_eq!((&h["x-mine"], &h["webhook-id"]), (&"2".parse().unwrap(), &"msg_1".parse().unwrap()));
    }

    #[test]
    fn both_families_say_the_same() {
        let h = sent(&prepared("https://example.com/", &[]).unwrap(), &HeaderMap::new());
        for part in ["id", "timestamp", "signature"] {
            assert_eq!(h[format!("svix-{part}")], h[format!("webhook-{part}")]);
        }
        assert_eq!(h["svix-timestamp"], "1714000000");
        let key = SigningKey::new(&Secret::parse(SECRET).unwrap()).unwrap();
        assert_eq!(h["svix-signature"], crate::sign_header([&key], "msg_1", 1_714_000_000, b"{}"));
    }

    #[test]
    fn retired_secrets_sign_until_their_time_is_over() {
        let mut e = endpoint("https://example.com/");
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let retired = [(1_714_000_000, 1), (1_714_000_001, 2)];
        e.secrets.retired = retired.map(|(until, byte)| (Secret::Hmac(vec![byte; 24]), at(until))).to_vec();
        let h = sent(&Target::prepare(&e).unwrap(), &HeaderMap::new());
        assert_eq!(h["svix-signature"].to_str().unwrap().split(' ').count(), 2);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        for url in ["ftp://example.com/", "mailto:x@example.com", "no url", "data:,x", "https://", "http://us)ring/"] {
            assert!(matches!(prepared(url, &[]), Err(TargetError::Address(_))), "{url}");
        }
        for (name, value) in [("a b", "x"), ("", "x"), ("x", "a\nb")] {
            assert_eq!(
                prepared("https://example.com/", &[(name, value)]).unwrap_err(),
                TargetError::Header(name.into())
            );
        }
        let mut e = endpoint("https://example.com/");
        e.secrets.current = Secret::Ed25519([1; 64]);
        assert_eq!(Target::prepare(&e).unwrap_err(), TargetError::Secret(KeyError::Mismatch));
    }
}
