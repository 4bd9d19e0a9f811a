//! Applications.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Permission},
    check::Check,
    endpoints::EndpointExtras,
    error::ServiceError,
    patch::{Patch, Saved},
    platform,
};
use domain::{
    Action, AppKey, Application, ApplicationId, EndpointDefaults, IdOrUid, Ksuid, PageOf, PageQuery, Retention,
    RetrySchedule, Timestamp, Uid, application::ApplicationOptions, ids::OrganizationId,
};
use std::collections::BTreeMap;
use store::StoreError;

/// How often a change is tried again when somebody else changed the object at the same moment.
pub(crate) const CHANGE_TRIES: usize = 8;

/// A whole application, as it is created or put.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ApplicationInput {
    /// For people.
    pub name: String,
    /// The user's own name for it.
    pub uid: Option<String>,
    /// Deliveries per second.
    pub throttle_rate: Option<u16>,
    /// The user's own notes.
    pub metadata: BTreeMap<String, String>,
    /// What Schoolbell adds.
    pub extras: ApplicationExtras,
}

/// What Schoolbell adds to Svix's application. Left out, it stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ApplicationExtras {
    /// The platform whose catalogue and defaults it has.
    pub platform: Patch<String>,
    /// Waits between tries.
    pub retry_schedule: Patch<RetrySchedule>,
    /// What new endpoints start out with. Empty: as the platform says.
    pub endpoint_defaults: Patch<EndpointDefaultsChange>,
    /// How long things are kept.
    pub retention: Patch<Retention>,
    /// Whether anybody may see its event catalogue.
    pub public_catalogue: Patch<bool>,
}

/// A change of what new endpoints start out with. What is left out stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointDefaultsChange {
    /// Their options. What belongs to one endpoint alone (its queue, its handshake, who agreed to it) has no default.
    pub extras: EndpointExtras,
    /// Whether they get a secret that travels in the body.
    pub body_secret: Patch<bool>,
}

impl EndpointDefaultsChange {
    fn apply(self, defaults: &mut EndpointDefaults) {
        self.extras.apply(&mut defaults.options);
        let mut body_secret = Some(defaults.body_secret);
        self.body_secret.apply(&mut body_secret);
        defaults.body_secret = body_secret.unwrap_or_default();
    }
}

/// A change of an application.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ApplicationChange {
    /// For people.
    pub name: Option<String>,
    /// The user's own name for it.
    pub uid: Patch<String>,
    /// Deliveries per second.
    pub throttle_rate: Patch<u16>,
    /// The user's own notes.
    pub metadata: Option<BTreeMap<String, String>>,
    /// What Schoolbell adds.
    pub extras: ApplicationExtras,
}

impl From<ApplicationInput> for ApplicationChange {
    fn from(i: ApplicationInput) -> Self {
        Self {
            name: Some(i.name),
            uid: Patch::replace(i.uid),
            throttle_rate: Patch::replace(i.throttle_rate),
            metadata: Some(i.metadata),
            extras: i.extras,
        }
    }
}

/// A change whose rules were checked.
#[derive(Clone)]
pub(crate) struct CheckedApplication {
    name: Option<String>,
    uid: Patch<Uid>,
    throttle_rate: Patch<u16>,
    metadata: Option<BTreeMap<String, String>>,
    extras: ApplicationExtras,
}

impl ApplicationChange {
    pub(crate) fn check(self, check: &mut Check) -> CheckedApplication {
        if let Some(name) = &self.name {
            check.name(name);
        }
        check.throttle_rate(self.throttle_rate.value().copied());
        if let Some(metadata) = &self.metadata {
            check.metadata(metadata);
        }
        if let Some(name) = self.extras.platform.value()
            && platforms::by_name(name).is_none()
        {
            check.fail(&["platform"], platform::unknown());
        }
        check.retention(&self.extras.retention);
        if let Some(defaults) = self.extras.endpoint_defaults.value() {
            let mut inside = Check::at(&["body", "endpointDefaults"]);
            defaults.extras.check(&mut inside);
            check.absorb(inside);
        }
        CheckedApplication {
            name: self.name,
            uid: self.uid.and_then(|uid| check.uid(&uid, ApplicationId::PREFIX)),
            throttle_rate: self.throttle_rate,
            metadata: self.metadata,
            extras: self.extras,
        }
    }
}

impl CheckedApplication {
    fn apply(self, app: &mut Application, now: Timestamp) {
        if let Some(name) = self.name {
            app.name = name;
        }
        self.uid.apply(&mut app.uid);
        self.throttle_rate.apply(&mut app.throttle_rate);
        if let Some(metadata) = self.metadata {
            app.metadata = metadata;
        }
        self.extras.platform.apply(&mut app.options.platform);
        self.extras.retry_schedule.apply(&mut app.options.retry_schedule);
        let mut retention = Some(app.options.retention);
        self.extras.retention.apply(&mut retention);
        app.options.retention = retention.unwrap_or_default();
        let mut public = Some(app.options.public_catalogue);
        self.extras.public_catalogue.apply(&mut public);
        app.options.public_catalogue = public.unwrap_or_default();
        match self.extras.endpoint_defaults {
            Patch::Keep => {}
            Patch::Clear => app.options.endpoint_defaults = None,
            Patch::Set(change) => {
                let mut defaults = platform::defaults(app);
                change.apply(&mut defaults);
                app.options.endpoint_defaults = Some(defaults);
            }
        }
        app.updated_at = now;
    }
}

/// The platforms that an application can have: the name it is set by, and the one for people.
pub fn platforms() -> impl Iterator<Item = (&'static str, &'static str)> {
    platforms::catalog::all().iter().map(|p| (p.name, p.title))
}

fn uid_taken() -> ServiceError {
    ServiceError::Conflict("An application with that id or uid already exists".to_owned())
}

impl Service {
    /// A page of an organization's applications; of a person's own, if they are no operator.
    pub async fn applications(
        &self,
        actor: &Actor,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Application>, ServiceError> {
        if let Actor::Person(person) = actor
            && !person.operator
        {
            return self.applications_of(actor, person.roles.keys().copied(), page).await;
        }
        let organization = actor.must_be_organization()?;
        Ok(self.store.applications(organization, page).await?)
    }

    /// A page of those in which a person has a role; there are few.
    async fn applications_of(
        &self,
        actor: &Actor,
        ids: impl Iterator<Item = ApplicationId>,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Application>, ServiceError> {
        let mut found = Vec::new();
        for id in ids {
            match self.open(actor, &id.to_string()).await {
                Ok(scope) => found.push(scope.application().clone()),
                // Deleted since.
                Err(ServiceError::NotFound(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(page.of_sorted(found, |app| app.id.0))
    }

    /// Creates an application. With `get_if_exists`, one that has the uid already is given back as it is.
    pub async fn create_application(
        &self,
        actor: &Actor,
        input: ApplicationInput,
        get_if_exists: bool,
    ) -> Result<Saved<Application>, ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut check = Check::body();
        let checked = ApplicationChange::from(input).check(&mut check);
        check.finish()?;
        let uid = checked.uid.value().cloned();
        if get_if_exists
            && let Some(uid) = &uid
            && let Some(found) = self.application_by_uid(organization, uid).await?
        {
            return Ok(Saved::Existing(found));
        }
        match self.insert_application(organization, checked).await {
            Ok(created) => {
                self.note(actor, Some(created.id), Action::ApplicationCreated, created.id, &created.name).await;
                Ok(Saved::Created(created))
            }
            Err(StoreError::UidTaken) => match (get_if_exists, &uid) {
                // Somebody else created it since we looked.
                (true, Some(uid)) => {
                    self.application_by_uid(organization, uid).await?.map(Saved::Existing).ok_or_else(uid_taken)
                }
                _ => Err(uid_taken()),
            },
            Err(e) => Err(e.into()),
        }
    }

    async fn application_by_uid(
        &self,
        organization: &OrganizationId,
        uid: &Uid,
    ) -> Result<Option<Application>, StoreError> {
        self.store.application(organization, &IdOrUid::Uid(uid.to_string())).await
    }

    pub(crate) async fn insert_application(
        &self,
        organization: &OrganizationId,
        checked: CheckedApplication,
    ) -> Result<Application, StoreError> {
        self.install_catalogue(organization, checked.extras.platform.value()).await?;
        let (id, now) = self.next_id();
        let mut app = Application {
            key: AppKey(0),
            id: ApplicationId(id),
            organization: organization.clone(),
            uid: None,
            name: String::new(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            options: ApplicationOptions::default(),
            created_at: now,
            updated_at: now,
            revision: 0,
        };
        checked.apply(&mut app, now);
        let created = self.store.create_application(app).await;
        self.listener_may_have_come(organization);
        created
    }

    /// An application of the management organization is, or is now called, somebody's ear.
    fn listener_may_have_come(&self, organization: &OrganizationId) {
        if organization.as_str() == OrganizationId::MANAGEMENT {
            self.not_listening.clear();
        }
    }

    /// Replaces an application, or creates one if there is none under this id or uid. The name in the path is not taken
    /// over as uid.
    pub async fn put_application(
        &self,
        actor: &Actor,
        which: &str,
        input: ApplicationInput,
    ) -> Result<Saved<Application>, ServiceError> {
        match self.open_managed(actor, which).await {
            Ok(scope) => Ok(Saved::Existing(self.patch_application(&scope, input.into()).await?)),
            Err(ServiceError::NotFound(_)) => self.create_application(actor, input, false).await,
            Err(e) => Err(e),
        }
    }

    /// Changes an application.
    pub async fn patch_application(
        &self,
        scope: &AppScope,
        change: ApplicationChange,
    ) -> Result<Application, ServiceError> {
        scope.must(Permission::ManageApplication)?;
        let mut check = Check::body();
        let checked = change.check(&mut check);
        check.finish()?;
        self.install_catalogue(&scope.application().organization, checked.extras.platform.value()).await?;
        let _turn = self.turns.of(scope.key()).await;
        for _ in 0..CHANGE_TRIES {
            let mut app = self.store.application_by_key(scope.key()).await?.ok_or(ServiceError::NO_APPLICATION)?;
            checked.clone().apply(&mut app, self.now());
            match self.directory.save_application(app).await {
                Err(StoreError::Changed) => {}
                Err(StoreError::UidTaken) => return Err(uid_taken()),
                saved => {
                    self.listener_may_have_come(&scope.application().organization);
                    let saved = saved?;
                    self.note_in(scope, Action::ApplicationUpdated, saved.id, &saved.name).await;
                    return Ok(saved);
                }
            }
        }
        Err(ServiceError::TooBusy)
    }

    /// An application, for who sees all of it.
    pub fn application<'a>(&self, scope: &'a AppScope) -> Result<&'a Application, ServiceError> {
        scope.must_see_whole()?;
        Ok(scope.application())
    }

    /// Deletes an application with everything below it.
    pub async fn delete_application(&self, scope: &AppScope) -> Result<(), ServiceError> {
        scope.must_be_organization()?;
        self.directory.delete_application(scope.key(), self.now()).await?;
        let app = scope.application();
        self.note_in(scope, Action::ApplicationDeleted, app.id, &app.name).await;
        Ok(())
    }
}
