//! Signing in with an OpenID provider: authorization code with PKCE. The provider is found by discovery, asked through
//! the guarded client, and believed only as far as its signed ID token goes. Users are known by issuer and subject,
//! never by an e-mail address, which may change hands.

use crate::{
    Service,
    seams::{Ask, Fetch},
    sessions::new_key,
    sign_in::SignInError,
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Subject, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;
use url::Url;

/// What was discovered is believed this long.
const FRESH: Duration = Duration::from_secs(3600);
/// A token with an unknown key makes us look again, this often at most.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long somebody may take at the provider.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How far clocks may differ, in seconds.
const TOLERANCE: i64 = 120;
/// Signatures that are believed: made with a key that the provider alone has.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// A provider as the operator named it.
pub struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    fetch: Arc<dyn Fetch>,
    known: Mutex<Option<Arc<Known>>>,
}

struct Known {
    metadata: Metadata,
    keys: JwkSet,
    at: Timestamp,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
    access_token: Option<String>,
}

/// What the provider says of somebody beside the ID token.
#[derive(Deserialize, Default)]
struct UserInfo {
    sub: String,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    nonce: Option<String>,
    email: Option<String>,
    name: Option<String>,
}

/// What we remember of somebody while they are at the provider: in their browser, signed by us.
#[derive(Serialize, Deserialize)]
struct Away {
    /// Told from our other tokens by this.
    sub: String,
    state: String,
    nonce: String,
    verifier: String,
    invitation: Option<String>,
    exp: i64,
}

const AWAY: &str = "at-the-provider";

/// Where to send somebody who wants to sign in, and what their browser has to bring back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The provider's page.
    pub url: String,
    /// For a cookie.
    pub cookie: String,
}

/// What the provider sends back through the browser.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Return {
    /// Ours.
    pub state: String,
    /// To be exchanged.
    pub code: String,
    /// What went wrong instead.
    pub error: String,
    /// Who says so; not every provider does.
    pub issuer: String,
}

fn provider(text: impl Into<String>) -> SignInError {
    SignInError::Provider(text.into())
}

fn address(text: &str) -> Result<Url, SignInError> {
    Url::parse(text).map_err(|e| provider(format!("'{text}' is no address: {e}")))
}

impl Provider {
    /// Nothing is asked yet: a provider that is away at the start must not keep the server from starting.
    pub fn new(issuer: &Url, client_id: String, client_secret: Option<String>, fetch: Arc<dyn Fetch>) -> Self {
        let issuer = issuer.as_str().trim_end_matches('/').to_owned();
        Self { issuer, client_id, client_secret, fetch, known: Mutex::new(None) }
    }

    /// As its users know it.
    pub fn name(&self) -> &str {
        self.issuer.split_once("://").map_or(&*self.issuer, |(_, host)| host)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        url: &Url,
        authorization: Option<String>,
        what: &str,
    ) -> Result<T, SignInError> {
        let ask = Ask { form: None, authorization };
        let (status, body) = self.fetch.fetch(url, ask).await.map_err(|e| provider(format!("{what}: {e}")))?;
        if status != 200 {
            return Err(provider(format!("{what}: the provider answered with {status}")));
        }
        serde_json::from_slice(&body).map_err(|e| provider(format!("{what} cannot be read: {e}")))
    }

    async fn known(&self, now: Timestamp, not_before: Option<Timestamp>) -> Result<Arc<Known>, SignInError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && now.since(known.at) < FRESH
            && not_before.is_none_or(|at| known.at >= at)
        {
            return Ok(known.clone());
        }
        let url = address(&format!("{}/.well-known/openid-configuration", self.issuer))?;
        let metadata: Metadata = self.get(&url, None, "discovery").await?;
        if metadata.issuer.trim_end_matches('/') != self.issuer {
            return Err(provider(format!("the provider calls itself {}", metadata.issuer)));
        }
        let keys = self.get(&address(&metadata.jwks_uri)?, None, "the provider's keys").await?;
        let found = Arc::new(Known { metadata, keys, at: now });
        *known = Some(found.clone());
        Ok(found)
    }

    /// The form that exchanges a code, and the header that says who we are.
    fn question(&self, known: &Known, code: &str, verifier: &str, back: &str) -> Ask {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", back)
            .append_pair("code_verifier", verifier)
            .append_pair("client_id", &self.client_id);
        let methods = known.metadata.token_endpoint_auth_methods_supported.as_deref();
        let basic = methods.is_none_or(|m| m.iter().any(|m| m == "client_secret_basic"));
        let authorization = match &self.client_secret {
            Some(secret) if basic => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(&self.client_id), encode(secret));
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            Some(secret) => {
                form.append_pair("client_secret", secret);
                None
            }
            None => None,
        };
        Ask { form: Some(form.finish()), authorization }
    }

    /// Exchanges the code for an ID token, with the proof that it was we who asked.
    async fn exchange(
        &self,
        known: &Known,
        code: &str,
        verifier: &str,
        back: &str,
    ) -> Result<TokenAnswer, SignInError> {
        let ask = self.question(known, code, verifier, back);
        let url = address(&known.metadata.token_endpoint)?;
        let answer = self.fetch.fetch(&url, ask).await;
        let (status, body) = answer.map_err(|e| provider(format!("the code could not be exchanged: {e}")))?;
        if status != 200 {
            return Err(provider(format!("the provider did not take the code, and answered with {status}")));
        }
        serde_json::from_slice(&body).map_err(|_| provider("the provider's answer has no ID token"))
    }

    /// Asks for what the ID token does not say of somebody new, where the provider offers that.
    async fn introduce(&self, known: &Known, token: Option<String>, of: &IdToken) -> Result<UserInfo, SignInError> {
        let (Some(text), Some(token)) = (&known.metadata.userinfo_endpoint, token) else {
            return Ok(UserInfo::default());
        };
        let info: UserInfo = self.get(&address(text)?, Some(format!("Bearer {token}")), "who you are").await?;
        if info.sub == of.sub { Ok(info) } else { Err(provider("the provider speaks of somebody else")) }
    }

    fn verify(&self, known: &Known, token: &str, nonce: &str, now: Timestamp) -> Result<IdToken, Unbelieved> {
        let wrong = |_| Unbelieved::Wrong("it cannot be read, or its signature is wrong");
        let header = jsonwebtoken::decode_header(token).map_err(wrong)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Unbelieved::Wrong("it is signed in a way that proves nothing"));
        }
        let key = match &header.kid {
            Some(kid) => known.keys.find(kid),
            None => known.keys.keys.first().filter(|_| known.keys.keys.len() == 1),
        };
        let key = DecodingKey::from_jwk(key.ok_or(Unbelieved::UnknownKey)?).map_err(wrong)?;
        let mut validation = Validation::new(header.alg);
        // These are checked below, times against the clock that everything else uses.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        let claims = jsonwebtoken::decode::<IdToken>(token, &key, &validation).map_err(wrong)?.claims;
        let for_us = match &claims.aud {
            Audience::One(aud) => *aud == self.client_id,
            Audience::Many(all) => {
                all.contains(&self.client_id) && (all.len() == 1 || claims.azp.as_ref() == Some(&self.client_id))
            }
        };
        if claims.iss.trim_end_matches('/') != self.issuer {
            Err(Unbelieved::Wrong("somebody else made it"))
        } else if !for_us {
            Err(Unbelieved::Wrong("it is for somebody else"))
        } else if claims.exp < (now.as_seconds() - TOLERANCE) as f64 {
            Err(Unbelieved::Wrong("it has ended"))
        } else if claims.nonce.as_deref() != Some(nonce) {
            Err(Unbelieved::Wrong("it answers another question"))
        } else if claims.sub.is_empty() || claims.sub.len() > 255 {
            Err(Unbelieved::Wrong("it names nobody"))
        } else {
            Ok(claims)
        }
    }
}

/// Why an ID token is not believed.
#[derive(Debug, PartialEq)]
enum Unbelieved {
    /// The provider may have new keys.
    UnknownKey,
    /// And nothing will help.
    Wrong(&'static str),
}

impl Service {
    /// The provider that people may sign in with.
    pub fn provider(&self) -> Option<&Provider> {
        self.oidc.as_ref()
    }

    fn way_back(&self) -> String {
        format!("{}/sign-in/provider/return", self.settings.public_url)
    }

    /// Sends somebody to the provider; with the key of an invitation if they bring one.
    pub async fn depart(&self, invitation: Option<String>) -> Result<Departure, SignInError> {
        let oidc = self.oidc.as_ref().ok_or_else(|| provider("there is no provider"))?;
        let now = self.now();
        let known = oidc.known(now, None).await?;
        let ((state, _), (nonce, _), (verifier, _)) = (new_key(), new_key(), new_key());
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        let mut url = address(&known.metadata.authorization_endpoint)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &oidc.client_id)
            .append_pair("redirect_uri", &self.way_back())
            .append_pair("scope", "openid email profile")
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let exp = now.plus(PATIENCE).as_seconds();
        let away = Away { sub: AWAY.to_owned(), state, nonce, verifier, invitation, exp };
        Ok(Departure { url: url.into(), cookie: self.tokens.sign(&away) })
    }

    /// Takes somebody back who was at the provider; answers the cookie of their session.
    pub async fn come_back(&self, cookie: &str, back: Return) -> Result<String, SignInError> {
        let oidc = self.oidc.as_ref().ok_or_else(|| provider("there is no provider"))?;
        let now = self.now();
        let away: Option<Away> = self.tokens.open(cookie).filter(|a: &Away| a.sub == AWAY && a.exp >= now.as_seconds());
        // A code that somebody else slipped into this browser comes without our cookie, or with another state.
        let away = away
            .filter(|a| a.state == back.state)
            .ok_or_else(|| provider("this browser did not ask for it, or took longer than 15 minutes. Begin again"))?;
        if !back.error.is_empty() {
            let word: String = back.error.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(provider(format!("the provider says '{word}'")));
        }
        if !back.issuer.is_empty() && back.issuer.trim_end_matches('/') != oidc.issuer {
            return Err(provider("another provider answered"));
        }
        let known = oidc.known(now, None).await?;
        let TokenAnswer { id_token: token, access_token } =
            oidc.exchange(&known, &back.code, &away.verifier, &self.way_back()).await?;
        let claims = match oidc.verify(&known, &token, &away.nonce, now) {
            Err(Unbelieved::UnknownKey) if now.since(known.at) >= LOOK_AGAIN => {
                let known = oidc.known(now, Some(now)).await?;
                oidc.verify(&known, &token, &away.nonce, now)
            }
            verified => verified,
        };
        let mut claims = claims.map_err(|e| match e {
            Unbelieved::UnknownKey => provider("the ID token is signed with a key that the provider does not name"),
            Unbelieved::Wrong(why) => provider(format!("the ID token is not believed: {why}")),
        })?;
        if claims.email.is_none() && away.invitation.is_some() {
            let info = oidc.introduce(&known, access_token, &claims).await?;
            (claims.email, claims.name) = (info.email, claims.name.or(info.name));
        }
        let subject = Subject { issuer: oidc.issuer.clone(), subject: claims.sub };
        self.sign_in_as(subject, claims.email.as_deref(), claims.name.as_deref(), away.invitation.as_deref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::Fetched;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    struct Nowhere;
    impl Fetch for Nowhere {
        fn fetch<'a>(&'a self, _: &'a Url, _: Ask) -> Fetched<'a> {
            Box::pin(async { Err("nobody is there".to_owned()) })
        }
    }

    const KEY: &str = include_str!("../tests/provider.pem");

    fn oidc() -> Provider {
        let issuer = Url::parse("https://id.example.edu/").unwrap();
        Provider::new(&issuer, "schoolbell".into(), None, Arc::new(Nowhere))
    }
    fn known() -> Known {
        let metadata = json!({
            "issuer": "https://id.example.edu", "authorization_endpoint": "https://id.example.edu/a",
            "token_endpoint": "https://id.example.edu/t", "jwks_uri": "https://id.example.edu/k",
        });
        let keys = serde_json::from_str(include_str!("../tests/provider.jwks.json")).unwrap();
        Known { metadata: serde_json::from_value(metadata).unwrap(), keys, at: now() }
    }
    fn now() -> Timestamp {
        Timestamp::parse("2026-05-01T00:00:00Z").unwrap()
    }
    fn token(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut claims = json!({
            "iss": "https://id.example.edu", "sub": "7", "aud": "schoolbell", "exp": now().as_seconds() + 60,
            "nonce": "n", "email": "ada@example.edu",
        });
        change(&mut claims);
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_pem(KEY.as_bytes()).unwrap()).unwrap()
    }
    fn verify(token: &str) -> Result<String, Unbelieved> {
        oidc().verify(&known(), token, "n", now()).map(|t| t.sub)
    }

    #[test]
    fn an_id_token_is_believed_if_it_is_signed_for_us_in_time_and_answers_our_question() {
        assert_eq!(verify(&token(|_| {})), Ok("7".into()));
        assert_eq!(verify(&token(|t| t["aud"] = json!(["schoolbell"]))), Ok("7".into()));
        for change in [
            json!({"iss": "https://evil.example.edu"}),
            json!({"aud": "other"}),
            json!({"aud": ["schoolbell", "other"]}),
            json!({"exp": now().as_seconds() - 121}),
            json!({"nonce": "m"}),
            json!({"sub": ""}),
        ] {
            let altered = token(|t| t.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()));
            assert!(matches!(verify(&altered), Err(Unbelieved::Wrong(_))), "{change}");
        }
    }

    #[test]
    fn an_id_token_of_another_key_or_without_one_is_not_believed() {
        let good = token(|_| {});
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let twisted: String = signature.chars().rev().collect();
        assert!(matches!(verify(&format!("{signed}.{twisted}")), Err(Unbelieved::Wrong(_))));
        let shared = jsonwebtoken::encode(
            &Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) },
            &json!({"sub": "7"}),
            &EncodingKey::from_secret(b"public key as a secret"),
        );
        assert!(matches!(verify(&shared.unwrap()), Err(Unbelieved::Wrong(_))));
        let mut known = known();
        known.keys.keys.clear();
        assert_eq!(oidc().verify(&known, &good, "n", now()).map(|_| ()), Err(Unbelieved::UnknownKey));
    }
}
