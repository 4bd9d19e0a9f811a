//! Who asks: an organization with everything below it, one application, or a person with roles; and what follows from
//! a role.

use crate::error::ServiceError;
use domain::{ActorKind, ApplicationId, Confines, EventTypeName, OrganizationId, Role, User, UserId, lti::ToolGuid};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// Whoever runs the organization: may do everything in it.
    Organization(OrganizationId),
    /// One application: sees and changes only itself.
    Application(Arc<ApplicationActor>),
    /// Somebody who is signed in.
    Person(Arc<Person>),
}

/// Somebody who is signed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// Where.
    pub organization: OrganizationId,
    /// Which user; absent with the operator's link.
    pub user: Option<UserId>,
    /// Whether it is no person but a tool that acts for the organization in an application.
    pub is_tool: bool,
    /// As the audit log names them.
    pub name: String,
    /// Whether they may do everything.
    pub operator: bool,
    /// What they may do in which application.
    pub roles: BTreeMap<ApplicationId, Role>,
    /// The application that they act in now: their role there says what they may.
    pub acting_in: Option<ApplicationId>,
}

impl Person {
    /// A user.
    pub fn of(user: &User) -> Self {
        Self {
            organization: user.organization.clone(),
            user: Some(user.id),
            is_tool: false,
            name: user.email.clone(),
            operator: user.operator,
            roles: user.roles.clone(),
            acting_in: None,
        }
    }
    /// Somebody with the operator's link.
    pub fn with_link(organization: OrganizationId) -> Self {
        let name = "sign-in link".to_owned();
        let (user, is_tool, roles) = (None, false, BTreeMap::new());
        Self { organization, user, is_tool, name, operator: true, roles, acting_in: None }
    }
    /// A tool. What it may do was decided before.
    pub(crate) fn tool(organization: OrganizationId, guid: &ToolGuid) -> Self {
        Self { is_tool: true, name: guid.to_string(), ..Self::with_link(organization) }
    }
    fn role(&self) -> Option<Role> {
        self.roles.get(&self.acting_in?).copied()
    }
}

/// What people may do, beside the capabilities that portal links know too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// See payloads, and answers of receivers, which may repeat them.
    SeePayloads,
    /// Change an application's settings.
    ManageApplication,
    /// Invite people to an application, and change their roles.
    ManagePeople,
    /// See what was done in an application.
    SeeAudit,
    /// See what belongs to an application as a whole: its settings, its webfilters.
    SeeWhole,
}

fn role_has(role: Role, capability: Capability) -> bool {
    match (role, capability) {
        (Role::Owner, _) | (_, Capability::ViewBase) => true,
        // What leaves the application is the owner's to decide.
        (Role::Assistant, capability) => capability != Capability::ManageTransformations,
        (Role::Viewer, _) => false,
    }
}

fn role_may(role: Role, permission: Permission) -> bool {
    match role {
        Role::Owner => true,
        Role::Assistant => matches!(permission, Permission::SeePayloads | Permission::SeeWhole),
        Role::Viewer => permission == Permission::SeeWhole,
    }
}

/// One application as an actor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationActor {
    /// Whose application it is.
    pub organization: OrganizationId,
    /// Itself.
    pub application: ApplicationId,
    /// Event types with one of these flags are shown to it.
    pub feature_flags: BTreeSet<EventTypeName>,
    /// What it may do; everything that applications may if absent.
    pub capabilities: Option<BTreeSet<Capability>>,
    /// Which channels it is limited to; none if absent.
    pub confines: Option<Confines>,
}

/// What the bearer of a portal link may do. The words are Svix's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Capability {
    /// See endpoints, messages and attempts.
    ViewBase,
    /// See an endpoint's signing secret.
    ViewEndpointSecret,
    /// Rotate it.
    ManageEndpointSecret,
    /// Change an endpoint's transformation.
    ManageTransformations,
    /// Resend and recover.
    CreateAttempts,
    /// Create, change and remove endpoints.
    ManageEndpoint,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ViewBase,
        Self::ViewEndpointSecret,
        Self::ManageEndpointSecret,
        Self::ManageTransformations,
        Self::CreateAttempts,
        Self::ManageEndpoint,
    ];
}

impl Actor {
    /// The organization that is acted in.
    pub fn organization(&self) -> &OrganizationId {
        match self {
            Self::Organization(organization) => organization,
            Self::Application(a) => &a.organization,
            Self::Person(p) => &p.organization,
        }
    }

    /// The organization, if the actor may do everything in it.
    pub fn must_be_organization(&self) -> Result<&OrganizationId, ServiceError> {
        match self {
            Self::Organization(organization) => Ok(organization),
            Self::Person(p) if p.operator => Ok(&p.organization),
            Self::Application(_) | Self::Person(_) => Err(ServiceError::Forbidden),
        }
    }

    /// Refuses an application that was not given this capability, and a person whose role does not have it.
    pub fn must_have(&self, capability: Capability) -> Result<(), ServiceError> {
        let may = match self {
            Self::Organization(_) => true,
            Self::Application(a) => a.capabilities.as_ref().is_none_or(|c| c.contains(&capability)),
            Self::Person(p) => p.operator || p.role().is_some_and(|role| role_has(role, capability)),
        };
        if may { Ok(()) } else { Err(ServiceError::Forbidden) }
    }

    /// Whether this is permitted where the actor acts now.
    pub fn may(&self, permission: Permission) -> bool {
        match self {
            Self::Organization(_) => true,
            // As with Svix: who may look may see what was sent.
            Self::Application(a) => match permission {
                Permission::SeePayloads => true,
                Permission::SeeWhole => a.confines.is_none(),
                Permission::ManageApplication | Permission::ManagePeople | Permission::SeeAudit => false,
            },
            Self::Person(p) => p.operator || p.role().is_some_and(|role| role_may(role, permission)),
        }
    }

    /// Refuses who has no such permission.
    pub fn must(&self, permission: Permission) -> Result<(), ServiceError> {
        if self.may(permission) { Ok(()) } else { Err(ServiceError::Forbidden) }
    }

    /// The same actor in an application: what a person may do depends on it. `None` if it is not theirs to see.
    pub fn acting_in(&self, application: ApplicationId) -> Option<Self> {
        match self {
            Self::Organization(_) => Some(self.clone()),
            Self::Application(a) => (a.application == application).then(|| self.clone()),
            Self::Person(p) => (p.operator || p.roles.contains_key(&application))
                .then(|| Self::Person(Arc::new(Person { acting_in: Some(application), ..(**p).clone() }))),
        }
    }

    /// As the audit log names it.
    pub fn in_the_log(&self) -> (ActorKind, String) {
        match self {
            Self::Organization(organization) => (ActorKind::Token, organization.to_string()),
            Self::Application(a) => match &a.confines {
                None => (ActorKind::Application, a.application.to_string()),
                Some(confines) => (ActorKind::Application, format!("{} ({confines})", a.application)),
            },
            Self::Person(p) if p.user.is_some() => (ActorKind::User, p.name.clone()),
            Self::Person(p) if p.is_tool => (ActorKind::Tool, p.name.clone()),
            Self::Person(p) => (ActorKind::Link, p.name.clone()),
        }
    }

    /// What the actor is limited to inside of the application; nothing if absent.
    pub fn confines(&self) -> Option<&Confines> {
        match self {
            Self::Organization(_) | Self::Person(_) => None,
            Self::Application(a) => a.confines.as_ref(),
        }
    }

    /// The flags whose event types are shown; all if absent.
    pub fn visible_flags(&self) -> Option<&BTreeSet<EventTypeName>> {
        match self {
            Self::Organization(_) | Self::Person(_) => None,
            Self::Application(a) => Some(&a.feature_flags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Ksuid;

    fn person(role: Option<Role>, operator: bool) -> Actor {
        let app = ApplicationId(Ksuid::MIN);
        let mut person = Person::with_link(OrganizationId::DEFAULT.parse().unwrap());
        person.operator = operator;
        person.roles = role.map(|r| (app, r)).into_iter().collect();
        Actor::Person(Arc::new(person))
    }
    fn allowed(actor: &Actor) -> (usize, Vec<Permission>) {
        use Permission as P;
        let all = [P::SeePayloads, P::ManageApplication, P::ManagePeople, P::SeeAudit, P::SeeWhole];
        let capabilities = Capability::ALL.iter().filter(|c| actor.must_have(**c).is_ok()).count();
        (capabilities, all.into_iter().filter(|p| actor.may(*p)).collect())
    }

    #[test]
    fn a_role_says_what_a_person_may_do_in_its_application_only() {
        use Permission as P;
        let app = ApplicationId(Ksuid::MIN);
        let all = vec![P::SeePayloads, P::ManageApplication, P::ManagePeople, P::SeeAudit, P::SeeWhole];
        let acting = |role| person(Some(role), false).acting_in(app).unwrap();
        assert_eq!(allowed(&acting(Role::Owner)), (6, all.clone()));
        assert_eq!(allowed(&acting(Role::Assistant)), (5, vec![P::SeePayloads, P::SeeWhole]));
        assert!(acting(Role::Assistant).must_have(Capability::ManageTransformations).is_err());
        assert_eq!(allowed(&acting(Role::Viewer)), (1, vec![P::SeeWhole]));
        assert_eq!(allowed(&person(Some(Role::Owner), false)), (0, vec![]), "nowhere in particular");
        assert!(person(Some(Role::Owner), false).acting_in(ApplicationId(Ksuid::MAX)).is_none());
        assert!(person(Some(Role::Owner), false).must_be_organization().is_err());
        let operator = person(None, true);
        assert_eq!(allowed(&operator), (6, all));
        assert!(operator.must_be_organization().is_ok() && operator.acting_in(app).is_some());
    }
}
