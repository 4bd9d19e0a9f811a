//! Who is signed in to the dashboard. A session is a random text in a cookie; the table has its hash, so sessions
//! survive a restart and a stolen database opens none. What a user may do is read anew at each request.

use crate::{
    Service,
    actor::{Actor, ApplicationActor, Capability, Person},
    error::ServiceError,
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{ApplicationId, Confines, EventTypeName, OrganizationId, Timestamp, User, UserId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
pub use store::Notice;
use store::{KeyHash, Session};

/// Without a click for this long, one has to sign in again.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// And in any case after this long.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Signs of a person are written down this often.
const SIGN_EVERY: Duration = Duration::from_secs(60);

/// How a portal looks, as the address of its link said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Theme {
    /// Dark or light, whatever the browser prefers.
    pub dark: Option<bool>,
    /// Six hexadecimal digits.
    pub accent: Option<String>,
    /// A font of the viewer's machine.
    pub font: Option<String>,
    /// Without the bar at the top and the space around.
    pub no_gutters: bool,
    /// Without the application's rooms at the side as well.
    pub no_navigation: bool,
}

/// What a session is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// Somebody with the operator's link.
    Link,
    /// A user.
    User,
    /// The portal of one application.
    Portal {
        /// Which.
        application: ApplicationId,
        /// Event types with one of these flags are shown.
        flags: BTreeSet<EventTypeName>,
        /// What may be done; everything that applications may if absent.
        capabilities: Option<BTreeSet<Capability>>,
        /// Which channels it is limited to; none if absent.
        #[serde(default)]
        confines: Option<Confines>,
        /// How it looks.
        theme: Theme,
    },
}

/// A session that holds.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Names it to the operations below.
    pub hash: KeyHash,
    /// Who acts.
    pub actor: Actor,
    /// The user, if it is one.
    pub user: Option<User>,
    /// How the portal looks, if it is one.
    pub portal: Option<Theme>,
    /// To be said on this page.
    pub notice: Option<Notice>,
}

/// A new random text that opens a door, and its hash.
pub(crate) fn new_key() -> (String, KeyHash) {
    let mut random = [0; 32];
    store::seal::fill_random(&mut random);
    let text = URL_SAFE_NO_PAD.encode(random);
    let hash = key_hash(&text);
    (text, hash)
}

/// What is stored of it.
pub(crate) fn key_hash(text: &str) -> KeyHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

fn lives(session: &Session, now: Timestamp) -> bool {
    now.since(session.seen) < IDLE && now < session.expires_at
}

impl Service {
    async fn begin(
        &self,
        organization: &OrganizationId,
        user: Option<UserId>,
        standing: &Standing,
        until: Option<Timestamp>,
    ) -> Result<String, ServiceError> {
        let (key, hash) = new_key();
        let now = self.now();
        let end = now.plus(LIFETIME);
        let session = Session {
            hash,
            organization: organization.clone(),
            user,
            standing: serde_json::to_string(standing).map_err(|_| ServiceError::Internal)?,
            since: now,
            seen: now,
            expires_at: until.map_or(end, |until| until.min(end)),
            notice: None,
        };
        self.store.begin_session(session).await?;
        Ok(key)
    }

    /// Begins the session of a user; answers its cookie.
    pub(crate) async fn begin_for_user(&self, user: &User) -> Result<String, ServiceError> {
        self.begin(&user.organization, Some(user.id), &Standing::User, None).await
    }

    /// Begins the session of somebody with the operator's link.
    pub(crate) async fn begin_for_link(&self, organization: &OrganizationId) -> Result<String, ServiceError> {
        self.begin(organization, None, &Standing::Link, None).await
    }

    /// Opens the portal with an application's token; answers the session's cookie. Only application tokens: an
    /// organization's token in a form would be the whole server to lose.
    pub async fn open_portal(&self, token: &str, theme: Theme) -> Result<Option<String>, ServiceError> {
        let Ok((Actor::Application(a), until)) = self.tokens.read_with_end(token, self.now()) else { return Ok(None) };
        let a = Arc::unwrap_or_clone(a);
        let standing = Standing::Portal {
            application: a.application,
            flags: a.feature_flags,
            capabilities: a.capabilities,
            confines: a.confines,
            theme,
        };
        self.begin(&a.organization, None, &standing, until).await.map(Some)
    }

    /// The session of a cookie, if it holds. `by_person` says that it is a sign of the person, not of a script.
    pub async fn session(&self, key: &str, by_person: bool) -> Result<Option<OpenSession>, ServiceError> {
        let now = self.now();
        let Some(session) = self.store.session(key_hash(key)).await?.filter(|s| lives(s, now)) else {
            return Ok(None);
        };
        let Ok(standing) = serde_json::from_str::<Standing>(&session.standing) else { return Ok(None) };
        let (mut user, mut portal) = (None, None);
        let actor = match standing {
            Standing::Link => Actor::Person(Arc::new(Person::with_link(session.organization.clone()))),
            Standing::User => {
                let found = match session.user {
                    Some(id) => self.store.user(id).await?,
                    None => None,
                };
                let Some(found) = found.filter(|u| !u.disabled) else { return Ok(None) };
                let actor = Actor::Person(Arc::new(Person::of(&found)));
                user = Some(found);
                actor
            }
            Standing::Portal { application, flags, capabilities, confines, theme } => {
                portal = Some(theme);
                Actor::Application(Arc::new(ApplicationActor {
                    organization: session.organization.clone(),
                    application,
                    feature_flags: flags,
                    capabilities,
                    confines,
                }))
            }
        };
        if by_person && now.since(session.seen) >= SIGN_EVERY {
            self.store.touch_session(session.hash, now).await?;
        }
        let notice = session.notice.filter(|_| by_person);
        Ok(Some(OpenSession { hash: session.hash, actor, user, portal, notice }))
    }

    /// Puts down what is said on the next page, or takes it away.
    pub async fn put_notice(&self, session: &OpenSession, notice: Option<Notice>) -> Result<(), ServiceError> {
        Ok(self.store.put_notice(session.hash, notice).await?)
    }

    /// Ends the session of a cookie.
    pub async fn sign_out(&self, key: &str) -> Result<(), ServiceError> {
        Ok(self.store.end_session(key_hash(key)).await?)
    }

    /// Ends all other sessions of a user; answers how many these were.
    pub async fn sign_out_elsewhere(&self, session: &OpenSession) -> Result<u64, ServiceError> {
        let user = session.user.as_ref().ok_or(ServiceError::Forbidden)?;
        let ended = self.store.end_sessions_of(user.id, Some(session.hash)).await?;
        self.note(&session.actor, None, domain::Action::SignedOutEverywhere, user.id, "").await;
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_idle_and_after_its_lifetime() {
        let start = Timestamp::from_micros(0);
        let at = |minutes| start.plus(Duration::from_secs(60) * minutes);
        let session = Session {
            hash: [0; 32],
            organization: OrganizationId::DEFAULT.parse().unwrap(),
            user: None,
            standing: String::new(),
            since: start,
            seen: at(30),
            expires_at: at(80),
            notice: None,
        };
        assert!(lives(&session, at(79)));
        assert!(!lives(&session, at(80)), "its lifetime");
        let session = Session { expires_at: at(1000), ..session };
        assert!(lives(&session, at(89)) && !lives(&session, at(90)), "idle");
    }

    #[test]
    fn keys_are_random_and_their_hash_says_nothing_of_them() {
        let ((a, a_hash), (b, b_hash)) = (new_key(), new_key());
        assert!(a != b && a_hash != b_hash && a.len() == 43);
        assert_eq!(key_hash(&a), a_hash);
    }

    #[test]
    fn a_standing_reads_back() {
        let standing = Standing::Portal {
            application: ApplicationId(domain::Ksuid::MIN),
            flags: [EventTypeName::new("beta").unwrap()].into(),
            capabilities: Some([Capability::ViewBase].into()),
            confines: Some(Confines::to([domain::Channel::new("course:45").unwrap()].into()).unwrap()),
            theme: Theme { dark: Some(true), ..Theme::default() },
        };
        let text = serde_json::to_string(&standing).unwrap();
        assert_eq!(serde_json::from_str::<Standing>(&text).unwrap(), standing);
    }
}
