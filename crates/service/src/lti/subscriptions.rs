//! Subscriptions of tools. Each is an endpoint of the root account with channels from its context, and says so in its
//! options; a tool sees those that name it, and no others.

use super::{LtiError, ToolActor};
use crate::{
    Service,
    access::AppScope,
    endpoints::{EndpointExtras, EndpointInput},
    error::ServiceError,
    patch::Patch,
    queues::QueueInput,
};
use domain::{
    AppKey, Channel, Endpoint, Format, IdOrUid, Timestamp, Uid,
    lti::{
        ContextError, ContextType, GlobalId, RootAccount, Subscription, SubscriptionId, Tool, ToolGuid, channels_of,
    },
    queue::{Transport, is_arn},
};
use platforms::canvas::subscribing::{ALL_CAPABILITY, Requested, SIMILARITY_DETECTION, SIMILARITY_EVENTS};
use std::collections::{BTreeMap, BTreeSet};

/// Subscriptions on a page.
const PAGE: usize = 100;
/// Subscriptions that a tool may have.
const OF_A_TOOL: usize = 1_000;
/// Event types in one subscription.
const TYPES_MAX: usize = 200;

/// The formats that a tool may choose.
const FORMATS: [&str; 2] = ["live-event", "caliper"];

/// A subscription as a tool asks for it. Nothing of it is checked yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionInput {
    /// Names the context.
    pub context_id: Option<String>,
    /// The kind of context.
    pub context_type: Option<String>,
    /// Event types.
    pub event_types: Option<Vec<String>>,
    /// Event types of background jobs.
    pub system_event_types: Option<Vec<String>>,
    /// Event types of web requests.
    pub user_event_types: Option<Vec<String>>,
    /// `live-event` or `caliper`.
    pub format: Option<String>,
    /// `https` or `sqs`.
    pub transport_type: Option<String>,
    /// Where to.
    pub url: Option<String>,
    /// Only events of assignments that this tool checks.
    pub integration: Option<String>,
    /// What a queue needs beside its address.
    pub queue: Option<QueueInput>,
}

/// A subscription as a tool sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionView {
    /// What the tool chose.
    pub subscription: Subscription,
    /// Names of event types; `all` alone for every one.
    pub event_types: Vec<String>,
    /// The format's name.
    pub format: &'static str,
    /// `https` or `sqs`.
    pub transport: &'static str,
    /// Where to.
    pub url: String,
    /// The root account.
    pub account_id: GlobalId,
    /// Its uuid.
    pub account_uuid: String,
    /// The key of the tool's vendor.
    pub developer_key: GlobalId,
    /// Whether it delivers.
    pub active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Behind which subscription a page begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartKey(pub SubscriptionId);

/// A page of subscriptions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionPage {
    /// At most a hundred.
    pub items: Vec<SubscriptionView>,
    /// Where the next page begins, if there is one.
    pub next: Option<StartKey>,
}

/// A subscription whose rules were checked.
#[derive(Clone, Debug)]
struct Wanted {
    subscription: Subscription,
    /// Every type if absent.
    event_types: Option<BTreeSet<String>>,
    channels: BTreeSet<Channel>,
    format: Format,
    transport: Transport,
    queue: Option<QueueInput>,
    url: String,
}

fn invalid(field: &str, problem: impl std::fmt::Display) -> LtiError {
    LtiError::InvalidSubscription(format!("{field} {problem}"))
}

fn required(value: Option<String>, field: &str) -> Result<String, LtiError> {
    value.filter(|v| !v.is_empty()).ok_or_else(|| invalid(field, "is missing"))
}

fn format_of(name: &str) -> Result<Format, LtiError> {
    let known = FORMATS.into_iter().find(|f| f.eq_ignore_ascii_case(name)).and_then(|f| f.parse().ok());
    known.ok_or_else(|| invalid("Format", "must be live-event or caliper"))
}

/// Names in lower case, each permitted by what the tool was given.
fn permitted(types: &[String], tool: &Tool) -> Result<BTreeSet<String>, LtiError> {
    if types.len() > TYPES_MAX {
        return Err(invalid("EventTypes", "has too many items"));
    }
    let enabled = tool.capabilities.iter().map(String::as_str);
    // With this one, Canvas does not look at names at all.
    let has_all = tool.capabilities.contains(ALL_CAPABILITY);
    let read = if has_all { Requested::read_any } else { Requested::read };
    let check = |text: &String| match read(text) {
        Some(requested) if requested.is_allowed(enabled.clone()) => Ok(requested.name().to_owned()),
        _ => Err(LtiError::UnauthorizedSubscription),
    };
    types.iter().map(check).collect()
}

/// Checks in the order of Canvas: capabilities, kind of context, context, the rest.
fn wanted(
    input: SubscriptionInput,
    tool: &Tool,
    account: &RootAccount,
    id: SubscriptionId,
) -> Result<Wanted, LtiError> {
    let permitted = |types: &Option<Vec<String>>| types.as_deref().map(|t| permitted(t, tool)).transpose();
    let system = permitted(&input.system_event_types)?;
    let user = permitted(&input.user_event_types)?;
    let both = permitted(&input.event_types)?;
    let all: BTreeSet<String> = [&both, &system, &user].into_iter().flatten().flatten().cloned().collect();
    if all.is_empty() {
        return Err(invalid("EventTypes", "is missing"));
    }
    let integration = match input.integration.filter(|i| !i.is_empty()) {
        Some(name) if name == tool.guid.as_str() => Some(tool.guid.clone()),
        Some(_) => return Err(LtiError::UnauthorizedSubscription),
        None => None,
    };
    let context_type: ContextType = required(input.context_type, "ContextType")?
        .parse()
        .map_err(|e: domain::lti::UnknownContextType| LtiError::InvalidSubscription(e.to_string()))?;
    let context_id = required(input.context_id, "ContextId")?;
    let channels = channels_of(context_type, &context_id, account).map_err(|e| match e {
        ContextError::OtherAccount => LtiError::UnauthorizedSubscription,
        e => LtiError::InvalidSubscription(e.to_string()),
    })?;
    let format = format_of(&required(input.format, "Format")?)?;
    let transport: Transport = required(input.transport_type, "TransportType")?
        .parse()
        .map_err(|_| invalid("TransportType", "must be https or sqs"))?;
    let url = required(input.url, "TransportMetadata[Url]")?;
    if transport == Transport::Https && is_arn(&url) {
        return Err(invalid("TransportMetadata[Url]", "must be an address"));
    }
    Ok(Wanted {
        url,
        transport,
        queue: input.queue,
        event_types: (!all.contains("all")).then_some(all),
        channels,
        format,
        subscription: Subscription {
            id,
            tool: tool.guid.clone(),
            context_type,
            context_id,
            system_event_types: system,
            user_event_types: user,
            integration,
            automatic: false,
        },
    })
}

impl Wanted {
    /// The filter that lets only events of a tool's own assignments through.
    fn filter(&self) -> Option<String> {
        let tool = self.subscription.integration.as_ref()?;
        Some(format!(".body.associated_integration_id == \"{tool}\""))
    }

    fn input(&self, tool: &Tool) -> EndpointInput {
        let context = format!("{} {}", self.subscription.context_type.name(), self.subscription.context_id);
        let name = if tool.name.is_empty() { tool.guid.as_str() } else { &tool.name };
        EndpointInput {
            url: self.url.clone(),
            description: format!("Subscription of {name} to {context}"),
            uid: Some(self.subscription.id.to_string()),
            disabled: false,
            event_types: self.event_types.as_ref().map(|types| types.iter().cloned().collect()),
            channels: Some(self.channels.iter().map(ToString::to_string).collect()),
            throttle_rate: None,
            secret: None,
            metadata: BTreeMap::new(),
            version: 1,
            headers: None,
            extras: EndpointExtras {
                format: Patch::Set(self.format.name().to_owned()),
                filter: Patch::replace(self.filter()),
                transport: Patch::Set(self.transport.name().to_owned()),
                queue: self.queue.clone().map_or(Patch::Keep, Patch::Set),
                subscription: Patch::Set(self.subscription.clone()),
                ..EndpointExtras::default()
            },
        }
    }
}

impl ToolActor {
    fn owns(&self, endpoint: &Endpoint) -> bool {
        endpoint.options.subscription.as_ref().is_some_and(|s| s.tool == self.tool.guid)
    }
}

impl Service {
    /// Subscribes.
    pub async fn create_subscription(
        &self,
        actor: &ToolActor,
        input: Option<SubscriptionInput>,
    ) -> Result<SubscriptionView, LtiError> {
        let account = self.account_of(actor.tool.app).await?;
        let id = SubscriptionId::random(super::random_uuid());
        let wanted = wanted(input.ok_or(LtiError::Missing)?, &actor.tool, &account, id)?;
        if self.endpoints_of_tool(&actor.tool.guid, actor.tool.app).await?.len() >= OF_A_TOOL {
            return Err(LtiError::InvalidSubscription(format!("a tool has at most {OF_A_TOOL} subscriptions")));
        }
        let scope = self.scope_of(actor.tool.app, &actor.tool.guid).await?;
        let endpoint = self.subscribe_tool(&scope, &actor.tool, wanted).await?;
        view(endpoint, &account, actor.developer_key)
    }

    async fn subscribe_tool(&self, scope: &AppScope, tool: &Tool, wanted: Wanted) -> Result<Endpoint, LtiError> {
        let mut input = wanted.input(tool);
        // As the plagiarism platform documents it: five tries more, 30 seconds apart.
        input.extras.retry_preset = Patch::Set("canvas-plagiarism".to_owned());
        Ok(self.create_endpoint(scope, input).await?)
    }

    /// One of the tool's subscriptions.
    pub async fn subscription(&self, actor: &ToolActor, id: &str) -> Result<SubscriptionView, LtiError> {
        let account = self.account_of(actor.tool.app).await?;
        view(self.endpoint_of(actor, id).await?, &account, actor.developer_key)
    }

    /// Replaces what a subscription wants. Its id stays, and its history.
    pub async fn update_subscription(
        &self,
        actor: &ToolActor,
        id: &str,
        input: Option<SubscriptionInput>,
    ) -> Result<SubscriptionView, LtiError> {
        let endpoint = self.endpoint_of(actor, id).await?;
        let Some(old) = &endpoint.options.subscription else { return Err(LtiError::NoSubscription) };
        let account = self.account_of(actor.tool.app).await?;
        let mut wanted = wanted(input.ok_or(LtiError::Missing)?, &actor.tool, &account, old.id.clone())?;
        wanted.subscription.automatic = old.automatic;
        let scope = self.scope_of(actor.tool.app, &actor.tool.guid).await?;
        let mut change: crate::endpoints::EndpointChange = wanted.input(&actor.tool).into();
        // What people wrote down about it, and whether it is switched off, is theirs.
        (change.description, change.metadata, change.disabled) = (None, None, None);
        change.throttle_rate = Patch::Keep;
        if wanted.subscription.integration.is_none() && old.integration.is_none() {
            // A filter that is not the tool's may be what keeps data inside.
            change.extras.filter = Patch::Keep;
        }
        let saved = self.patch_endpoint(&scope, &endpoint.id.to_string(), change).await?;
        view(saved, &account, actor.developer_key)
    }

    /// Ends a subscription.
    pub async fn delete_subscription(&self, actor: &ToolActor, id: &str) -> Result<(), LtiError> {
        let endpoint = self.endpoint_of(actor, id).await?;
        let scope = self.scope_of(actor.tool.app, &actor.tool.guid).await?;
        Ok(self.delete_endpoint(&scope, &endpoint.id.to_string()).await?)
    }

    /// A page of the tool's subscriptions, by id. It begins behind `start` also if that is gone meanwhile.
    pub async fn subscriptions(
        &self,
        actor: &ToolActor,
        start: Option<StartKey>,
    ) -> Result<SubscriptionPage, LtiError> {
        let account = self.account_of(actor.tool.app).await?;
        let endpoints = self.endpoints_of_tool(&actor.tool.guid, actor.tool.app).await?;
        let mut items = Vec::new();
        for endpoint in endpoints {
            items.push(view(endpoint, &account, actor.developer_key)?);
        }
        items.sort_by(|a, b| a.subscription.id.cmp(&b.subscription.id));
        if let Some(StartKey(after)) = start {
            items.retain(|item| item.subscription.id > after);
        }
        let more = items.len() > PAGE;
        items.truncate(PAGE);
        let next = items.last().filter(|_| more).map(|last| StartKey(last.subscription.id.clone()));
        Ok(SubscriptionPage { items, next })
    }

    /// What a tool with the placement for plagiarism detection is subscribed to without asking: submissions of the
    /// assignments that it checks.
    pub(super) async fn subscribe_automatically(&self, scope: &AppScope, tool: &Tool) -> Result<(), LtiError> {
        let Some(url) = tool.event_url.clone().filter(|_| tool.capabilities.contains(SIMILARITY_DETECTION)) else {
            return Ok(());
        };
        let account = self.account_of(tool.app).await?;
        let types: BTreeSet<String> = SIMILARITY_EVENTS.map(str::to_owned).into();
        let wanted = Wanted {
            subscription: Subscription {
                id: SubscriptionId::random(super::random_uuid()),
                tool: tool.guid.clone(),
                context_type: ContextType::RootAccount,
                context_id: account.uuid.clone(),
                system_event_types: Some(types.clone()),
                user_event_types: Some(types.clone()),
                integration: Some(tool.guid.clone()),
                automatic: true,
            },
            event_types: Some(types),
            channels: channels_of(ContextType::RootAccount, &account.uuid, &account)
                .map_err(|e| LtiError::InvalidSubscription(e.to_string()))?,
            format: format_of(FORMATS[0])?,
            transport: Transport::Https,
            queue: None,
            url,
        };
        self.subscribe_tool(scope, tool, wanted).await.map(|_| ())
    }

    /// The endpoints that are a tool's subscriptions.
    pub(super) async fn endpoints_of_tool(&self, tool: &ToolGuid, app: AppKey) -> Result<Vec<Endpoint>, ServiceError> {
        let is_theirs = |e: &Endpoint| e.options.subscription.as_ref().is_some_and(|s| s.tool == *tool);
        Ok(self.store.endpoints_of(app).await?.into_iter().filter(is_theirs).collect())
    }

    /// The endpoint that is one of the tool's subscriptions. Whatever belongs to others does not exist.
    async fn endpoint_of(&self, actor: &ToolActor, id: &str) -> Result<Endpoint, LtiError> {
        let Ok(id) = id.parse::<SubscriptionId>() else { return Err(LtiError::NoSubscription) };
        let is_it = |e: &Endpoint| actor.owns(e) && e.options.subscription.as_ref().is_some_and(|s| s.id == id);
        let uid = IdOrUid::Uid(Uid::new(id.as_str()).map_err(|_| LtiError::NoSubscription)?.to_string());
        if let Some(endpoint) = self.store.endpoint(actor.tool.app, &uid).await?.filter(|e| is_it(e)) {
            return Ok(endpoint);
        }
        // Somebody gave the endpoint another name.
        let all = self.endpoints_of_tool(&actor.tool.guid, actor.tool.app).await?;
        all.into_iter().find(is_it).ok_or(LtiError::NoSubscription)
    }
}

fn view(endpoint: Endpoint, account: &RootAccount, developer_key: GlobalId) -> Result<SubscriptionView, LtiError> {
    let subscription = endpoint.options.subscription.ok_or(LtiError::NoSubscription)?;
    let event_types = match &endpoint.event_types {
        Some(types) => types.iter().map(ToString::to_string).collect(),
        None => vec!["all".to_owned()],
    };
    Ok(SubscriptionView {
        subscription,
        event_types,
        format: endpoint.options.format.name(),
        transport: endpoint.options.transport.name(),
        url: endpoint.url,
        account_id: account.id,
        account_uuid: account.uuid.clone(),
        developer_key,
        active: endpoint.disabled.is_none(),
        created_at: endpoint.created_at,
        updated_at: endpoint.updated_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::lti::{SharedSecret, ToolState};

    fn tool(capabilities: &[&str]) -> Tool {
        Tool {
            guid: ToolGuid::random([1; 16]),
            app: AppKey(1),
            developer_key: Some(GlobalId(10_000_000_000_001)),
            name: "Checker".into(),
            secret: SharedSecret::new("x".into()),
            split_secret: true,
            capabilities: capabilities.iter().map(|c| format!("vnd.instructure.webhooks.{c}")).collect(),
            services: Vec::new(),
            event_url: None,
            state: ToolState::Active,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }
    fn input() -> SubscriptionInput {
        SubscriptionInput {
            context_id: Some("uuid".into()),
            context_type: Some("root_account".into()),
            event_types: Some(vec!["SUBMISSION_CREATED".into()]),
            format: Some("live-event".into()),
            transport_type: Some("https".into()),
            url: Some("https://tool.example/e".into()),
            ..SubscriptionInput::default()
        }
    }
    fn check(capabilities: &[&str], change: impl FnOnce(&mut SubscriptionInput)) -> Result<Wanted, LtiError> {
        let guid = "g.example".to_owned();
        let id = GlobalId(21_070_000_000_000_001);
        let account = RootAccount { app: AppKey(1), uuid: "uuid".to_owned(), id, guid, platform_url: None };
        let mut input = input();
        change(&mut input);
        wanted(input, &tool(capabilities), &account, SubscriptionId::random([2; 16]))
    }
    const CREATED: &[&str] = &["assignment.submission_created"];

    #[test]
    fn capabilities_come_before_contexts_and_contexts_before_the_rest() {
        let odd = |i: &mut SubscriptionInput| {
            (i.context_type, i.format) = (Some("section".into()), None);
        };
        assert_eq!(check(&[], odd).unwrap_err(), LtiError::UnauthorizedSubscription);
        let e = check(CREATED, odd).unwrap_err();
        assert!(matches!(&e, LtiError::InvalidSubscription(text) if text.contains("ContextType")), "{e}");
        let e = check(CREATED, |i| (i.context_id, i.format) = (Some("other".into()), None)).unwrap_err();
        assert_eq!(e, LtiError::UnauthorizedSubscription);
        let e = check(CREATED, |i| i.format = Some("xml".into())).unwrap_err();
        assert!(matches!(&e, LtiError::InvalidSubscription(text) if text.contains("Format")), "{e}");
    }

    #[test]
    fn names_are_kept_in_lower_case_and_all_is_everything() {
        let types = check(CREATED, |_| ()).unwrap().event_types.unwrap();
        assert_eq!(types, ["submission_created".to_owned()].into());
        assert_eq!(
            check(CREATED, |i| i.event_types = Some(vec!["all".into()])).unwrap_err(),
            LtiError::UnauthorizedSubscription
        );
        let all = check(&["root_account.all"], |i| i.event_types = Some(vec!["ALL".into(), "course_created".into()]));
        assert_eq!(all.unwrap().event_types, None);
        let newer = check(&["root_account.all"], |i| i.event_types = Some(vec!["Quiz_Export_Complete".into()]));
        assert_eq!(newer.unwrap().event_types, Some(["quiz_export_complete".to_owned()].into()));
        for none in [None, Some(vec![])] {
            assert!(matches!(check(CREATED, |i| i.event_types = none), Err(LtiError::InvalidSubscription(_))));
        }
    }

    #[test]
    fn a_subscription_can_be_narrowed_to_its_own_tool_only() {
        let own = tool(&[]).guid.to_string();
        let wanted = check(CREATED, |i| i.integration = Some(own.clone())).unwrap();
        assert_eq!(wanted.filter(), Some(format!(".body.associated_integration_id == \"{own}\"")));
        let other = check(CREATED, |i| i.integration = Some("other".into()));
        assert_eq!(other.unwrap_err(), LtiError::UnauthorizedSubscription);
    }
}
