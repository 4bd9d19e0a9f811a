//! The keys that sign bodies: for those who manage them, and the public set for receivers.

use super::{Api, AppPath};
use crate::{answer::ok, auth::Caller, extract::At, problem::Problem};
use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use domain::Timestamp;
use http::header;
use serde::Serialize;
use service::body_keys::PublicKeys;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What receivers may keep: an hour, as keys are published long before they sign.
const KEEP: &str = "public, max-age=3600";

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(rotate))
}

/// The public set, for which nobody needs a token.
pub(crate) fn published() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// A key.
#[derive(Serialize, ToSchema)]
struct SigningKeyOut {
    /// What names it, in the head of a token and in the key set.
    kid: String,
    /// `previous`, `current` or `next`.
    state: &'static str,
}

/// The keys that sign bodies.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SigningKeysOut {
    /// Where receivers find the public halves.
    jwks_url: String,
    /// When the current key began to sign.
    #[schema(value_type = String, format = DateTime)]
    rotated_at: Timestamp,
    /// At most three, the one in use in the middle.
    keys: Vec<SigningKeyOut>,
}

fn out(api: &Api, app: &service::AppScope, keys: PublicKeys) -> SigningKeysOut {
    let all = keys.keys.into_iter().map(|k| SigningKeyOut { kid: k.kid, state: k.state.text() });
    SigningKeysOut {
        jwks_url: api.service.jwks_url(app.application().id),
        rotated_at: keys.rotated_at,
        keys: all.collect(),
    }
}

/// Get the keys that sign bodies. They are made when the first endpoint with `bodySigning` is saved.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/signing-keys", operation_id = "v1.signing-keys.get",
    tag = "Signing keys", params(AppPath), responses((status = 200, body = SigningKeysOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let keys = api.service.body_keys(&scope).await?;
    Ok(ok(&out(&api, &scope, keys)))
}

/// Let the next key sign from now on. The current one stays published until the next change.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/signing-keys/rotate", operation_id = "v1.signing-keys.rotate",
    tag = "Signing keys", params(AppPath), responses((status = 200, body = SigningKeysOut)))]
async fn rotate(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let keys = api.service.rotate_body_keys(&scope).await?;
    Ok(ok(&out(&api, &scope, keys)))
}

/// A key as RFC 7517 writes it.
#[derive(Serialize, ToSchema)]
struct Jwk {
    /// `RSA`.
    kty: &'static str,
    /// What names it.
    kid: String,
    /// `sig`.
    r#use: &'static str,
    /// `RS256`.
    alg: &'static str,
    /// Modulus.
    n: String,
    /// Exponent.
    e: String,
}

/// A key set as RFC 7517 writes it.
#[derive(Serialize, ToSchema)]
struct JwkSet {
    /// The key before, the key in use, the key after it.
    keys: Vec<Jwk>,
}

/// Get the public halves of the keys that sign an application's bodies. Needs no token.
#[utoipa::path(get, path = "/api/lti/jwks/{app_id}", operation_id = "lti.jwks", tag = "Signing keys", security(()),
    params(("app_id" = String, Path, description = "The application's id.")),
    responses((status = 200, body = JwkSet), (status = 404, description = "There is no key set here.")))]
async fn jwks(State(api): State<Api>, Path(app_id): Path<String>) -> Result<Response, Problem> {
    let published = api.service.published_body_keys(&app_id).await?;
    let keys = published.keys.into_iter();
    let set = JwkSet {
        keys: keys.map(|k| Jwk { kty: "RSA", kid: k.kid, r#use: "sig", alg: "RS256", n: k.n, e: k.e }).collect(),
    };
    Ok(([(header::CACHE_CONTROL, KEEP)], ok(&set)).into_response())
}
