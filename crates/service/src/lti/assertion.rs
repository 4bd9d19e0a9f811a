//! Grants: a tool, a vendor or a tool that is about to register shows an assertion that it signed with its own secret, and
//! gets an access token. Whatever is wrong, the answer is the same, and it takes about as long.

use super::{LtiError, bearer::LIFETIME, random_uuid};
use crate::Service;
use domain::{
    AppKey, Timestamp,
    lti::{GlobalId, Subject, ToolState},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use store::{AppEntry, seal::fill_random};
use url::Url;

/// How far the clocks of tools may differ from ours: some set `exp` as far ahead as they may.
const SKEW: f64 = 5.0;
/// How far ahead an assertion may end.
const AHEAD_MAX: f64 = 60.0;
/// How old an assertion may be.
const AGE_MAX: f64 = 300.0;
/// Longer texts are no assertions.
const LENGTH_MAX: usize = 8 * 1024;
/// Longer ids of assertions are not remembered, so they are refused.
const JTI_MAX: usize = 256;
const GRANTS: [&str; 2] = ["urn:ietf:params:oauth:grant-type:jwt-bearer", "authorization_code"];

/// Where a token is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// The address without a context.
    Anywhere,
    /// An account.
    Account(String),
    /// A course.
    Course(String),
}

/// What asks for a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantRequest {
    /// What kind of grant.
    pub grant_type: Option<String>,
    /// The signed assertion.
    pub assertion: Option<String>,
    /// The registration, if a vendor asks.
    pub code: Option<String>,
    /// Where it is asked.
    pub place: Place,
    /// The path of the request, from the slash on.
    pub path: String,
}

/// A token, and for how many seconds it is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessToken {
    /// The token.
    pub token: String,
    /// Seconds.
    pub expires_in: i64,
}

/// What an assertion says. All but `code` of it is required.
#[derive(Deserialize)]
struct Assertion {
    sub: Value,
    aud: String,
    exp: f64,
    iat: f64,
    jti: Value,
}

/// A text, or a number as text.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Assertion {
    /// What the log says about it, if it is not good now.
    fn problem(&self, here: &str, now: f64) -> Option<&'static str> {
        let same = |a: &str, b: &str| match (Url::parse(a), Url::parse(b)) {
            (Ok(a), Ok(b)) => a.as_str().trim_end_matches('/') == b.as_str().trim_end_matches('/'),
            _ => false,
        };
        // Written so that a time that is no number is refused too.
        let checks = [
            (same(&self.aud, here), "the 'aud' must be the LTI Authorization endpoint"),
            (self.exp >= now - SKEW, "the JWT has expired"),
            (self.exp <= now + AHEAD_MAX + SKEW, "the 'exp' must not be any further than 60 seconds in the future"),
            (self.iat <= now + SKEW, "the 'iat' must not be in the future"),
            (self.iat >= now - AGE_MAX - SKEW, "the 'iat' must be less than 300 seconds old"),
        ];
        checks.into_iter().find(|(good, _)| !good).map(|(_, problem)| problem)
    }
}

/// The name in an assertion that is not verified yet: says only which secret to verify with.
fn claimed_subject(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Sub {
        sub: Value,
    }
    let claims: Sub = jsonwebtoken::dangerous::insecure_decode_claims(assertion).ok()?;
    as_text(&claims.sub)
}

fn verified(assertion: &str, secret: &[u8]) -> Option<Assertion> {
    let mut validation = Validation::new(Algorithm::HS256);
    // Checked here, against the clock that everything else uses.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    let token = jsonwebtoken::decode::<Assertion>(assertion, &DecodingKey::from_secret(secret), &validation).ok()?;
    // What is marked as critical has to be understood, and we know no extension.
    token.header.crit.is_none().then_some(token.claims)
}

impl Service {
    /// Gives a token for an assertion.
    pub async fn grant_to_tool(&self, request: GrantRequest) -> Result<AccessToken, LtiError> {
        match self.grant(request).await {
            Err(Refused::Because(problem)) => {
                tracing::info!(problem, "refused an assertion of a tool");
                Err(LtiError::InvalidGrant)
            }
            Err(Refused::Fault(e)) => Err(e),
            Ok(token) => Ok(token),
        }
    }

    async fn grant(&self, request: GrantRequest) -> Result<AccessToken, Refused> {
        let assertion = request.assertion.filter(|a| a.len() <= LENGTH_MAX).ok_or("there is no assertion")?;
        if !request.grant_type.as_deref().is_some_and(|t| GRANTS.contains(&t)) {
            return Err("the grant type is not known".into());
        }
        let name = claimed_subject(&assertion).ok_or("the assertion is not a JWT with a 'sub'")?;
        let subject = self.store.lti_subject(&name).await.map_err(LtiError::from)?;
        // Somebody unknown is verified as well, with a secret that nobody has.
        let secret = match &subject {
            Some(Subject::Tool(tool)) => tool.secret.expose().as_bytes().to_vec(),
            Some(Subject::DeveloperKey(key)) => key.secret.expose().as_bytes().to_vec(),
            Some(Subject::Registration(registration)) => registration.password.expose().as_bytes().to_vec(),
            None => {
                let mut nobodys = vec![0; 256];
                fill_random(&mut nobodys);
                nobodys
            }
        };
        let claims = verified(&assertion, &secret).ok_or("the signature, the algorithm or a claim is wrong")?;
        if as_text(&claims.sub).as_ref() != Some(&name) {
            return Err("the assertion says two things".into());
        }
        let subject = subject.ok_or("either the tool proxy or developer key were not found")?;
        let now = self.now();
        let here = format!("{}{}", self.settings.public_url, request.path);
        if let Some(problem) = claims.problem(&here, now.as_micros() as f64 / 1e6) {
            return Err(problem.into());
        }
        let jti =
            as_text(&claims.jti).filter(|jti| (1..=JTI_MAX).contains(&jti.len())).ok_or("the 'jti' is invalid")?;
        let app = self.may_have_token(&subject, request.code.as_deref()).await?;
        if !self.is_at_home(app, &request.place).await? {
            return Err("the context is another account".into());
        }
        // Last, so that an assertion that is refused for another reason is not used up.
        // A second more than it can be shown again.
        let until = Timestamp::from_micros(((claims.exp + SKEW + 1.0) * 1e6) as i64);
        if !self.store.use_nonce(&name, &jti, until, now).await.map_err(LtiError::from)? {
            return Err("the 'jti' is invalid".into());
        }
        let reg_key = request.code.as_deref().unwrap_or(&name);
        let id = domain::lti::uuid(random_uuid());
        let token = self.bearers.issue(&subject, reg_key, self.lti_host(), id, now);
        Ok(AccessToken { token, expires_in: LIFETIME })
    }

    /// Whether a subject that proved who it is may have a token; and whose it is.
    async fn may_have_token(&self, subject: &Subject, code: Option<&str>) -> Result<AppKey, Refused> {
        match subject {
            Subject::Tool(tool) => {
                if tool.state != ToolState::Active {
                    return Err("the Tool Proxy is not active".into());
                }
                if !tool.split_secret {
                    return Err("the Tool Proxy must be using a split secret".into());
                }
                if tool.developer_key.is_none() {
                    return Err("the Tool Proxy must be associated to a developer key".into());
                }
                self.key_of_tool(tool).await?.ok_or("the Developer Key is not active")?;
                Ok(tool.app)
            }
            Subject::DeveloperKey(key) => {
                if !key.active {
                    return Err("the Developer Key is not active".into());
                }
                let registration = self.open_registration(code.ok_or("there is no code")?).await?;
                match registration {
                    Some(registration) if registration.app == key.app => Ok(key.app),
                    _ => Err("the code is no open registration".into()),
                }
            }
            Subject::Registration(registration) if registration.expires_at > self.now() => Ok(registration.app),
            Subject::Registration(_) => Err("the registration is over".into()),
        }
    }

    /// Whether a context can belong to this root account. Courses and accounts below it are not known here, so numbers
    /// pass, unless they are of another shard.
    async fn is_at_home(&self, app: AppKey, place: &Place) -> Result<bool, Refused> {
        let fault = |e: crate::ServiceError| Refused::Fault(LtiError::Service(e));
        let account = self.account_of(app).await.map_err(fault)?;
        let on_shard = |id: &str| {
            let number = id.parse::<GlobalId>();
            number.is_ok_and(|n| n.shard() == 0 || n.shard() == account.id.shard())
        };
        Ok(match place {
            Place::Anywhere => true,
            Place::Course(id) => on_shard(id),
            Place::Account(id) => {
                let entry = self.directory.by_key(app).await.map_err(LtiError::from)?;
                account.is(id) || entry.is_some_and(|e| is_called(&e, id)) || on_shard(id)
            }
        })
    }
}

fn is_called(entry: &AppEntry, name: &str) -> bool {
    let application = &entry.application;
    application.id.to_string() == name || application.uid.as_ref().is_some_and(|uid| uid.as_str() == name)
}

/// Why there is no token: a reason for the log, or a fault of ours.
enum Refused {
    Because(&'static str),
    Fault(LtiError),
}

impl From<&'static str> for Refused {
    fn from(reason: &'static str) -> Self {
        Self::Because(reason)
    }
}
impl From<LtiError> for Refused {
    fn from(e: LtiError) -> Self {
        Self::Fault(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    const HERE: &str = "https://lms.example:8443/api/lti/accounts/1/authorize";

    fn assertion(change: impl FnOnce(&mut Assertion)) -> Option<&'static str> {
        let mut a = Assertion { sub: json!("x"), aud: HERE.to_owned(), exp: 1060.0, iat: 1000.0, jti: json!("1") };
        change(&mut a);
        a.problem(HERE, 1000.0)
    }

    #[test]
    fn times_and_audience_are_checked_with_a_few_seconds_of_tolerance() {
        assert_eq!(assertion(|_| ()), None);
        assert_eq!(assertion(|a| a.exp = 1065.0), None);
        assert_eq!(assertion(|a| a.iat = 1005.0), None);
        assert_eq!(assertion(|a| a.aud.push('/')), None);
        assert!(assertion(|a| a.exp = 1066.0).unwrap().contains("60 seconds"));
        assert!(assertion(|a| a.exp = 994.0).unwrap().contains("expired"));
        assert!(assertion(|a| a.iat = 1006.0).unwrap().contains("future"));
        assert!(assertion(|a| a.iat = 694.0).unwrap().contains("300"));
        for aud in ["https://lms.example/api/lti/accounts/1/authorize", "https://lms.example:8443", "", "x"] {
            assert!(assertion(|a| a.aud = aud.to_owned()).unwrap().contains("aud"), "{aud}");
        }
        for odd in [f64::NAN, f64::INFINITY, -1e300] {
            assert!(assertion(|a| a.exp = odd).is_some() && assertion(|a| a.iat = odd).is_some());
        }
    }

    #[test]
    fn the_default_port_may_be_left_out() {
        let mut a =
            Assertion { sub: json!(1), aud: "https://a.example:443/x".into(), exp: 1.0, iat: 1.0, jti: json!(1) };
        assert_eq!(a.problem("https://a.example/x", 1.0), None);
        a.aud = "https://a.example/y".into();
        assert!(a.problem("https://a.example/x", 1.0).is_some());
    }

    #[test]
    fn only_hs256_with_the_subjects_own_secret_is_taken() {
        let claims = json!({"sub": 10_000_000_000_003_u64, "aud": HERE, "exp": 1060, "iat": 1000, "jti": "1"});
        let sign = |alg, secret: &[u8]| {
            jsonwebtoken::encode(&Header::new(alg), &claims, &EncodingKey::from_secret(secret)).unwrap()
        };
        let good = sign(Algorithm::HS256, b"secret");
        assert!(verified(&good, b"secret").is_some());
        assert_eq!(claimed_subject(&good).as_deref(), Some("10000000000003"));
        assert!(verified(&good, b"other").is_none());
        assert!(verified(&sign(Algorithm::HS512, b"secret"), b"secret").is_none());
        let body = good.split('.').nth(1).unwrap();
        assert!(verified(&format!("eyJhbGciOiJub25lIn0.{body}."), b"secret").is_none());
        for bad in ["", "a.b.c", "..", "null", &"x.".repeat(10_000)] {
            assert_eq!(claimed_subject(bad), None);
            assert!(verified(bad, b"secret").is_none());
        }
    }

    #[test]
    fn every_claim_is_required() {
        let whole = json!({"sub": "x", "aud": HERE, "exp": 1060, "iat": 1000, "jti": "1"});
        for claim in ["sub", "aud", "exp", "iat", "jti"] {
            let mut claims = whole.clone();
            claims.as_object_mut().unwrap().remove(claim);
            let key = EncodingKey::from_secret(b"secret");
            let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            assert!(verified(&token, b"secret").is_none(), "{claim}");
        }
    }
}
