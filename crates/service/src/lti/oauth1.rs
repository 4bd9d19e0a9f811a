//! OAuth 1 signatures of tools that have no token: HMAC-SHA1 over the request and the hash of its body (RFC 5849, and IMS's
//! body hash). LTI 2 knows no other algorithm here; what is signed is good once and for a few minutes.
//!
//! Pure but for [`Service::registrant_signed`] and [`Service::tool_signed`], which know the secrets. Whatever is wrong, the
//! answer is the same.

use super::{LtiError, Registrant};
use crate::Service;
use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    Timestamp,
    lti::{Subject, Tool, ToolState},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};
use store::seal::fill_random;
use url::Url;

/// How far a request's time may be from ours, in seconds.
const WINDOW: i64 = 300;
/// A header of more bytes is none of OAuth's.
const LENGTH_MAX: usize = 4096;
/// Longer ones are not remembered, so they are refused.
const NONCE_MAX: usize = 200;
const SCHEME: &str = "oauth ";

/// A request that may be signed.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path, from the slash on, without a query.
    pub path: &'a str,
    /// The query, as it was sent.
    pub query: &'a str,
    /// The header `Authorization`.
    pub authorization: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl SignedRequest<'_> {
    /// Whether it claims to be signed in this way.
    pub fn is_signed(&self) -> bool {
        self.authorization.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }
}

/// What a signed request says about itself; none of it is believed yet.
struct Claimed {
    key: String,
    nonce: String,
    time: i64,
    signature: Vec<u8>,
    /// What is signed.
    base: String,
}

/// All but what RFC 3986 leaves as it is: letters, digits and four more.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Undoes that. Other than in forms, a plus is a plus; a character that may not stand there ends a value or stands for nothing.
fn decoded(text: &str) -> Option<String> {
    if text.contains('&') {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// The parameters of the header. Each once, or there would be two readings of it.
fn parameters(header: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for pair in header.get(SCHEME.len()..)?.split(',') {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        if found.insert(decoded(name.trim())?, decoded(value)?).is_some() {
            return None;
        }
    }
    Some(found)
}

/// Reads a request, and checks all that needs no secret.
fn read(request: &SignedRequest<'_>, public_url: &str, now: Timestamp) -> Result<Claimed, &'static str> {
    if !request.is_signed() || request.authorization.len() > LENGTH_MAX {
        return Err("there is no OAuth signature");
    }
    let mut given = parameters(request.authorization).ok_or("the header cannot be read")?;
    given.remove("realm");
    let signature = given.remove("oauth_signature").and_then(|s| STANDARD.decode(s).ok()).ok_or("no signature")?;
    let known = |name: &str| given.get(name).cloned().unwrap_or_default();
    if known("oauth_signature_method") != "HMAC-SHA1" {
        return Err("the signature's method is not HMAC-SHA1");
    }
    if !matches!(known("oauth_version").as_str(), "" | "1.0") {
        return Err("the version is not 1.0");
    }
    let time: i64 = known("oauth_timestamp").parse().map_err(|_| "the time is no number")?;
    if !(now.as_seconds() - WINDOW..=now.as_seconds() + WINDOW).contains(&time) {
        return Err("the time is too far from ours");
    }
    let nonce = known("oauth_nonce");
    if !(1..=NONCE_MAX).contains(&nonce.len()) {
        return Err("the nonce is missing or too long");
    }
    // A body that the signature does not cover could be anybody's.
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, request.body);
    let claims = given.get("oauth_body_hash").map(|h| STANDARD.decode(h).unwrap_or_default());
    match claims {
        Some(claimed) if claimed == hash.as_ref() => {}
        None if request.body.is_empty() => {}
        _ => return Err("the hash of the body is missing or wrong"),
    }
    let key = known("oauth_consumer_key");
    let base = base_string(request, public_url, given).ok_or("our own address is none")?;
    Ok(Claimed { key, nonce, time, signature, base })
}

/// What is signed: method, address, and every parameter but the signature, sorted.
fn base_string(request: &SignedRequest<'_>, public_url: &str, parameters: BTreeMap<String, String>) -> Option<String> {
    // A parsed address has its host in lower case, and no port that goes without saying.
    let address = Url::parse(&format!("{public_url}{}", request.path)).ok()?;
    let query = form_urlencoded::parse(request.query.as_bytes());
    let mut pairs: Vec<(String, String)> = query
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .chain(parameters.iter().map(|(name, value)| (encoded(name), encoded(value))))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let method = request.method.to_ascii_uppercase();
    Some(format!("{method}&{}&{}", encoded(address.as_str()), encoded(&pairs.join("&"))))
}

/// Whether a secret signed this, in a time that says nothing about where it differs.
fn is_signed_with(secret: &str, base: &str, signature: &[u8]) -> bool {
    // The second half of the key belongs to tokens, which there are none of.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{}&", encoded(secret)).as_bytes());
    hmac::verify(&key, base.as_bytes(), signature).is_ok()
}

/// What would be signed of a request, as far as it can be read; a door for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub fn what_is_signed(request: &SignedRequest<'_>, public_url: &str, now: Timestamp) -> Option<String> {
    read(request, public_url, now).ok().map(|claimed| claimed.base)
}

impl Service {
    /// Who signed a request, if it is good, now, and for the first time.
    async fn signer(&self, request: &SignedRequest<'_>) -> Result<Subject, LtiError> {
        let refuse = |problem: &'static str| {
            tracing::info!(problem, "refused a tool's OAuth 1 signature");
            LtiError::Unauthorized
        };
        let now = self.now();
        let claimed = read(request, &self.settings.public_url, now).map_err(refuse)?;
        let subject = self.store.lti_subject(&claimed.key).await?;
        let secret = match &subject {
            Some(Subject::Tool(tool)) => tool.secret.expose().to_owned(),
            Some(Subject::Registration(registration)) => registration.password.expose().to_owned(),
            // Vendors sign nothing in this way; nobody at all is verified as well, with a secret that nobody has.
            Some(Subject::DeveloperKey(_)) | None => {
                let mut nobodys = vec![0; 128];
                fill_random(&mut nobodys);
                STANDARD.encode(nobodys)
            }
        };
        if !is_signed_with(&secret, &claimed.base, &claimed.signature) {
            return Err(refuse("the signature is wrong"));
        }
        let subject = subject.ok_or_else(|| refuse("nobody has this key"))?;
        let until = Timestamp::from_micros(claimed.time * 1_000_000).plus(Duration::from_secs(WINDOW as u64 + 1));
        // Beside the ids of assertions, which are another series.
        let nonce = format!("oauth1:{}:{}", claimed.time, claimed.nonce);
        if !self.store.use_nonce(&claimed.key, &nonce, until, now).await? {
            return Err(refuse("the nonce was used before"));
        }
        Ok(subject)
    }

    /// Who registers a tool, by the signature of the registration's own password.
    pub async fn registrant_signed(&self, request: &SignedRequest<'_>) -> Result<Registrant, LtiError> {
        let Subject::Registration(signer) = self.signer(request).await? else { return Err(LtiError::Unauthorized) };
        // Open still: it may be used up or over.
        let registration = self.open_registration(signer.key.as_str()).await?.ok_or(LtiError::Unauthorized)?;
        Ok(Registrant { registration, developer_key: None })
    }

    /// The tool that signed with its shared secret, if it is active.
    pub async fn tool_signed(&self, request: &SignedRequest<'_>) -> Result<Tool, LtiError> {
        match self.signer(request).await? {
            Subject::Tool(tool) if tool.state == ToolState::Active => Ok(*tool),
            _ => Err(LtiError::Unauthorized),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://EXAMPLE.com:80";

    /// The example of RFC 5849, section 1.2, without its token.
    fn header(extra: &str) -> String {
        format!(
            "OAuth realm=\"Photos\", oauth_consumer_key=\"dpf43f3p2l4k3l03\", oauth_signature_method=\"HMAC-SHA1\", \
             oauth_timestamp=\"137131202\", oauth_nonce=\"chapoH\"{extra}"
        )
    }
    fn signature(base: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"kd94hf93k423kf44&");
        STANDARD.encode(hmac::sign(&key, base.as_bytes()))
    }
    fn request<'a>(authorization: &'a str, body: &'a [u8]) -> SignedRequest<'a> {
        SignedRequest {
            method: "get",
            path: "/photos",
            query: "size=original&file=va%20cation.jpg",
            authorization,
            body,
        }
    }
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }
    const BASE: &str = "GET&http%3A%2F%2Fexample.com%2Fphotos&file%3Dva%2520cation.jpg%26oauth_consumer_key%3D\
        dpf43f3p2l4k3l03%26oauth_nonce%3DchapoH%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131202%26\
        size%3Doriginal";

    #[test]
    fn what_is_signed_is_put_together_as_the_standard_has_it() {
        let authorization = header(&format!(", oauth_signature=\"{}\"", encoded(&signature(BASE))));
        let claimed = read(&request(&authorization, b""), URL, at(137_131_202)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((claimed.base.as_str(), claimed.key.as_str()), (BASE, "dpf43f3p2l4k3l03"));
        assert!(is_signed_with("kd94hf93k423kf44", &claimed.base, &claimed.signature));
        assert!(!is_signed_with("kd94hf93k423kf45", &claimed.base, &claimed.signature));
        assert!(!is_signed_with("kd94hf93k423kf44", &claimed.base, &[]));
    }

    #[test]
    fn a_request_is_good_for_five_minutes_and_with_its_own_body() {
        let authorization = header(", oauth_signature=\"AAAA\"");
        let problem = |authorization: &str, body: &[u8], now| read(&request(authorization, body), URL, at(now)).err();
        for (now, good) in [(301, false), (300, true), (-300, true), (-301, false)] {
            assert_eq!(problem(&authorization, b"", 137_131_202 + now).is_none(), good, "{now}");
        }
        let now = 137_131_202;
        assert!(problem(&authorization, b"{}", now).is_some(), "a body without a hash");
        let hash = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, b"{}"));
        let hashed = format!("{authorization}, oauth_body_hash=\"{}\"", encoded(&hash));
        assert_eq!(problem(&hashed, b"{}", now), None);
        assert!(problem(&hashed, b"{ }", now).is_some());
        for odd in [
            "Bearer x",
            "OAuth ",
            "OAuth a",
            "OAuth ä=\"\"",
            &authorization.replace("HMAC-SHA1", "PLAINTEXT"),
            &authorization.replace("chapoH", ""),
            &authorization.replace("AAAA", "%zz"),
            &format!("{authorization}, oauth_nonce=\"again\""),
            &format!("{authorization}, oauth_version=\"2.0\""),
        ] {
            assert!(problem(odd, b"", now).is_some(), "{odd}");
        }
    }

    #[test]
    fn texts_are_written_as_the_standard_has_it_and_read_back() {
        for (text, written) in [("a-._~Z9", "a-._~Z9"), ("a b+c&=", "a%20b%2Bc%26%3D"), ("ä", "%C3%A4")] {
            assert_eq!(encoded(text), written);
            assert_eq!(decoded(written).as_deref(), Some(text));
        }
        assert_eq!(decoded("a+b").as_deref(), Some("a+b"));
        assert_eq!(decoded("a%zz").as_deref(), Some("a%zz"), "what is no escape is what it is");
        for odd in ["a&b", "%FF", "a%C3"] {
            assert_eq!(decoded(odd), None, "{odd}");
        }
    }
}
