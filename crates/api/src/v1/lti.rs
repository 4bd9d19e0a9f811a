//! What whoever runs a root account does about Canvas's tools: its names, developer keys, tools, invitations to register.
//! Secrets are in the answer that makes them, and in no other.

use super::{Api, AppPath};
use crate::{
    answer::{json, no_content, ok},
    auth::Caller,
    extract::{At, RawBody, patch},
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{
    Timestamp,
    lti::{DeveloperKey, Registration, RootAccount, Tool, ToolGuid, ToolService, ToolState},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::{
    Patch,
    lti::{AccountChange, DeveloperKeyChange, DeveloperKeyInput, Invitation, RegistrationInput, ToolChange, ToolInput},
};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_account, patch_account))
        .routes(routes!(list_keys, create_key))
        .routes(routes!(get_key, patch_key, delete_key))
        .routes(routes!(list_tools, create_tool))
        .routes(routes!(get_tool, patch_tool, delete_tool))
        .routes(routes!(list_registrations, create_registration))
        .routes(routes!(delete_registration))
}

/// What an application is called as a root account of Canvas.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RootAccountOut {
    /// What subscriptions name it by, and the label of its messages: `root_account:<uuid>`.
    uuid: String,
    /// Its numeric id. Ids of contexts are taken in their short form and in the long one of its shard.
    id: String,
    /// What tools see in the profile.
    guid: String,
    /// Where the platform itself answers: its services, such as submissions, are named to tools there.
    platform_url: Option<String>,
}

impl From<RootAccount> for RootAccountOut {
    fn from(a: RootAccount) -> Self {
        Self { uuid: a.uuid, id: a.id.to_string(), guid: a.guid, platform_url: a.platform_url }
    }
}

/// A change of that. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RootAccountPatch {
    /// Letters, digits and hyphens.
    uuid: Option<String>,
    /// A whole number as a text.
    id: Option<String>,
    /// What tools see in the profile.
    guid: Option<String>,
    /// Where the platform itself answers.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    platform_url: Patch<String>,
}

/// Get what an application is called as a root account of Canvas. Made up if nobody said.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/lti/account", operation_id = "v1.lti.account.get", tag = "LTI tools",
    params(AppPath), responses((status = 200, body = RootAccountOut)))]
async fn get_account(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    Ok(ok(&RootAccountOut::from(api.service.root_account(&scope).await?)))
}

/// Say what an application is called as a root account of Canvas.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/lti/account", operation_id = "v1.lti.account.patch", tag = "LTI tools",
    params(AppPath), request_body = RootAccountPatch, responses((status = 200, body = RootAccountOut)))]
async fn patch_account(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: RootAccountPatch = body.json()?;
    let change = AccountChange { uuid: input.uuid, id: input.id, guid: input.guid, platform_url: input.platform_url };
    Ok(ok(&RootAccountOut::from(api.service.change_root_account(&scope, change).await?)))
}

/// A key for a tool's vendor.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeveloperKeyOut {
    /// The `sub` of its assertions.
    id: String,
    /// For people.
    name: String,
    /// Whether it opens anything.
    active: bool,
    /// What its tools may be given.
    capabilities: BTreeSet<String>,
    /// Signs its assertions. Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl DeveloperKeyOut {
    fn of(k: DeveloperKey, with_secret: bool) -> Self {
        Self {
            id: k.id.to_string(),
            name: k.name,
            active: k.active,
            capabilities: k.capabilities,
            secret: with_secret.then(|| k.secret.expose().to_owned()),
            created_at: k.created_at,
            updated_at: k.updated_at,
        }
    }
}

/// A list. It is always whole.
#[derive(Serialize, ToSchema)]
#[schema(as = WholeList)]
struct Whole<T> {
    data: Vec<T>,
}

/// A developer key to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeveloperKeyIn {
    /// For people.
    name: String,
    /// What its tools may be given; everything about webhooks if absent.
    capabilities: Option<Vec<String>>,
}

/// A change of a developer key. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeveloperKeyPatch {
    /// For people.
    name: Option<String>,
    /// Whether it opens anything.
    active: Option<bool>,
    /// What its tools may be given.
    capabilities: Option<Vec<String>>,
    /// Makes a new secret, which is in the answer. The old one ends at once.
    #[serde(default)]
    new_secret: bool,
}

/// Names a developer key.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct KeyPath {
    /// The application's id or uid.
    app_id: String,
    /// The key's id.
    key_id: String,
}

/// List the developer keys.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/lti/developer-key", operation_id = "v1.lti.developer-key.list",
    tag = "LTI tools", params(AppPath), responses((status = 200, body = Whole<DeveloperKeyOut>)))]
async fn list_keys(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let keys = api.service.developer_keys(&scope).await?;
    Ok(ok(&Whole { data: keys.into_iter().map(|k| DeveloperKeyOut::of(k, false)).collect() }))
}

/// Make a developer key for a tool's vendor. The secret is in this answer and in no other.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/lti/developer-key", operation_id = "v1.lti.developer-key.create",
    tag = "LTI tools", params(AppPath), request_body = DeveloperKeyIn, responses((status = 201, body = DeveloperKeyOut)))]
async fn create_key(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: DeveloperKeyIn = body.json()?;
    let input = DeveloperKeyInput { name: input.name, capabilities: input.capabilities };
    let key = api.service.create_developer_key(&scope, input).await?;
    Ok(json(StatusCode::CREATED, &DeveloperKeyOut::of(key, true)))
}

/// Get a developer key.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/lti/developer-key/{key_id}", operation_id = "v1.lti.developer-key.get",
    tag = "LTI tools", params(KeyPath), responses((status = 200, body = DeveloperKeyOut)))]
async fn get_key(State(api): State<Api>, caller: Caller, At(path): At<KeyPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    Ok(ok(&DeveloperKeyOut::of(api.service.developer_key(&scope, &path.key_id).await?, false)))
}

/// Change a developer key.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/lti/developer-key/{key_id}", operation_id = "v1.lti.developer-key.patch",
    tag = "LTI tools", params(KeyPath), request_body = DeveloperKeyPatch, responses((status = 200, body = DeveloperKeyOut)))]
async fn patch_key(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<KeyPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: DeveloperKeyPatch = body.json()?;
    let change = DeveloperKeyChange {
        name: input.name,
        active: input.active,
        capabilities: input.capabilities,
        new_secret: input.new_secret,
    };
    let key = api.service.change_developer_key(&scope, &path.key_id, change).await?;
    Ok(ok(&DeveloperKeyOut::of(key, input.new_secret)))
}

/// Remove a developer key. Its tools get no tokens any more.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/lti/developer-key/{key_id}", tag = "LTI tools",
    operation_id = "v1.lti.developer-key.delete", params(KeyPath), responses((status = 204)))]
async fn delete_key(State(api): State<Api>, caller: Caller, At(path): At<KeyPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    api.service.delete_developer_key(&scope, &path.key_id).await?;
    Ok(no_content())
}

/// A service that a tool may call, and with which HTTP methods.
#[derive(Serialize, Deserialize, ToSchema)]
struct ToolServiceModel {
    /// `vnd.Canvas.webhooksSubscription`.
    service: String,
    /// `GET`, `POST`, `PUT`, `DELETE`.
    action: BTreeSet<String>,
}

impl From<ToolService> for ToolServiceModel {
    fn from(s: ToolService) -> Self {
        Self { service: s.service, action: s.actions }
    }
}
impl From<ToolServiceModel> for ToolService {
    fn from(s: ToolServiceModel) -> Self {
        Self { service: s.service, actions: s.action }
    }
}

/// An installed tool.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ToolProxyOut {
    /// The `sub` of its assertions.
    #[schema(value_type = String)]
    guid: ToolGuid,
    /// For people.
    name: String,
    /// The key of its vendor.
    developer_key: Option<String>,
    /// What it was given.
    capabilities: BTreeSet<String>,
    /// What it may call.
    services: Vec<ToolServiceModel>,
    /// Where it wants the events of assignments that it checks.
    event_url: Option<String>,
    /// `active` or `disabled`.
    state: &'static str,
    /// Signs its assertions. Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_secret: Option<String>,
    /// When it was installed.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl ToolProxyOut {
    fn of(t: Tool, with_secret: bool) -> Self {
        Self {
            guid: t.guid,
            name: t.name,
            developer_key: t.developer_key.map(|k| k.to_string()),
            capabilities: t.capabilities,
            services: t.services.into_iter().map(Into::into).collect(),
            event_url: t.event_url,
            state: t.state.name(),
            shared_secret: with_secret.then(|| t.secret.expose().to_owned()),
            created_at: t.created_at,
            updated_at: t.updated_at,
        }
    }
}

/// A tool to install by hand.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ToolProxyIn {
    /// For people.
    name: String,
    /// The key of its vendor.
    developer_key: String,
    /// What it is given; all that the key allows if absent.
    capabilities: Option<Vec<String>>,
    /// What it may call; subscriptions with every method if absent.
    services: Option<Vec<ToolServiceModel>>,
    /// Where it wants the events of assignments that it checks: it is then subscribed to them.
    event_url: Option<String>,
}

/// A change of a tool. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ToolProxyPatch {
    /// For people.
    name: Option<String>,
    /// `active` or `disabled`.
    #[schema(value_type = Option<String>)]
    state: Option<ToolState>,
    /// What it is given.
    capabilities: Option<Vec<String>>,
    /// What it may call.
    services: Option<Vec<ToolServiceModel>>,
    /// Makes a new secret, which is in the answer. The old one ends at once.
    #[serde(default)]
    new_secret: bool,
}

/// Names a tool.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ToolPath {
    /// The application's id or uid.
    app_id: String,
    /// The tool's guid.
    guid: String,
}

/// List the tools.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/lti/tool-proxy", operation_id = "v1.lti.tool-proxy.list",
    tag = "LTI tools", params(AppPath), responses((status = 200, body = Whole<ToolProxyOut>)))]
async fn list_tools(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let tools = api.service.tools(&scope).await?;
    Ok(ok(&Whole { data: tools.into_iter().map(|t| ToolProxyOut::of(t, false)).collect() }))
}

/// Install a tool by hand, without its registration. The shared secret is in this answer and in no other.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/lti/tool-proxy", operation_id = "v1.lti.tool-proxy.create",
    tag = "LTI tools", params(AppPath), request_body = ToolProxyIn, responses((status = 201, body = ToolProxyOut)))]
async fn create_tool(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: ToolProxyIn = body.json()?;
    let input = ToolInput {
        name: input.name,
        developer_key: input.developer_key,
        capabilities: input.capabilities,
        services: input.services.map(|s| s.into_iter().map(Into::into).collect()),
        event_url: input.event_url,
    };
    let tool = api.service.create_tool(&scope, input).await?;
    Ok(json(StatusCode::CREATED, &ToolProxyOut::of(tool, true)))
}

/// Get a tool.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/lti/tool-proxy/{guid}", operation_id = "v1.lti.tool-proxy.get",
    tag = "LTI tools", params(ToolPath), responses((status = 200, body = ToolProxyOut)))]
async fn get_tool(State(api): State<Api>, caller: Caller, At(path): At<ToolPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    Ok(ok(&ToolProxyOut::of(api.service.tool(&scope, &path.guid).await?, false)))
}

/// Change a tool. A tool that is disabled gets no tokens, and its subscriptions are switched off; activating it switches
/// them on again.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/lti/tool-proxy/{guid}", operation_id = "v1.lti.tool-proxy.patch",
    tag = "LTI tools", params(ToolPath), request_body = ToolProxyPatch, responses((status = 200, body = ToolProxyOut)))]
async fn patch_tool(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<ToolPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: ToolProxyPatch = body.json()?;
    let change = ToolChange {
        name: input.name,
        state: input.state,
        capabilities: input.capabilities,
        services: input.services.map(|s| s.into_iter().map(Into::into).collect()),
        new_secret: input.new_secret,
    };
    let tool = api.service.change_tool(&scope, &path.guid, change).await?;
    Ok(ok(&ToolProxyOut::of(tool, input.new_secret)))
}

/// Remove a tool, with all its subscriptions.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/lti/tool-proxy/{guid}", operation_id = "v1.lti.tool-proxy.delete",
    tag = "LTI tools", params(ToolPath), responses((status = 204)))]
async fn delete_tool(State(api): State<Api>, caller: Caller, At(path): At<ToolPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    api.service.delete_tool(&scope, &path.guid).await?;
    Ok(no_content())
}

/// An invitation to register.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RegistrationOut {
    /// Becomes the tool's guid.
    #[schema(value_type = String)]
    reg_key: ToolGuid,
    /// Until when it can be used, once.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// What a browser sends to the tool's registration address as a form. Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<BTreeMap<&'static str, String>>,
}

impl From<Registration> for RegistrationOut {
    fn from(r: Registration) -> Self {
        Self { reg_key: r.key, expires_at: r.expires_at, created_at: r.created_at, form: None }
    }
}
impl From<Invitation> for RegistrationOut {
    fn from(i: Invitation) -> Self {
        Self { form: Some(i.form.into_iter().collect()), ..i.registration.into() }
    }
}

/// Where a tool is to be installed.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct RegistrationIn {
    /// `accounts/1` or `courses/2`; the root account if absent.
    context: Option<String>,
    /// Where the browser goes when the tool is done; the dashboard if absent.
    return_url: Option<String>,
}

/// Names an invitation.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct RegistrationPath {
    /// The application's id or uid.
    app_id: String,
    /// The invitation's `regKey`.
    reg_key: String,
}

/// List the invitations that are open.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/lti/registration", operation_id = "v1.lti.registration.list",
    tag = "LTI tools", params(AppPath), responses((status = 200, body = Whole<RegistrationOut>)))]
async fn list_registrations(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let open = api.service.registrations(&scope).await?;
    Ok(ok(&Whole { data: open.into_iter().map(RegistrationOut::from).collect() }))
}

/// Invite a tool to register itself. The form, with its password, is in this answer and in no other.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/lti/registration", operation_id = "v1.lti.registration.create",
    tag = "LTI tools", params(AppPath), request_body = RegistrationIn, responses((status = 201, body = RegistrationOut)))]
async fn create_registration(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: RegistrationIn = if body.0.is_empty() { RegistrationIn::default() } else { body.json()? };
    let input = RegistrationInput { context: input.context, return_url: input.return_url };
    let made = api.service.invite_tool(&scope, input).await?;
    Ok(json(StatusCode::CREATED, &RegistrationOut::from(made)))
}

/// Take an invitation back.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/lti/registration/{reg_key}", tag = "LTI tools",
    operation_id = "v1.lti.registration.delete", params(RegistrationPath), responses((status = 204)))]
async fn delete_registration(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<RegistrationPath>,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    api.service.withdraw_invitation(&scope, &path.reg_key).await?;
    Ok(no_content())
}
