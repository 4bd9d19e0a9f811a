//! LTI 2 registration, as far as webhooks need it: what is offered to a tool, and what the tool sends back when it installs
//! itself.

use super::{LtiError, Registrant, SUBSCRIPTIONS, random_hex};
use crate::{Service, error::ServiceError};
use domain::{
    Action,
    lti::{SharedSecret, Tool, ToolService, ToolState},
};
use platforms::canvas::subscribing::SIMILARITY_DETECTION;
use serde_json::Value;
use std::collections::BTreeSet;

/// What every tool may be given.
const CAPABILITIES: [&str; 12] = [
    "basic-lti-launch-request",
    "User.id",
    "Context.id",
    "Message.documentTarget",
    "Message.locale",
    "Membership.role",
    "Person.name.full",
    "ToolConsumerProfile.url",
    "Canvas.placements.accountNavigation",
    "Canvas.placements.courseNavigation",
    SPLIT_SECRET,
    "OAuth.splitSecret",
];
const SPLIT_SECRET: &str = "Security.splitSecret";
/// How long a half or a whole secret of a tool may be.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=512;
/// Bytes of our half of a secret.
const HALF: usize = 64;
/// Capabilities and services that a proxy may list at most.
const LIST_MAX: usize = 200;
const SETTINGS: [&str; 2] =
    ["application/vnd.ims.lti.v2.toolsettings+json", "application/vnd.ims.lti.v2.toolsettings.simple+json"];
const PROXY: &str = "application/vnd.ims.lti.v2.toolproxy+json";
const JSON: &str = "application/json";

/// A service that is offered to a tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceOffered {
    /// The bare name.
    pub name: &'static str,
    /// Where it is; may have parts in braces.
    pub endpoint: String,
    /// Media types.
    pub formats: Vec<&'static str>,
    /// HTTP methods.
    pub actions: &'static [&'static str],
}

/// What is offered to a tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Names the profile.
    pub guid: String,
    /// What tools see of the root account.
    pub account_guid: String,
    /// For people.
    pub account_name: String,
    /// Where the profile is.
    pub id: String,
    /// What a tool may be given.
    pub capabilities: Vec<String>,
    /// What it may call.
    pub services: Vec<ServiceOffered>,
}

/// A tool that installed itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Installed {
    /// Its name from now on.
    pub guid: String,
    /// Our half of the secret, if it is a split one.
    pub half_secret: Option<String>,
}

/// What a proxy says, as far as we look at it.
struct Proxy {
    name: String,
    capabilities: BTreeSet<String>,
    services: Vec<ToolService>,
    half_secret: Option<String>,
    whole_secret: Option<String>,
    event_url: Option<String>,
    /// Whether it offers a service for events at all.
    takes_events: bool,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: Option<&Value>) -> BTreeSet<String> {
    value.and_then(Value::as_array).into_iter().flatten().take(LIST_MAX).filter_map(text).collect()
}

/// What counts of a service's name: what stands behind the last `#` or `:`.
fn bare(service: &str) -> &str {
    service.rsplit(['#', ':']).next().unwrap_or(service)
}

impl Proxy {
    fn read(json: &Value) -> Self {
        let contract = &json["security_contract"];
        let listed = contract["tool_service"].as_array().into_iter().flatten().take(LIST_MAX);
        let services = listed.filter_map(|s| {
            let service = bare(s["service"].as_str()?).to_owned();
            let actions = texts(s.get("action")).iter().map(|a| a.to_ascii_uppercase()).collect();
            Some(ToolService { service, actions })
        });
        let mut offered = json.pointer("/tool_profile/service_offered").and_then(Value::as_array).into_iter().flatten();
        let takes_events = |s: &&Value| {
            let is_it = s["@id"].as_str().is_some_and(|id| id.ends_with("#vnd.Canvas.SubmissionEvent"));
            is_it && texts(s.get("action")).contains("POST")
        };
        let name = json.pointer("/tool_profile/product_instance/product_info/product_name/default_value");
        let events = offered.find(takes_events);
        Self {
            name: name.and_then(text).unwrap_or_default().chars().take(200).collect(),
            capabilities: texts(json.get("enabled_capability")),
            services: services.collect(),
            half_secret: contract.get("tp_half_shared_secret").and_then(text),
            whole_secret: contract.get("shared_secret").and_then(text),
            takes_events: events.is_some(),
            event_url: events.and_then(|s| text(&s["endpoint"])).filter(|url| !url.is_empty()),
        }
    }

    fn is_split(&self) -> bool {
        self.capabilities.contains(SPLIT_SECRET) || self.capabilities.contains("OAuth.splitSecret")
    }

    /// Everything that keeps it from being installed.
    fn problems(&self, profile: &Profile) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let offered: BTreeSet<&str> = profile.capabilities.iter().map(String::as_str).collect();
        for capability in self.capabilities.iter().filter(|c| !offered.contains(c.as_str())) {
            problems.push(("invalid_capabilities", capability.clone()));
        }
        for service in &self.services {
            match profile.services.iter().find(|s| s.name == service.service) {
                None => problems.push(("invalid_services", service.service.clone())),
                Some(known) => {
                    let odd = service.actions.iter().filter(|a| !known.actions.contains(&a.as_str()));
                    problems.extend(odd.map(|a| ("invalid_services", format!("{}: {a}", service.service))));
                }
            }
        }
        let secret = if self.is_split() { &self.half_secret } else { &self.whole_secret };
        match secret {
            Some(secret) if SECRET_LENGTH.contains(&secret.len()) && secret.is_ascii() => {}
            _ if self.is_split() => {
                problems.push(("invalid_security_contract", "tp_half_shared_secret is missing or odd".to_owned()));
            }
            _ => problems.push(("invalid_security_contract", "shared_secret is missing or odd".to_owned())),
        }
        if self.capabilities.contains(SIMILARITY_DETECTION) && self.event_url.is_none() {
            let missing = match self.takes_events {
                true => "Plagiarism review tool submission event service is missing endpoint",
                false => "Plagiarism review tool is missing submission event service",
            };
            problems.push(("invalid_services", missing.to_owned()));
        }
        problems
    }
}

impl Service {
    /// What is offered to a tool. `context` is where it is asked: `accounts/1`, `courses/2`.
    pub async fn lti_profile(&self, registrant: &Registrant, context: &str) -> Result<Profile, LtiError> {
        let app = registrant.registration.app;
        let entry = self.directory.by_key(app).await?.ok_or(LtiError::Unauthorized)?;
        let account = self.account_of(app).await?;
        let ours = &self.settings.public_url;
        let theirs = account.platform_url.as_ref().unwrap_or(ours);
        let service = |name, endpoint: String, formats: &[&'static str], actions| ServiceOffered {
            name,
            endpoint,
            formats: formats.to_vec(),
            actions,
        };
        let lti = |path: &str| format!("{ours}/api/lti/{path}");
        let platform = |path: &str| format!("{theirs}/api/lti/{path}");
        let mut services = vec![
            service("ToolProxy.collection", lti(&format!("{context}/tool_proxy")), &[PROXY], &["POST"]),
            service("ToolProxy.item", lti("tool_proxy/{tool_proxy_guid}"), &[PROXY], &["GET"]),
            service("vnd.Canvas.authorization", lti(&format!("{context}/authorize")), &[JSON], &["POST"]),
        ];
        for (name, path) in [
            ("ToolProxySettings", "tool_settings/tool_proxy/{tool_proxy_id}"),
            ("ToolProxyBindingSettings", "tool_settings/bindings/{binding_id}"),
            ("LtiLinkSettings", "tool_settings/links/{tool_proxy_id}"),
        ] {
            services.push(service(name, platform(path), &SETTINGS, &["GET", "PUT"]));
        }
        let mut capabilities: BTreeSet<String> = CAPABILITIES.map(str::to_owned).into();
        let guid = match &registrant.developer_key {
            // The profile that everybody gets.
            None => "339b6700-e4cb-47c5-a54f-3ee0064921a9".to_owned(),
            Some(key) => {
                capabilities.extend(key.capabilities.iter().cloned());
                const OF_SUBMISSION: &str = "assignments/{assignment_id}/submissions/{submission_id}";
                services.extend([
                    service(SUBSCRIPTIONS, lti("subscriptions"), &[JSON], &["POST", "GET", "PUT", "DELETE"]),
                    service(
                        "vnd.Canvas.OriginalityReport",
                        platform(&format!("{OF_SUBMISSION}/originality_report")),
                        &[JSON],
                        &["POST", "PUT", "GET"],
                    ),
                    service("vnd.Canvas.submission", platform(OF_SUBMISSION), &[JSON], &["GET"]),
                    service(
                        "vnd.Canvas.submission.history",
                        platform(&format!("{OF_SUBMISSION}/history")),
                        &[JSON],
                        &["GET"],
                    ),
                    service("vnd.Canvas.User", platform("users/:id"), &[JSON], &["GET"]),
                    service("vnd.Canvas.GroupUsers", platform("groups/:group_id/users"), &[JSON], &["GET"]),
                    service("vnd.Canvas.Assignment", platform("assignments/:assignment_id"), &[JSON], &["GET"]),
                ]);
                format!("developer-key-{}", key.id)
            }
        };
        Ok(Profile {
            id: lti(&format!("{context}/tool_consumer_profile/{guid}")),
            guid,
            account_guid: account.guid,
            account_name: entry.application.name.clone(),
            capabilities: capabilities.into_iter().collect(),
            services,
        })
    }

    /// Installs a tool that registers itself, and subscribes it to the submissions that it checks.
    pub async fn install_tool(
        &self,
        registrant: &Registrant,
        context: &str,
        proxy: &Value,
    ) -> Result<Installed, LtiError> {
        let profile = self.lti_profile(registrant, context).await?;
        let proxy = Proxy::read(proxy);
        let mut problems = proxy.problems(&profile);
        // The tool's guid is the key that it was invited with.
        let scope = self.scope_of(registrant.registration.app, &registrant.registration.key).await?;
        if let Some(url) = &proxy.event_url
            && let Err(ServiceError::Invalid(found)) = self.may_have_address(&scope, url).await
        {
            problems
                .extend(found.iter().map(|p| ("invalid_services", format!("vnd.Canvas.SubmissionEvent: {}", p.msg))));
        }
        if !problems.is_empty() {
            return Err(LtiError::InvalidProxy(problems));
        }
        let half = proxy.is_split().then(|| random_hex(HALF));
        let secret = match (&half, &proxy.half_secret, &proxy.whole_secret) {
            (Some(ours), Some(theirs), _) => format!("{ours}{theirs}"),
            (_, _, whole) => whole.clone().unwrap_or_default(),
        };
        let now = self.now();
        let key = &registrant.registration.key;
        let tool = Tool {
            guid: key.clone(),
            app: registrant.registration.app,
            developer_key: registrant.developer_key.as_ref().map(|k| k.id),
            name: proxy.name,
            secret: SharedSecret::new(secret),
            split_secret: half.is_some(),
            capabilities: proxy.capabilities,
            services: proxy.services,
            event_url: proxy.event_url,
            state: ToolState::Active,
            created_at: now,
            updated_at: now,
        };
        match self.store.create_tool(tool.clone(), Some(key.clone())).await {
            Err(store::StoreError::NotFound | store::StoreError::UidTaken) => return Err(LtiError::Unauthorized),
            done => done?,
        }
        tracing::info!(tool = %tool.guid, application = %scope.application().id, "a tool registered itself");
        self.note_in(&scope, Action::ToolCreated, &tool.guid, format!("{}, registered by itself", tool.name)).await;
        self.subscribe_automatically(&scope, &tool).await?;
        Ok(Installed { guid: tool.guid.to_string(), half_secret: half })
    }

    /// An installed tool as it is stored, for itself.
    pub fn own_proxy<'a>(&self, own: &'a Tool, guid: &str) -> Result<&'a Tool, LtiError> {
        if own.guid.as_str() == guid { Ok(own) } else { Err(LtiError::Unauthorized) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profile() -> Profile {
        let service = |name, actions| ServiceOffered { name, endpoint: String::new(), formats: vec![], actions };
        Profile {
            guid: String::new(),
            account_guid: String::new(),
            account_name: String::new(),
            id: String::new(),
            capabilities: vec![SPLIT_SECRET.to_owned(), SIMILARITY_DETECTION.to_owned()],
            services: vec![service("vnd.Canvas.submission", &["GET"])],
        }
    }
    fn problems(json: Value) -> Vec<&'static str> {
        Proxy::read(&json).problems(&profile()).into_iter().map(|(field, _)| field).collect()
    }
    fn good() -> Value {
        json!({
            "enabled_capability": [SPLIT_SECRET],
            "security_contract": {
                "tp_half_shared_secret": "ab".repeat(64),
                "tool_service": [{"service": "http://x/profile#vnd.Canvas.submission", "action": ["get"]}]
            }
        })
    }

    #[test]
    fn a_proxy_may_have_what_is_offered_and_nothing_else() {
        assert_eq!(problems(good()), [] as [&str; 0]);
        let mut p = good();
        p["enabled_capability"] = json!([SPLIT_SECRET, "vnd.instructure.webhooks.root_account.all"]);
        assert_eq!(problems(p), ["invalid_capabilities"]);
        let mut p = good();
        p["security_contract"]["tool_service"][0]["action"] = json!(["GET", "DELETE"]);
        assert_eq!(problems(p), ["invalid_services"]);
        let mut p = good();
        p["security_contract"]["tool_service"][0]["service"] = json!("vnd.Canvas.other");
        assert_eq!(problems(p), ["invalid_services"]);
    }

    #[test]
    fn it_needs_the_kind_of_secret_that_it_says() {
        let mut p = good();
        p["security_contract"]["tp_half_shared_secret"] = json!("short");
        assert_eq!(problems(p), ["invalid_security_contract"]);
        let mut p = good();
        p["enabled_capability"] = json!([]);
        assert_eq!(problems(p.clone()), ["invalid_security_contract"]);
        p["security_contract"]["shared_secret"] = json!("0123456789abcdef");
        assert_eq!(problems(p), [] as [&str; 0]);
        for odd in [json!(null), json!([]), json!({"security_contract": 3, "enabled_capability": {}})] {
            assert_eq!(problems(odd), ["invalid_security_contract"]);
        }
    }

    #[test]
    fn a_plagiarism_tool_says_where_it_wants_its_events() {
        let mut p = good();
        p["enabled_capability"] = json!([SPLIT_SECRET, SIMILARITY_DETECTION]);
        assert_eq!(problems(p.clone()), ["invalid_services"]);
        let id = "http://t/services#vnd.Canvas.SubmissionEvent";
        p["tool_profile"]["service_offered"] = json!([{"@id": id, "action": ["POST"], "endpoint": "http://t/e"}]);
        assert_eq!(Proxy::read(&p).event_url.as_deref(), Some("http://t/e"));
        assert_eq!(problems(p), [] as [&str; 0]);
    }
}
