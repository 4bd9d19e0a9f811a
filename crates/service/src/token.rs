//! Tokens: JWTs as Svix makes and reads them, signed with the operator's secret. `sub` names an organization, or an
//! application if `org` is there too.

use crate::actor::{Actor, ApplicationActor, Capability};
use domain::{ApplicationId, Confines, EventTypeName, Ksuid, OrganizationId, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How far clocks may differ, in seconds.
const TOLERANCE: i64 = 15 * 60;
/// How long an organization's token is valid.
const ORGANIZATION_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long an application's token is valid, if nothing else was asked for.
pub const APPLICATION_LIFETIME: Duration = Duration::from_secs(28 * 24 * 3600);
/// How long a link for signing in works.
const SIGN_IN_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The subject of a token that only signs in. No organization and no application is called like this, so such a token
/// opens nothing else.
const SIGN_IN: &str = "sign-in";
/// Verified tokens in memory.
const CACHED: usize = 10_000;
/// Longer texts are not tokens of ours; they are not even looked at.
const LENGTH_MAX: usize = 16 * 1024;

/// Why a token is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Missing, malformed, signed by somebody else, expired or not valid yet.
    #[error("Invalid token")]
    Invalid,
    /// The signing secret itself was sent.
    #[error(
        "This is the secret that signs tokens, not a token. Make one with `schoolbell token`, and keep the secret to \
         yourself: whoever has it can make any token"
    )]
    SecretInsteadOfToken,
    /// No `sub`.
    #[error("Invalid token: the claim `sub` is missing")]
    NoSubject,
    /// `sub` is not an organization.
    #[error("Invalid token: `sub` must be an organization's id (org_…)")]
    NotAnOrganization,
    /// `org` or `sub` do not fit together.
    #[error("Invalid token: `org` must be an organization's id (org_…) and `sub` an application's (app_…)")]
    NotAnApplication,
}

/// The claims. Those that are not checked are there because other programs look at them.
#[derive(Serialize, Deserialize, Default)]
struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    iat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    exp: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    nbf: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    feature_flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Vec<Capability>>,
    /// Never empty: a token whose channels cannot be read is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Confines>,
}

/// Others write times with fractions and we read them; some programs take whole numbers only.
fn whole_seconds<S: Serializer>(time: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
    time.map(|t| t as i64).serialize(s)
}

/// A token that was verified: who it stands for, and when.
struct Verified {
    actor: Actor,
    not_before: Option<f64>,
    expires: Option<f64>,
}

impl Verified {
    fn holds_at(&self, now: Timestamp) -> bool {
        let now = now.as_seconds() as f64;
        let slack = TOLERANCE as f64;
        self.expires.is_none_or(|t| t + slack >= now) && self.not_before.is_none_or(|t| t - slack <= now)
    }
}

/// What a token for signing in says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignInToken {
    /// Whose operator signs in.
    pub organization: OrganizationId,
    /// Its own name, to tell whether it was used.
    pub id: String,
}

/// Makes and reads tokens.
pub struct Tokens {
    algorithm: Algorithm,
    validation: Validation,
    sign: EncodingKey,
    verify: DecodingKey,
    secret: Box<[u8]>,
    verified: Cache<Box<str>, Arc<Verified>>,
}

impl Tokens {
    /// With the secret that signs. New tokens are HS256; tokens made elsewhere may be HS384 or HS512.
    pub fn new(secret: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        // Times are checked here, against the clock that everything else uses.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        Self {
            algorithm: Algorithm::HS256,
            validation,
            sign: EncodingKey::from_secret(secret.as_bytes()),
            verify: DecodingKey::from_secret(secret.as_bytes()),
            secret: secret.as_bytes().into(),
            verified: Cache::new(CACHED),
        }
    }

    /// Signs claims of a kind of their own, which must have a subject that names no organization.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> String {
        jsonwebtoken::encode(&Header::new(self.algorithm), claims, &self.sign)
            .unwrap_or_else(|e| unreachable!("plain claims can always be signed with a shared secret: {e}"))
    }

    /// Reads such claims. Whether they still hold is the reader's to check.
    pub(crate) fn open<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let short = token.len() <= LENGTH_MAX;
        short.then(|| jsonwebtoken::decode::<T>(token, &self.verify, &self.validation).ok()).flatten().map(|t| t.claims)
    }

    /// What signs, for keys that are made from it.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// A token for an organization, valid for ten years.
    pub fn for_organization(&self, organization: &OrganizationId, now: Timestamp) -> String {
        self.encode(Claims { sub: Some(organization.to_string()), ..Claims::default() }, now, ORGANIZATION_LIFETIME)
    }

    /// A token for one application.
    pub fn for_application(&self, actor: &ApplicationActor, now: Timestamp, lifetime: Duration) -> String {
        let claims = Claims {
            sub: Some(actor.application.to_string()),
            org: Some(actor.organization.to_string()),
            feature_flags: actor.feature_flags.iter().map(ToString::to_string).collect(),
            capabilities: actor.capabilities.as_ref().map(|c| c.iter().copied().collect()),
            channels: actor.confines.clone(),
            ..Claims::default()
        };
        self.encode(claims, now, lifetime)
    }

    /// A token that signs the operator of an organization in. `id` makes it the only one of its kind.
    pub fn for_sign_in(&self, organization: &OrganizationId, id: Ksuid, now: Timestamp) -> String {
        let claims = Claims {
            sub: Some(SIGN_IN.to_owned()),
            org: Some(organization.to_string()),
            jti: Some(id.to_string()),
            ..Claims::default()
        };
        self.encode(claims, now, SIGN_IN_LIFETIME)
    }

    /// Reads such a token. It ends when it says, without the tolerance that other tokens have.
    pub fn read_sign_in(&self, token: &str, now: Timestamp) -> Result<SignInToken, TokenError> {
        let claims = self.claims(token)?;
        let (Some(SIGN_IN), Some(organization), Some(id)) = (claims.sub.as_deref(), claims.org, claims.jti) else {
            return Err(TokenError::Invalid);
        };
        if claims.exp.is_none_or(|t| t < now.as_seconds() as f64) {
            return Err(TokenError::Invalid);
        }
        Ok(SignInToken { organization: organization.parse().map_err(|_| TokenError::Invalid)?, id })
    }

    fn encode(&self, mut claims: Claims, now: Timestamp, lifetime: Duration) -> String {
        let seconds = now.as_seconds();
        // Svix's name, since programs that check the issuer were written for its tokens.
        claims.iss = Some("svix-server".to_owned());
        claims.iat = Some(seconds as f64);
        claims.nbf = claims.iat;
        claims.exp = Some(now.plus(lifetime).as_seconds() as f64);
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.sign)
            .unwrap_or_else(|e| unreachable!("plain claims can always be signed with a shared secret: {e}"))
    }

    /// Whom a token stands for, and when it ends.
    pub fn read_with_end(&self, token: &str, now: Timestamp) -> Result<(Actor, Option<Timestamp>), TokenError> {
        let actor = self.read(token, now)?;
        let ends = self.verify(token)?.expires.map(|seconds| Timestamp::from_micros((seconds * 1e6) as i64));
        Ok((actor, ends))
    }

    /// Whom a token stands for.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<Actor, TokenError> {
        let verified = match self.verified.get(token) {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(self.verify(token)?);
                self.verified.insert(token.into(), verified.clone());
                verified
            }
        };
        if verified.holds_at(now) { Ok(verified.actor.clone()) } else { Err(TokenError::Invalid) }
    }

    fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let claims = self.claims(token)?;
        let (not_before, expires) = (claims.nbf, claims.exp);
        Ok(Verified { actor: actor(claims)?, not_before, expires })
    }

    /// The claims of a token that was signed with our secret.
    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        if same(token.as_bytes(), &self.secret) {
            return Err(TokenError::SecretInsteadOfToken);
        }
        if token.len() > LENGTH_MAX {
            return Err(TokenError::Invalid);
        }
        Ok(jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims)
    }
}

/// Compares in a time that says nothing about where two texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

fn actor(claims: Claims) -> Result<Actor, TokenError> {
    let subject = claims.sub.ok_or(TokenError::NoSubject)?;
    let Some(organization) = claims.org else {
        return subject.parse().map(Actor::Organization).map_err(|_| TokenError::NotAnOrganization);
    };
    let organization: OrganizationId = organization.parse().map_err(|_| TokenError::NotAnApplication)?;
    let application: ApplicationId = subject.parse().map_err(|_| TokenError::NotAnApplication)?;
    Ok(Actor::Application(Arc::new(ApplicationActor {
        organization,
        application,
        feature_flags: claims.feature_flags.iter().filter_map(|f| EventTypeName::new(f).ok()).collect(),
        capabilities: claims.capabilities.map(BTreeSet::from_iter),
        confines: claims.channels,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &str = "a secret of the operator";

    fn now() -> Timestamp {
        Timestamp::parse("2026-05-01T00:00:00Z").unwrap()
    }
    fn signed(claims: serde_json::Value, algorithm: Algorithm, secret: &str) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }
    fn read(claims: serde_json::Value) -> Result<Actor, TokenError> {
        Tokens::new(SECRET).read(&signed(claims, Algorithm::HS256, SECRET), now())
    }
    fn organization() -> OrganizationId {
        OrganizationId::DEFAULT.parse().unwrap()
    }

    #[test]
    fn tokens_read_back_until_they_expire() {
        let tokens = Tokens::new(SECRET);
        let token = tokens.for_organization(&organization(), now());
        assert_eq!(tokens.read(&token, now()), Ok(Actor::Organization(organization())));
        let later = now().plus(ORGANIZATION_LIFETIME + Duration::from_secs(901));
        assert_eq!(tokens.read(&token, later), Err(TokenError::Invalid), "also when it is in memory");
        let app = ApplicationActor {
            organization: organization(),
            application: ApplicationId(domain::Ksuid::lowest_at(now())),
            feature_flags: [EventTypeName::new("beta").unwrap()].into(),
            capabilities: Some([Capability::ViewBase].into()),
            confines: Some(Confines::to([domain::Channel::new("course:45").unwrap()].into()).unwrap()),
        };
        let token = tokens.for_application(&app, now(), APPLICATION_LIFETIME);
        assert_eq!(tokens.read(&token, now()), Ok(Actor::Application(Arc::new(app))));
    }

    #[test]
    fn a_token_for_signing_in_opens_nothing_else_and_ends_on_time() {
        let tokens = Tokens::new(SECRET);
        let token = tokens.for_sign_in(&organization(), Ksuid::MIN, now());
        assert_eq!(tokens.read(&token, now()), Err(TokenError::NotAnApplication));
        let read = SignInToken { organization: organization(), id: Ksuid::MIN.to_string() };
        assert_eq!(tokens.read_sign_in(&token, now()), Ok(read));
        let later = now().plus(SIGN_IN_LIFETIME + Duration::from_secs(1));
        assert_eq!(tokens.read_sign_in(&token, later), Err(TokenError::Invalid));
        let api = tokens.for_organization(&organization(), now());
        assert_eq!(tokens.read_sign_in(&api, now()), Err(TokenError::Invalid), "a stolen API token opens no session");
    }

    #[test]
    fn a_token_has_the_claims_that_svix_issues() {
        let token = Tokens::new(SECRET).for_organization(&organization(), now());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
        let iat = now().as_seconds();
        let exp = iat + 10 * 365 * 24 * 3600;
        let sub = OrganizationId::DEFAULT;
        assert_eq!(claims, json!({"iss": "svix-server", "iat": iat, "nbf": iat, "exp": exp, "sub": sub}));
    }

    #[test]
    fn times_are_checked_with_15_minutes_of_tolerance_and_may_be_missing() {
        let (t, org) = (now().as_seconds(), "org_x");
        assert!(read(json!({"sub": org})).is_ok());
        assert!(read(json!({"sub": org, "exp": t - 899, "nbf": t + 899})).is_ok());
        assert_eq!(read(json!({"sub": org, "exp": t - 901})), Err(TokenError::Invalid));
        assert_eq!(read(json!({"sub": org, "nbf": t + 901})), Err(TokenError::Invalid));
    }

    #[test]
    fn other_hmac_algorithms_are_taken_and_nothing_else() {
        let tokens = Tokens::new(SECRET);
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            assert!(tokens.read(&signed(json!({"sub": "org_x"}), algorithm, SECRET), now()).is_ok());
        }
        let other = signed(json!({"sub": "org_x"}), Algorithm::HS256, "another secret");
        assert_eq!(tokens.read(&other, now()), Err(TokenError::Invalid));
        // {"alg":"none"} with {"sub":"org_x"}
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcmdfeCJ9.";
        assert_eq!(tokens.read(none, now()), Err(TokenError::Invalid));
        assert_eq!(tokens.read(SECRET, now()), Err(TokenError::SecretInsteadOfToken));
        assert_eq!(tokens.read("", now()), Err(TokenError::Invalid));
    }

    #[test]
    fn channels_that_cannot_be_read_open_nothing_rather_than_everything() {
        let app = ApplicationId(domain::Ksuid::lowest_at(now())).to_string();
        let with = |channels: serde_json::Value| read(json!({"sub": app, "org": "org_x", "channels": channels}));
        let Ok(Actor::Application(a)) = with(json!(["course:45"])) else { panic!("it was not read") };
        assert_eq!(a.confines.as_ref().map(ToString::to_string).as_deref(), Some("course:45"));
        for odd in [json!([]), json!(["a b"]), json!("course:45"), json!([1]), json!({})] {
            assert_eq!(with(odd.clone()), Err(TokenError::Invalid), "{odd}");
        }
    }

    #[test]
    fn the_subject_decides_the_kind() {
        assert_eq!(read(json!({})), Err(TokenError::NoSubject));
        assert_eq!(read(json!({"sub": "user_1"})), Err(TokenError::NotAnOrganization));
        let app = ApplicationId(domain::Ksuid::lowest_at(now())).to_string();
        assert!(matches!(read(json!({"sub": app, "org": "org_x"})), Ok(Actor::Application(_))));
        assert_eq!(read(json!({"sub": app, "org": "x"})), Err(TokenError::NotAnApplication));
        assert_eq!(read(json!({"sub": "org_x", "org": "org_x"})), Err(TokenError::NotAnApplication));
        assert_eq!(read(json!({"sub": app})), Err(TokenError::NotAnOrganization));
    }
}
