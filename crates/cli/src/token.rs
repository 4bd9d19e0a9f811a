//! Organization tokens: HS256 over Svix's claims, so that every Svix SDK takes them.

use crate::settings::Hidden;
use domain::{OrganizationId, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// Ten years, as Svix's own tokens.
const LIFETIME_SECONDS: i64 = 10 * 365 * 86_400;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    sub: &'a str,
}

/// Makes a token that may do everything in one organization.
pub(crate) fn of_organization(
    organization: &OrganizationId,
    secret: &Hidden,
    now: Timestamp,
) -> Result<String, jsonwebtoken::errors::Error> {
    let iat = now.as_seconds();
    let claims = Claims { iss: "svix-server", iat, nbf: iat, exp: iat + LIFETIME_SECONDS, sub: organization.as_str() };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    #[test]
    fn a_token_has_the_claims_that_svix_issues() {
        let now = Timestamp::from_micros(1_700_000_000_500_000);
        let org = OrganizationId::DEFAULT.parse().unwrap();
        let token = of_organization(&org, &Hidden::new("secret".into()), now).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let want = serde_json::json!({
            "iss": "svix-server", "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 2_015_360_000,
            "sub": "org_23rb8YdGqMT0qIzpgGwdXfHirMu",
        });
        assert_eq!(claims, want);
    }
}
