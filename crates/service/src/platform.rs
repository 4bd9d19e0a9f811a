//! What a platform brings to an application: its event types, what its endpoints start out with, and the words
//! for people. Everything it brings can be changed afterwards.

use crate::{Service, access::AppScope, error::ServiceError};
use domain::{Application, EndpointDefaults, EventType, EventTypeName, Order, OrganizationId, PageQuery};
use platforms::{Platform, catalog::RetryPreset};
use store::StoreError;

/// Event types that are looked at for a choice.
const OFFERED_MAX: usize = 1_000;

/// What is said of a name that no platform has.
pub(crate) fn unknown() -> String {
    let names: Vec<_> = platforms::catalog::all().iter().map(|p| p.name).collect();
    format!("there is no such platform: use one of {}", names.join(", "))
}

/// The platform of an application, if it has one.
pub(crate) fn of(application: &Application) -> Option<&'static Platform> {
    application.options.platform.as_deref().and_then(platforms::by_name)
}

/// What its platform says that endpoints start out with.
fn own_defaults(platform: Option<&Platform>) -> EndpointDefaults {
    platform.map(Platform::defaults).unwrap_or_default()
}

/// What an endpoint of this application starts out with: as was set for the application, or as its platform says.
pub(crate) fn defaults(application: &Application) -> EndpointDefaults {
    application.options.endpoint_defaults.clone().unwrap_or_else(|| own_defaults(of(application)))
}

/// Whether an application offers this event type: not if it belongs to another platform's catalogue alone. (The event types
/// of all platforms in use are the organization's.)
fn offers(platform: Option<&Platform>, name: &EventTypeName) -> bool {
    let Some(mine) = platform.filter(|p| !p.event_types().is_empty()) else { return true };
    mine.event_type(name).is_some() || platforms::catalog::all().iter().all(|other| other.event_type(name).is_none())
}

/// What a person has to know of an application's platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Its name for people; empty without one.
    pub title: &'static str,
    /// What an application is there.
    pub noun: &'static str,
    /// What its endpoints start out with.
    pub defaults: EndpointDefaults,
    /// Whether that was changed for the application, and is not as the platform says.
    pub has_own_defaults: bool,
    /// Whether its endpoints have, or may have, a secret that travels in the body.
    pub has_body_secrets: bool,
    /// What has to be read and agreed to before personal data goes out.
    pub warning: Option<&'static str>,
    /// Whether the history of what students handed in can be read.
    pub has_submissions: bool,
}

/// The ready-made choices of waits between tries.
pub fn retry_presets() -> impl Iterator<Item = RetryPreset> {
    platforms::catalog::retry_presets().into_iter()
}

/// What a person has to know of an application's platform.
pub fn about(application: &Application) -> About {
    let of_platform = about_platform(of(application));
    let defaults = defaults(application);
    About {
        has_own_defaults: application.options.endpoint_defaults.is_some(),
        has_body_secrets: of_platform.has_body_secrets || defaults.body_secret,
        defaults,
        ..of_platform
    }
}

fn about_platform(platform: Option<&Platform>) -> About {
    let platform = platform.filter(|p| p.name != platforms::catalog::STANDARD.name);
    let defaults = own_defaults(platform);
    let hand_in = EventTypeName::new(platforms::replit::EVENT).ok();
    About {
        title: platform.map_or("", |p| p.title),
        noun: platform.map_or("application", |p| p.noun),
        has_own_defaults: false,
        has_body_secrets: defaults.body_secret,
        defaults,
        warning: platform.and_then(|p| p.warning),
        has_submissions: platform.zip(hand_in).is_some_and(|(p, event)| p.event_type(&event).is_some()),
    }
}

impl Service {
    /// The event types that an application's endpoints can choose from: by name, archived ones left out.
    pub async fn offered_event_types(
        &self,
        scope: &AppScope,
        with_content: bool,
    ) -> Result<Vec<EventType>, ServiceError> {
        let page = PageQuery { limit: OFFERED_MAX, cursor: None, order: Order::Ascending };
        let mut types = self.event_types(scope.actor(), false, with_content, page).await?.items;
        types.retain(|t| offers(of(scope.application()), &t.name));
        Ok(types)
    }

    /// Installs a platform's event types in an organization. What exists, archived or not, stays as it is.
    pub(crate) async fn install_catalogue(
        &self,
        organization: &OrganizationId,
        name: Option<&String>,
    ) -> Result<(), StoreError> {
        let Some(platform) = name.and_then(|name| platforms::by_name(name)) else { return Ok(()) };
        for entry in platform.event_types() {
            if self.store.event_type(organization, &entry.name).await?.is_none() {
                self.directory.put_event_type(organization, entry.to_event_type(self.now()), true).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_offers_its_platforms_event_types_and_those_of_none() {
        let offers = |platform: Option<&str>, name| {
            super::offers(platform.and_then(platforms::by_name), &EventTypeName::new(name).unwrap())
        };
        assert!(offers(Some("teachstack"), "room.closed") && offers(Some("teachstack"), "my.own"));
        assert!(!offers(Some("teachstack"), "track.started"));
        assert!(offers(None, "track.started") && offers(Some("standard"), "track.started"));
    }

    #[test]
    fn a_classroom_is_called_one_and_has_submissions() {
        let classroom = about_platform(platforms::by_name("replit"));
        assert_eq!((classroom.title, classroom.noun), ("Repl.it Classroom", "classroom"));
        assert!(classroom.has_submissions && classroom.has_body_secrets);
        let other = about_platform(platforms::by_name("standard"));
        assert_eq!((other.title, other.has_submissions), ("", false));
    }
}
