//! Access tokens for tools: HS256 with a key of ours, opaque to tools, good for an hour. They open nothing but Canvas's
//! API, and no other token of ours opens that.

use super::LtiError;
use crate::Service;
use domain::{
    Timestamp,
    lti::{DeveloperKey, GlobalId, Registration, Subject, Tool, ToolGuid, ToolState},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Seconds that a token is good for.
pub(super) const LIFETIME: i64 = 3600;
/// Longer texts are no tokens of ours.
const LENGTH_MAX: usize = 4096;
const ISSUER: &str = "Canvas";

/// What a token says.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// A text for tools, a number for developer keys.
    sub: Value,
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    nbf: i64,
    jti: String,
    reg_key: String,
}

/// Makes and reads access tokens.
pub struct Bearers {
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
}

impl Bearers {
    /// With the operator's secret. The key is another one than that of the API's tokens.
    pub fn new(secret: &[u8]) -> Self {
        let key = [b"canvas lti access token\0", secret].concat();
        let mut validation = Validation::new(Algorithm::HS256);
        // Times and audience are checked here, against our own clock and name.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        Self { sign: EncodingKey::from_secret(&key), verify: DecodingKey::from_secret(&key), validation }
    }

    /// A token for a subject. `reg_key` is what it gave as `code`, or its own name.
    pub(super) fn issue(&self, subject: &Subject, reg_key: &str, host: String, jti: String, now: Timestamp) -> String {
        let iat = now.as_seconds();
        let sub = match subject {
            Subject::Tool(tool) => tool.guid.as_str().into(),
            Subject::DeveloperKey(key) => key.id.0.into(),
            Subject::Registration(registration) => registration.key.as_str().into(),
        };
        let (exp, nbf) = (iat + LIFETIME, iat - 30);
        let claims =
            Claims { iss: ISSUER.to_owned(), sub, aud: vec![host], exp, iat, nbf, jti, reg_key: reg_key.to_owned() };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .unwrap_or_else(|e| unreachable!("plain claims can always be signed with a shared secret: {e}"))
    }

    /// The subject's name and the `reg_key` of a token that is good now.
    fn read(&self, token: &str, host: &str, now: Timestamp) -> Option<(String, String)> {
        if token.len() > LENGTH_MAX {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verify, &self.validation).ok()?.claims;
        let now = now.as_seconds();
        let good =
            claims.iss == ISSUER && claims.aud.iter().any(|a| a == host) && claims.iat <= now && now < claims.exp;
        let sub = match claims.sub {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        good.then_some((sub, claims.reg_key))
    }
}

/// A tool that was let in.
#[derive(Clone, Debug)]
pub struct ToolActor {
    pub(super) tool: Tool,
    pub(super) developer_key: GlobalId,
}

impl ToolActor {
    /// The tool.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }
}

/// Who registers a tool.
#[derive(Clone, Debug)]
pub struct Registrant {
    pub(super) registration: Registration,
    pub(super) developer_key: Option<DeveloperKey>,
}

impl Service {
    /// The tool that a token stands for, if its contract has this service with this method.
    pub async fn tool_of(&self, token: Option<&str>, service: &str, method: &str) -> Result<ToolActor, LtiError> {
        let tool = self.tool_of_token(token).await?;
        if tool.tool.may_call(service, method) { Ok(tool) } else { Err(LtiError::Unauthenticated) }
    }

    /// The tool that a token stands for.
    pub async fn tool_of_token(&self, token: Option<&str>) -> Result<ToolActor, LtiError> {
        let (name, _) = self.read_bearer(token)?;
        let Some(Subject::Tool(tool)) = self.store.lti_subject(&name).await? else {
            return Err(LtiError::Unauthenticated);
        };
        match self.key_of_tool(&tool).await? {
            Some(developer_key) if tool.state == ToolState::Active => Ok(ToolActor { tool: *tool, developer_key }),
            _ => Err(LtiError::Unauthenticated),
        }
    }

    fn read_bearer(&self, token: Option<&str>) -> Result<(String, String), LtiError> {
        let read = |token: &str| self.bearers.read(token, &self.lti_host(), self.now());
        token.and_then(read).ok_or(LtiError::Unauthenticated)
    }

    /// The developer key of a tool, if it has one of its own application that is active.
    pub(super) async fn key_of_tool(&self, tool: &Tool) -> Result<Option<GlobalId>, LtiError> {
        let Some(id) = tool.developer_key else { return Ok(None) };
        Ok(match self.store.lti_subject(&id.to_string()).await? {
            Some(Subject::DeveloperKey(key)) if key.active && key.app == tool.app => Some(key.id),
            _ => None,
        })
    }

    /// Who registers a tool with this token. The token names the registration, which must not be used or over.
    pub async fn registrant_of(&self, token: Option<&str>) -> Result<Registrant, LtiError> {
        let (name, reg_key) = self.read_bearer(token).map_err(|_| LtiError::Unauthorized)?;
        let Some(registration) = self.open_registration(&reg_key).await? else { return Err(LtiError::Unauthorized) };
        let developer_key = match self.store.lti_subject(&name).await? {
            Some(Subject::DeveloperKey(key)) if key.active && key.app == registration.app => Some(*key),
            Some(Subject::Registration(own)) if own.key == registration.key => None,
            _ => return Err(LtiError::Unauthorized),
        };
        Ok(Registrant { registration, developer_key })
    }

    /// A registration that can be used now.
    pub(super) async fn open_registration(&self, key: &str) -> Result<Option<Registration>, LtiError> {
        let Ok(key) = key.parse::<ToolGuid>() else { return Ok(None) };
        Ok(match self.store.lti_subject(key.as_str()).await? {
            Some(Subject::Registration(r)) if r.expires_at > self.now() => Some(*r),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AppKey, lti::SharedSecret};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }
    fn subject() -> Subject {
        Subject::DeveloperKey(Box::new(DeveloperKey {
            id: GlobalId(10_000_000_000_003),
            app: AppKey(1),
            name: String::new(),
            secret: SharedSecret::new("x".into()),
            active: true,
            capabilities: Default::default(),
            created_at: at(0),
            updated_at: at(0),
        }))
    }

    #[test]
    fn a_token_is_good_for_an_hour_and_for_its_host() {
        let bearers = Bearers::new(b"secret");
        let token = bearers.issue(&subject(), "reg", "a.example".into(), "1".into(), at(1000));
        let read = |host, now| bearers.read(&token, host, at(now));
        assert_eq!(read("a.example", 1000), Some(("10000000000003".to_owned(), "reg".to_owned())));
        assert!(read("a.example", 1000 + 3599).is_some());
        assert_eq!(read("a.example", 1000 + 3600), None);
        assert_eq!(read("a.example", 999), None, "from the future");
        assert_eq!(read("b.example", 1000), None);
        assert_eq!(Bearers::new(b"other").read(&token, "a.example", at(1000)), None);
    }

    #[test]
    fn it_opens_nothing_else_and_nothing_else_opens_this() {
        let bearers = Bearers::new(b"secret");
        let token = bearers.issue(&subject(), "reg", "a.example".into(), "1".into(), at(1000));
        let tokens = crate::Tokens::new("secret");
        assert!(tokens.read(&token, at(1000)).is_err());
        let api = tokens.for_organization(&"org_x".parse().unwrap(), at(1000));
        assert_eq!(bearers.read(&api, "a.example", at(1000)), None);
        // {"alg":"none"}
        let claims = token.split('.').nth(1).unwrap();
        assert_eq!(bearers.read(&format!("eyJhbGciOiJub25lIn0.{claims}."), "a.example", at(1000)), None);
    }
}
