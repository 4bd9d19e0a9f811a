//! What whoever runs a root account does about tools: its names, keys for vendors, tools, invitations to register. Secrets
//! are shown once, when they are made.

use super::{LtiError, random_hex, random_letters, random_local, random_uuid};
use crate::{Service, access::AppScope, endpoints::EndpointChange, error::ServiceError, patch::Patch};
use domain::Action;
use domain::lti::{
    DeveloperKey, GlobalId, Registration, RootAccount, SharedSecret, Tool, ToolGuid, ToolService, ToolState,
};
use platforms::canvas::subscribing::{SIMILARITY_DETECTION, capabilities};
use std::{collections::BTreeSet, time::Duration};
use store::StoreError;
use url::Url;

/// Of each kind, in one application.
const EACH_MAX: usize = 1_000;
/// How long an invitation to register is good for.
const INVITATION: Duration = Duration::from_secs(3600);
const NAME_MAX: usize = 200;

/// A change of what an application is called as a root account. What is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccountChange {
    /// What subscriptions name it by.
    pub uuid: Option<String>,
    /// Its numeric id, in decimal.
    pub id: Option<String>,
    /// What tools see in the profile.
    pub guid: Option<String>,
    /// Where the platform itself answers.
    pub platform_url: Patch<String>,
}

/// A developer key to make.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeveloperKeyInput {
    /// For people.
    pub name: String,
    /// What its tools may be given; everything about webhooks if absent.
    pub capabilities: Option<Vec<String>>,
}

/// A change of a developer key. What is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeveloperKeyChange {
    /// For people.
    pub name: Option<String>,
    /// Whether it opens anything.
    pub active: Option<bool>,
    /// What its tools may be given.
    pub capabilities: Option<Vec<String>>,
    /// Whether it gets a new secret.
    pub new_secret: bool,
}

/// A tool to install by hand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolInput {
    /// For people.
    pub name: String,
    /// The key of its vendor.
    pub developer_key: String,
    /// What it is given; all that the key allows if absent.
    pub capabilities: Option<Vec<String>>,
    /// Its security contract; subscriptions with every method if absent.
    pub services: Option<Vec<ToolService>>,
    /// Where it wants the events of assignments that it checks.
    pub event_url: Option<String>,
}

/// A change of a tool. What is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolChange {
    /// For people.
    pub name: Option<String>,
    /// Whether it may do anything.
    pub state: Option<ToolState>,
    /// What it is given.
    pub capabilities: Option<Vec<String>>,
    /// Its security contract.
    pub services: Option<Vec<ToolService>>,
    /// Whether it gets a new secret.
    pub new_secret: bool,
}

/// Where a tool is to be installed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistrationInput {
    /// `accounts/1`, `courses/2`; the root account if absent.
    pub context: Option<String>,
    /// Where the browser goes when the tool is done; our own page if absent.
    pub return_url: Option<String>,
}

/// An invitation to register: what a browser sends to the tool's registration address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// The registration. Its password is shown now and never again.
    pub registration: Registration,
    /// The fields of the form, in their order.
    pub form: Vec<(&'static str, String)>,
}

fn name_of(text: &str) -> Result<String, ServiceError> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(ServiceError::invalid(&["body", "name"], "must be 1 to 200 characters"));
    }
    Ok(name.to_owned())
}

/// What a key can offer at most: everything that is known about webhooks.
fn grantable() -> BTreeSet<String> {
    capabilities().map(str::to_owned).chain([SIMILARITY_DETECTION.to_owned()]).collect()
}

fn chosen(
    wanted: Option<Vec<String>>,
    offered: &BTreeSet<String>,
    default: BTreeSet<String>,
) -> Result<BTreeSet<String>, ServiceError> {
    let Some(wanted) = wanted else { return Ok(default) };
    let odd: Vec<_> = wanted.iter().filter(|c| !offered.contains(*c)).map(String::as_str).collect();
    if odd.is_empty() {
        return Ok(wanted.into_iter().collect());
    }
    let msg = format!("these are not offered: {}", odd.join(", "));
    Err(ServiceError::invalid(&["body", "capabilities"], msg))
}

fn checked_services(services: Vec<ToolService>) -> Result<Vec<ToolService>, ServiceError> {
    let fine = |s: &ToolService| (1..=100).contains(&s.service.len()) && s.actions.len() <= 10;
    if services.len() <= 50 && services.iter().all(fine) {
        let upper =
            |s: ToolService| ToolService { actions: s.actions.iter().map(|a| a.to_ascii_uppercase()).collect(), ..s };
        return Ok(services.into_iter().map(upper).collect());
    }
    Err(ServiceError::invalid(&["body", "services"], "must be at most 50 services, each with a name"))
}

fn every_method() -> Vec<ToolService> {
    let actions = ["POST", "GET", "PUT", "DELETE"].map(str::to_owned).into();
    vec![ToolService { service: super::SUBSCRIPTIONS.to_owned(), actions }]
}

fn new_secret() -> SharedSecret {
    SharedSecret::new(random_hex(128))
}

fn as_service_error(e: LtiError) -> ServiceError {
    match e {
        LtiError::Service(e) => e,
        e => ServiceError::invalid(&["body"], e.to_string()),
    }
}

fn must_have_room(count: usize) -> Result<(), ServiceError> {
    if count < EACH_MAX { Ok(()) } else { Err(ServiceError::LimitReached(format!("There are {EACH_MAX} already"))) }
}

impl Service {
    /// What an application is called as a root account.
    pub async fn root_account(&self, scope: &AppScope) -> Result<RootAccount, ServiceError> {
        scope.must_be_organization()?;
        self.account_of(scope.key()).await
    }

    /// Changes that. Subscriptions that exist keep the channels that they were made with.
    pub async fn change_root_account(
        &self,
        scope: &AppScope,
        change: AccountChange,
    ) -> Result<RootAccount, ServiceError> {
        scope.must_be_organization()?;
        let mut account = self.account_of(scope.key()).await?;
        if let Some(uuid) = change.uuid {
            let fits = (1..=64).contains(&uuid.len()) && uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !fits {
                return Err(ServiceError::invalid(&["body", "uuid"], "must be 1 to 64 letters, digits and hyphens"));
            }
            account.uuid = uuid;
        }
        if let Some(id) = change.id {
            let id: Option<GlobalId> = id.parse().ok().filter(|id: &GlobalId| i64::try_from(id.0).is_ok() && id.0 > 0);
            account.id = id.ok_or_else(|| ServiceError::invalid(&["body", "id"], "must be a whole number"))?;
        }
        if let Some(guid) = change.guid {
            let fits = (1..=255).contains(&guid.len()) && guid.bytes().all(|b| b.is_ascii_graphic());
            if !fits {
                return Err(ServiceError::invalid(&["body", "guid"], "must be 1 to 255 visible characters"));
            }
            account.guid = guid;
        }
        match change.platform_url {
            Patch::Keep => {}
            Patch::Clear => account.platform_url = None,
            Patch::Set(url) => {
                let read = Url::parse(&url).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
                if read.is_none() {
                    return Err(ServiceError::invalid(&["body", "platformUrl"], "must be an http or https address"));
                }
                account.platform_url = Some(url.trim_end_matches('/').to_owned());
            }
        }
        let saved = self.store.put_root_account(account, false).await?;
        self.note_in(scope, Action::ApplicationUpdated, scope.application().id, "the root account").await;
        Ok(saved)
    }

    /// The developer keys of an application.
    pub async fn developer_keys(&self, scope: &AppScope) -> Result<Vec<DeveloperKey>, ServiceError> {
        scope.must_be_organization()?;
        Ok(self.store.developer_keys(scope.key()).await?)
    }

    /// One of them.
    pub async fn developer_key(&self, scope: &AppScope, id: &str) -> Result<DeveloperKey, ServiceError> {
        let all = self.developer_keys(scope).await?;
        all.into_iter().find(|k| k.id.to_string() == id).ok_or(ServiceError::NO_ENTITY)
    }

    /// Makes a developer key. Its secret is in the answer.
    pub async fn create_developer_key(
        &self,
        scope: &AppScope,
        input: DeveloperKeyInput,
    ) -> Result<DeveloperKey, ServiceError> {
        must_have_room(self.developer_keys(scope).await?.len())?;
        let now = self.now();
        let key = DeveloperKey {
            id: GlobalId::on_shard(1, random_local()),
            app: scope.key(),
            name: name_of(&input.name)?,
            secret: SharedSecret::new(random_letters(64)),
            active: true,
            capabilities: chosen(input.capabilities, &grantable(), grantable())?,
            created_at: now,
            updated_at: now,
        };
        match self.store.create_developer_key(key.clone()).await {
            // Chance made the same number twice.
            Err(StoreError::UidTaken) => Err(ServiceError::TooBusy),
            done => {
                done?;
                self.note_in(scope, Action::ToolCreated, key.id, format!("developer key {}", key.name)).await;
                Ok(key)
            }
        }
    }

    /// Changes a developer key.
    pub async fn change_developer_key(
        &self,
        scope: &AppScope,
        id: &str,
        change: DeveloperKeyChange,
    ) -> Result<DeveloperKey, ServiceError> {
        let mut key = self.developer_key(scope, id).await?;
        if let Some(name) = &change.name {
            key.name = name_of(name)?;
        }
        key.active = change.active.unwrap_or(key.active);
        key.capabilities = chosen(change.capabilities, &grantable(), key.capabilities)?;
        if change.new_secret {
            key.secret = SharedSecret::new(random_letters(64));
        }
        key.updated_at = self.now();
        self.store.save_developer_key(key.clone()).await?;
        let detail = if change.new_secret { "developer key, with a new secret" } else { "developer key" };
        self.note_in(scope, Action::ToolUpdated, key.id, detail).await;
        Ok(key)
    }

    /// Removes a developer key: its tools get no tokens any more.
    pub async fn delete_developer_key(&self, scope: &AppScope, id: &str) -> Result<(), ServiceError> {
        let key = self.developer_key(scope, id).await?;
        self.store.delete_developer_key(scope.key(), key.id).await?;
        self.note_in(scope, Action::ToolDeleted, key.id, format!("developer key {}", key.name)).await;
        Ok(())
    }

    /// The tools of an application.
    pub async fn tools(&self, scope: &AppScope) -> Result<Vec<Tool>, ServiceError> {
        scope.must_be_organization()?;
        Ok(self.store.tools(scope.key()).await?)
    }

    /// One of them.
    pub async fn tool(&self, scope: &AppScope, guid: &str) -> Result<Tool, ServiceError> {
        self.tools(scope).await?.into_iter().find(|t| t.guid.as_str() == guid).ok_or(ServiceError::NO_ENTITY)
    }

    /// How many subscriptions a tool has.
    pub async fn subscriptions_of(&self, scope: &AppScope, tool: &Tool) -> Result<usize, ServiceError> {
        scope.must_be_organization()?;
        Ok(self.endpoints_of_tool(&tool.guid, scope.key()).await?.len())
    }

    /// Installs a tool by hand. Its secret is in the answer.
    pub async fn create_tool(&self, scope: &AppScope, input: ToolInput) -> Result<Tool, ServiceError> {
        must_have_room(self.tools(scope).await?.len())?;
        let known = self.developer_key(scope, &input.developer_key).await;
        let key = known.map_err(|e| match e {
            ServiceError::NotFound(_) => ServiceError::invalid(&["body", "developerKey"], "there is no such key here"),
            e => e,
        })?;
        if let Some(url) = &input.event_url {
            self.may_have_address(scope, url).await?;
        }
        let now = self.now();
        // Plagiarism detection is for those who say where its events go.
        let all = key.capabilities.iter().filter(|c| *c != SIMILARITY_DETECTION || input.event_url.is_some());
        let tool = Tool {
            guid: ToolGuid::random(random_uuid()),
            app: scope.key(),
            developer_key: Some(key.id),
            name: name_of(&input.name)?,
            secret: new_secret(),
            split_secret: true,
            capabilities: chosen(input.capabilities, &key.capabilities, all.cloned().collect())?,
            services: input.services.map_or_else(|| Ok(every_method()), checked_services)?,
            event_url: input.event_url,
            state: ToolState::Active,
            created_at: now,
            updated_at: now,
        };
        self.store.create_tool(tool.clone(), None).await?;
        self.subscribe_automatically(scope, &tool).await.map_err(as_service_error)?;
        self.note_in(scope, Action::ToolCreated, &tool.guid, &tool.name).await;
        Ok(tool)
    }

    /// Changes a tool. One that is switched off takes its subscriptions with it, and brings them back.
    pub async fn change_tool(&self, scope: &AppScope, guid: &str, change: ToolChange) -> Result<Tool, ServiceError> {
        let mut tool = self.tool(scope, guid).await?;
        let before = tool.state;
        if let Some(name) = &change.name {
            tool.name = name_of(name)?;
        }
        if change.capabilities.is_some() {
            let offered = match tool.developer_key {
                Some(id) => self.developer_key(scope, &id.to_string()).await?.capabilities,
                None => BTreeSet::new(),
            };
            // What it has, it may keep.
            let offered = offered.union(&tool.capabilities).cloned().collect();
            tool.capabilities = chosen(change.capabilities, &offered, BTreeSet::new())?;
        }
        if let Some(services) = change.services {
            tool.services = checked_services(services)?;
        }
        if change.new_secret {
            tool.secret = new_secret();
        }
        tool.state = change.state.unwrap_or(tool.state);
        tool.updated_at = self.now();
        self.store.save_tool(tool.clone()).await?;
        let detail = if change.new_secret { "with a new secret" } else { "" };
        self.note_in(scope, Action::ToolUpdated, &tool.guid, detail).await;
        if tool.state != before {
            let off = tool.state == ToolState::Disabled;
            for endpoint in self.endpoints_of_tool(&tool.guid, scope.key()).await? {
                let change = EndpointChange { disabled: Some(off), ..EndpointChange::default() };
                self.patch_endpoint(scope, &endpoint.id.to_string(), change).await?;
            }
        }
        Ok(tool)
    }

    /// Removes a tool with all its subscriptions.
    pub async fn delete_tool(&self, scope: &AppScope, guid: &str) -> Result<(), ServiceError> {
        let mut tool = self.tool(scope, guid).await?;
        // First, so that it cannot make further subscriptions meanwhile. Should we stop before the end, it is still listed.
        tool.state = ToolState::Disabled;
        self.store.save_tool(tool.clone()).await?;
        for endpoint in self.endpoints_of_tool(&tool.guid, scope.key()).await? {
            self.delete_endpoint(scope, &endpoint.id.to_string()).await?;
        }
        self.store.delete_tool(scope.key(), &tool.guid).await?;
        self.note_in(scope, Action::ToolDeleted, &tool.guid, &tool.name).await;
        Ok(())
    }

    /// Invitations that are open.
    pub async fn registrations(&self, scope: &AppScope) -> Result<Vec<Registration>, ServiceError> {
        scope.must_be_organization()?;
        let now = self.now();
        Ok(self.store.registrations(scope.key()).await?.into_iter().filter(|r| r.expires_at > now).collect())
    }

    /// Invites a tool to register. The password is in the answer.
    pub async fn invite_tool(&self, scope: &AppScope, input: RegistrationInput) -> Result<Invitation, ServiceError> {
        must_have_room(self.registrations(scope).await?.len())?;
        let account = self.account_of(scope.key()).await?;
        let context = match input.context {
            None => format!("accounts/{}", account.uuid),
            Some(context) => {
                let odd = || ServiceError::invalid(&["body", "context"], "must be accounts/… or courses/…");
                let (kind, id) = context.split_once('/').ok_or_else(odd)?;
                let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                if !matches!(kind, "accounts" | "courses") || id.is_empty() || !id.bytes().all(fits) {
                    return Err(odd());
                }
                context
            }
        };
        let now = self.now();
        let registration = Registration {
            key: ToolGuid::random(random_uuid()),
            app: scope.key(),
            password: SharedSecret::new(domain::lti::uuid(random_uuid())),
            created_at: now,
            expires_at: now.plus(INVITATION),
        };
        self.store.create_registration(registration.clone(), now).await?;
        self.note_in(scope, Action::ToolCreated, &registration.key, "invited a tool to register").await;
        let base = &self.settings.public_url;
        let back = input.return_url.unwrap_or_else(|| format!("{base}/applications/{}/tools", scope.application().id));
        let form = vec![
            ("lti_message_type", "ToolProxyRegistrationRequest".to_owned()),
            ("lti_version", "LTI-2p0".to_owned()),
            ("reg_key", registration.key.to_string()),
            ("reg_password", registration.password.expose().to_owned()),
            ("tc_profile_url", format!("{base}/api/lti/{context}/tool_consumer_profile")),
            ("launch_presentation_return_url", back),
            ("launch_presentation_document_target", "iframe".to_owned()),
            ("oauth2_access_token_url", format!("{base}/api/lti/{context}/authorize")),
        ];
        Ok(Invitation { registration, form })
    }

    /// Takes an invitation back.
    pub async fn withdraw_invitation(&self, scope: &AppScope, key: &str) -> Result<(), ServiceError> {
        scope.must_be_organization()?;
        let key: ToolGuid = key.parse().map_err(|_| ServiceError::NO_ENTITY)?;
        self.store.delete_registration(scope.key(), &key).await?;
        self.note_in(scope, Action::ToolDeleted, &key, "an invitation to register").await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_offered_can_be_chosen() {
        let offered: BTreeSet<String> = ["a".to_owned(), "b".to_owned()].into();
        assert_eq!(chosen(None, &offered, offered.clone()).unwrap(), offered);
        assert_eq!(chosen(Some(vec!["b".into()]), &offered, offered.clone()).unwrap(), ["b".to_owned()].into());
        assert!(chosen(Some(vec!["c".into()]), &offered, offered.clone()).is_err());
        assert_eq!(grantable().len(), 13);
    }

    #[test]
    fn a_name_is_for_people() {
        assert_eq!(name_of(" Checker ").unwrap(), "Checker");
        for odd in ["", "  ", "a\nb", &"x".repeat(201)] {
            assert!(name_of(odd).is_err(), "{odd:?}");
        }
    }
}
