//! Users and invitations: who may let whom in, and to what. An operator lets people in everywhere; an application's
//! owner into that application.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Permission},
    check::Check,
    error::ServiceError,
    password::complaint,
    sessions::{OpenSession, key_hash, new_key},
    sign_in::SignInError,
};
use domain::{
    Action, ActorKind, ApplicationId, Grant, Invitation, InvitationId, Ksuid, PageOf, PageQuery, Role, Subject, User,
    UserId,
};
use std::{collections::BTreeMap, time::Duration};
use store::{Guest, StoreError, UserChange};

/// How long an invitation works.
const INVITATION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Invitations that may be open at once in an organization.
const INVITATIONS_MAX: usize = 500;

/// Somebody who becomes a user with a password.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewUser {
    /// For people.
    pub name: String,
    /// For signing in.
    pub email: String,
    /// Theirs alone.
    pub password: String,
}

/// An invitation as its guest sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// What it gives.
    pub invitation: Invitation,
    /// The name of the application, if it is to one.
    pub application: Option<String>,
}

/// What somebody may do, as it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// An operator, or not.
    Operator(bool),
    /// Kept out, or let in again.
    Disabled(bool),
}

pub(crate) fn read_email(text: &str, check: &mut Check) -> String {
    let email = text.trim().to_lowercase();
    let looks_right = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.len() > 1)
        && email.len() <= 254
        && !email.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'));
    if !looks_right {
        check.fail(&["email"], "This is not an e-mail address");
    }
    email
}

fn read_name(text: &str, check: &mut Check) -> String {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 100 || name.contains(char::is_control) {
        check.fail(&["name"], "Give a name of at most 100 characters");
    }
    name.to_owned()
}

fn taken(e: StoreError) -> ServiceError {
    match e {
        StoreError::UidTaken => ServiceError::invalid(
            &["body", "email"],
            "Somebody with this e-mail address is a user already. If it is you, sign in and open the link again",
        ),
        e => e.into(),
    }
}

impl Service {
    async fn read_user(&self, new: NewUser, actor: &domain::OrganizationId) -> Result<User, ServiceError> {
        let mut check = Check::body();
        let (name, email) = (read_name(&new.name, &mut check), read_email(&new.email, &mut check));
        if let Some(complaint) = complaint(&new.password, &email) {
            check.fail(&["password"], complaint);
        }
        check.finish()?;
        let password = Some(self.passwords.hash(&new.password).await?);
        let (id, created_at) = self.next_id();
        Ok(User {
            id: UserId(id),
            organization: actor.clone(),
            email,
            name,
            password,
            subject: None,
            operator: false,
            disabled: false,
            roles: BTreeMap::new(),
            created_at,
        })
    }

    /// Whether nobody can sign in as an operator but with the link.
    pub async fn wants_operator(&self, actor: &Actor) -> Result<bool, ServiceError> {
        let Ok(organization) = actor.must_be_organization() else { return Ok(false) };
        Ok(self.store.count_operators(organization).await? == 0)
    }

    /// Makes a user who is an operator, for whoever came with the link; answers the cookie of their session.
    pub async fn create_operator(&self, actor: &Actor, new: NewUser) -> Result<String, ServiceError> {
        let organization = actor.must_be_organization()?;
        let user = User { operator: true, ..self.read_user(new, organization).await? };
        self.store.create_user(user.clone()).await.map_err(taken)?;
        self.note(actor, None, Action::UserCreated, user.id, format!("{}, operator", user.email)).await;
        self.begin_for_user(&user).await
    }

    /// A page of the organization's users.
    pub async fn users(&self, actor: &Actor, page: PageQuery<Ksuid>) -> Result<PageOf<User>, ServiceError> {
        let organization = actor.must_be_organization()?;
        Ok(self.store.users(organization, None, page).await?)
    }

    /// A page of those with a role in an application.
    pub async fn users_of(&self, scope: &AppScope, page: PageQuery<Ksuid>) -> Result<PageOf<User>, ServiceError> {
        scope.must(Permission::ManagePeople)?;
        let app = scope.application();
        Ok(self.store.users(&app.organization, Some(app.id), page).await?)
    }

    async fn user_for(&self, actor: &Actor, id: &str) -> Result<User, ServiceError> {
        let id: UserId = id.parse().map_err(|_| ServiceError::NO_USER)?;
        let user = self.store.user(id).await?.ok_or(ServiceError::NO_USER)?;
        if &user.organization == actor.organization() { Ok(user) } else { Err(ServiceError::NO_USER) }
    }

    /// Nobody changes their own rights, so that nobody locks themselves out by a slip.
    pub(crate) fn must_be_other(actor: &Actor, user: &User) -> Result<(), ServiceError> {
        match actor {
            Actor::Person(p) if p.user == Some(user.id) => {
                Err(ServiceError::Conflict("You cannot change your own rights; somebody else has to".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// One of the organization's users.
    pub async fn user(&self, actor: &Actor, id: &str) -> Result<User, ServiceError> {
        actor.must_be_organization()?;
        self.user_for(actor, id).await
    }

    /// Changes what somebody is in the whole organization. Who loses access is signed out at once.
    pub async fn change_standing(&self, actor: &Actor, id: &str, to: Standing) -> Result<User, ServiceError> {
        actor.must_be_organization()?;
        let user = self.user_for(actor, id).await?;
        Self::must_be_other(actor, &user)?;
        let (change, detail) = match to {
            Standing::Operator(on) => (UserChange::Operator(on), if on { "is operator" } else { "is not an operator" }),
            Standing::Disabled(on) => (UserChange::Disabled(on), if on { "has no access" } else { "has access again" }),
        };
        self.store.change_user(user.id, change).await?;
        if to == Standing::Disabled(true) {
            self.store.end_sessions_of(user.id, None).await?;
        }
        self.note(actor, None, Action::UserUpdated, user.id, format!("{} {detail}", user.email)).await;
        Ok(user)
    }

    /// Gives a user a role in an application, or takes it away.
    pub async fn change_role(&self, scope: &AppScope, id: &str, role: Option<Role>) -> Result<User, ServiceError> {
        scope.must(Permission::ManagePeople)?;
        let app = scope.application().id;
        let user = self.user_for(scope.actor(), id).await?;
        // An owner learns of those only who are in already; others come by invitation.
        if !user.roles.contains_key(&app) && scope.must_be_organization().is_err() {
            return Err(ServiceError::NO_USER);
        }
        Self::must_be_other(scope.actor(), &user)?;
        self.store.change_user(user.id, UserChange::Role(app, role)).await?;
        let detail = role.map_or("has no role", Role::text);
        self.note_in(scope, Action::UserUpdated, user.id, format!("{}: {detail}", user.email)).await;
        Ok(user)
    }

    /// Removes a user, who is signed out at once.
    pub async fn delete_user(&self, actor: &Actor, id: &str) -> Result<User, ServiceError> {
        actor.must_be_organization()?;
        let user = self.user_for(actor, id).await?;
        Self::must_be_other(actor, &user)?;
        self.store.delete_user(user.id).await?;
        self.note(actor, None, Action::UserDeleted, user.id, &user.email).await;
        Ok(user)
    }

    /// Changes the password of whoever is signed in, and ends their other sessions.
    pub async fn change_password(&self, session: &OpenSession, old: &str, new: &str) -> Result<(), ServiceError> {
        let user = session.user.as_ref().ok_or(ServiceError::Forbidden)?;
        let mut check = Check::body();
        // Guesses count here too, or a session left open would be a way to try passwords.
        let now = self.now();
        if !self.guesses.may(&user.email, "", now) {
            return Err(ServiceError::LimitReached(SignInError::TooOften.to_string()));
        }
        self.guesses.failed(&user.email, "", now);
        if user.password.is_some() && !self.passwords.verify(old, user.password.as_deref()).await? {
            check.fail(&["old"], "This is not your password");
        }
        if let Some(complaint) = complaint(new, &user.email) {
            check.fail(&["password"], complaint);
        }
        check.finish()?;
        self.guesses.succeeded(&user.email);
        let hash = self.passwords.hash(new).await?;
        self.store.change_user(user.id, UserChange::Password(hash)).await?;
        self.store.end_sessions_of(user.id, Some(session.hash)).await?;
        self.note(&session.actor, None, Action::PasswordChanged, user.id, "").await;
        Ok(())
    }

    /// How many sessions of a user are open.
    pub async fn sessions_of(&self, user: &User) -> Result<u64, ServiceError> {
        Ok(self.store.count_sessions_of(user.id, self.now()).await?)
    }

    async fn invite(&self, actor: &Actor, grant: Grant, for_whom: &str) -> Result<(Invitation, String), ServiceError> {
        let (organization, now) = (actor.organization().clone(), self.now());
        let mut check = Check::body();
        if for_whom.chars().count() > 200 || for_whom.contains(char::is_control) {
            check.fail(&["for"], "Use at most 200 characters");
        }
        check.finish()?;
        if self.store.invitations(&organization, None, now).await?.len() >= INVITATIONS_MAX {
            let text = format!("At most {INVITATIONS_MAX} invitations can be open at once. Withdraw some first");
            return Err(ServiceError::LimitReached(text));
        }
        let (key, hash) = new_key();
        let (id, created_at) = self.next_id();
        let invitation = Invitation {
            id: InvitationId(id),
            organization,
            grant,
            for_whom: for_whom.trim().to_owned(),
            invited_by: actor.in_the_log().1,
            created_at,
            expires_at: now.plus(INVITATION_LIFETIME),
        };
        self.store.create_invitation(hash, invitation.clone()).await?;
        let (app, what) = match grant {
            Grant::Operator => (None, "operator"),
            Grant::In(app, role) => (Some(app), role.text()),
        };
        let detail = format!("{what}, for {}", invitation.for_whom);
        self.note(actor, app, Action::InvitationCreated, invitation.id, detail).await;
        Ok((invitation, format!("{}/invitation?key={key}", self.settings.public_url)))
    }

    /// Invites an operator; answers the link, which is shown this once.
    pub async fn invite_operator(&self, actor: &Actor, for_whom: &str) -> Result<(Invitation, String), ServiceError> {
        actor.must_be_organization()?;
        self.invite(actor, Grant::Operator, for_whom).await
    }

    /// Invites somebody to an application; answers the link, which is shown this once.
    pub async fn invite_to(
        &self,
        scope: &AppScope,
        role: Role,
        for_whom: &str,
    ) -> Result<(Invitation, String), ServiceError> {
        scope.must(Permission::ManagePeople)?;
        self.invite(scope.actor(), Grant::In(scope.application().id, role), for_whom).await
    }

    /// Invitations that are open: all of the organization.
    pub async fn invitations(&self, actor: &Actor) -> Result<Vec<Invitation>, ServiceError> {
        let organization = actor.must_be_organization()?;
        Ok(self.store.invitations(organization, None, self.now()).await?)
    }

    /// Invitations to an application that are open.
    pub async fn invitations_to(&self, scope: &AppScope) -> Result<Vec<Invitation>, ServiceError> {
        scope.must(Permission::ManagePeople)?;
        let app = scope.application();
        Ok(self.store.invitations(&app.organization, Some(app.id), self.now()).await?)
    }

    /// Takes an invitation back.
    pub async fn withdraw_user_invitation(&self, actor: &Actor, id: &str) -> Result<(), ServiceError> {
        actor.must_be_organization()?;
        self.withdraw(actor, None, id).await
    }

    /// Takes an invitation to an application back.
    pub async fn withdraw_invitation_to(&self, scope: &AppScope, id: &str) -> Result<(), ServiceError> {
        let open = self.invitations_to(scope).await?;
        if !open.iter().any(|i| i.id.to_string() == id) {
            return Err(ServiceError::NO_INVITATION);
        }
        self.withdraw(scope.actor(), Some(scope.application().id), id).await
    }

    async fn withdraw(&self, actor: &Actor, app: Option<ApplicationId>, id: &str) -> Result<(), ServiceError> {
        let id: InvitationId = id.parse().map_err(|_| ServiceError::NO_INVITATION)?;
        if !self.store.withdraw_invitation(actor.organization(), id).await? {
            return Err(ServiceError::NO_INVITATION);
        }
        self.note(actor, app, Action::InvitationWithdrawn, id, "").await;
        Ok(())
    }

    /// What the link of an invitation leads to. Looking does not use it up.
    pub async fn welcome(&self, key: &str) -> Result<Option<Welcome>, ServiceError> {
        let Some(invitation) = self.store.invitation(key_hash(key), self.now()).await? else { return Ok(None) };
        let application = match invitation.grant {
            Grant::Operator => None,
            Grant::In(app, _) => {
                let found = self.directory.find(&invitation.organization, &app.to_string()).await?;
                // To an application that is gone, nobody can be welcomed.
                let Some(entry) = found else { return Ok(None) };
                Some(entry.application.name.clone())
            }
        };
        Ok(Some(Welcome { invitation, application }))
    }

    /// Makes a user of a guest with a password; answers the cookie of their session.
    pub async fn accept_invitation(&self, key: &str, new: NewUser) -> Result<String, ServiceError> {
        let welcome = self.welcome(key).await?.ok_or(ServiceError::NO_INVITATION)?;
        let user = self.read_user(new, &welcome.invitation.organization).await?;
        self.come_in(key, Guest::New(user.clone()), &user.email).await?;
        self.begin_for_user(&user).await
    }

    /// Gives a user who is signed in what an invitation grants.
    pub async fn join(&self, session: &OpenSession, key: &str) -> Result<(), ServiceError> {
        let user = session.user.as_ref().ok_or(ServiceError::Forbidden)?;
        let welcome = self.welcome(key).await?.ok_or(ServiceError::NO_INVITATION)?;
        if welcome.invitation.organization != user.organization {
            return Err(ServiceError::NO_INVITATION);
        }
        self.come_in(key, Guest::Existing(user.id), &user.email).await
    }

    async fn come_in(&self, key: &str, guest: Guest, email: &str) -> Result<(), ServiceError> {
        let (id, action) = match &guest {
            Guest::New(user) => (user.id, Action::UserCreated),
            Guest::Existing(id) => (*id, Action::UserUpdated),
        };
        let used = self.store.use_invitation(key_hash(key), self.now(), guest).await.map_err(taken)?;
        let invitation = used.ok_or(ServiceError::NO_INVITATION)?;
        let (app, what) = match invitation.grant {
            Grant::Operator => (None, "operator"),
            Grant::In(app, role) => (Some(app), role.text()),
        };
        let who = (ActorKind::User, email.to_owned());
        let detail = format!("{email}: {what}, invited by {}", invitation.invited_by);
        self.note_as(&invitation.organization, who, app, action, id, detail).await;
        Ok(())
    }

    /// Signs in whom an OpenID provider names; makes a user of them if they bring an invitation. Answers the cookie.
    pub(crate) async fn sign_in_as(
        &self,
        subject: Subject,
        email: Option<&str>,
        name: Option<&str>,
        invitation: Option<&str>,
    ) -> Result<String, SignInError> {
        let known = self.store.user_by_subject(&subject).await.map_err(ServiceError::from)?;
        let user = match (known, invitation) {
            (Some(user), _) if user.disabled => return Err(SignInError::Wrong),
            (Some(user), invitation) => {
                if let Some(key) = invitation {
                    self.come_in(key, Guest::Existing(user.id), &user.email).await?;
                }
                user
            }
            (None, None) => return Err(SignInError::Uninvited(subject.issuer)),
            (None, Some(key)) => {
                let welcome = self.welcome(key).await?.ok_or(ServiceError::NO_INVITATION)?;
                let mut check = Check::body();
                let email = read_email(email.unwrap_or_default(), &mut check);
                if check.finish().is_err() {
                    return Err(SignInError::Provider("the provider did not say your e-mail address".to_owned()));
                }
                let (id, created_at) = self.next_id();
                let user = User {
                    id: UserId(id),
                    organization: welcome.invitation.organization,
                    name: name.map(|n| n.chars().filter(|c| !c.is_control()).take(100).collect()).unwrap_or_default(),
                    email,
                    password: None,
                    subject: Some(subject),
                    operator: false,
                    disabled: false,
                    roles: BTreeMap::new(),
                    created_at,
                };
                self.come_in(key, Guest::New(user.clone()), &user.email).await?;
                user
            }
        };
        let cookie = self.begin_for_user(&user).await?;
        let who = (ActorKind::User, user.email.clone());
        self.note_as(&user.organization, who, None, Action::SignedIn, user.id, "OpenID Connect").await;
        Ok(cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_that_cannot_be_are_refused() {
        let email = |text: &str| {
            let mut check = Check::body();
            let email = read_email(text, &mut check);
            check.finish().map(|()| email).ok()
        };
        assert_eq!(email(" Ada@Example.EDU "), Some("ada@example.edu".into()));
        for bad in ["", "ada", "@example.edu", "ada@", "a b@c.d", "a@b,c@d", "a\n@b.c"] {
            assert_eq!(email(bad), None, "{bad}");
        }
        let name = |text: &str| {
            let mut check = Check::body();
            read_name(text, &mut check);
            check.finish().is_ok()
        };
        assert!(name("Ada <b>") && !name(" ") && !name("a\u{7}") && !name(&"a".repeat(101)));
    }
}
