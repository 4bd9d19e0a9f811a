//! What leaves about people, to whom, and who agreed to that.
//!
//! Whoever adds an endpoint, or sends it elsewhere or more, is told what its receiver will learn about people; that they
//! agreed is written down with the endpoint. Programs are not stopped for want of it: they have nobody to ask, so an
//! endpoint that nobody agreed to says so wherever it is shown.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Capability},
    endpoints::EndpointChange,
    error::ServiceError,
    patch::Patch,
    platform,
};
use domain::{Application, Endpoint, EventType, Format, StudentDataConfirmation, Timestamp};
pub use platforms::catalog::DataClass;
use platforms::catalog::personal_data;
use std::{collections::BTreeMap, sync::Arc};
use url::Url;

/// Characters of a name at most.
pub(crate) const NAME_MAX: usize = 200;

/// What a receiver learns about people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disclosure {
    /// The host that gets it.
    pub recipient: String,
    /// Paths into payloads, and how closely what is there belongs to a person.
    pub fields: BTreeMap<String, DataClass>,
    /// Event types of which the catalogue does not say which data they hold.
    pub silent: usize,
    /// What the application's platform says about it.
    pub warning: Option<&'static str>,
}

/// Whether anybody agreed to what leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consent<'a> {
    /// Nothing about people leaves, as far as the catalogue knows.
    NotNeeded,
    /// Nobody did.
    Missing,
    /// Somebody did, before the endpoint was changed so that more leaves, or to somebody else.
    Outdated(&'a StudentDataConfirmation),
    /// Somebody did.
    Given(&'a StudentDataConfirmation),
}

impl Disclosure {
    /// Of an endpoint that may choose from these event types.
    fn of(endpoint: &Endpoint, application: &Application, types: &[EventType]) -> Self {
        let mut found = Self {
            recipient: recipient(&endpoint.url),
            warning: platform::about(application).warning,
            ..Self::default()
        };
        // Ids of the message and a link; what it is about stays here until somebody with a token fetches it.
        if endpoint.options.format == Format::Thin {
            return found;
        }
        for event_type in types.iter().filter(|t| endpoint.selects(&t.name)) {
            let schema = event_type.newest_schema();
            found.silent += usize::from(schema.is_none_or(|s| s.get("x-personal-data").is_none()));
            for (path, class) in personal_fields(event_type) {
                // Event types may disagree: the closer class counts.
                let known = found.fields.entry(path).or_insert(class);
                *known = class.min(*known);
            }
        }
        found
    }
    /// Whether somebody has to agree.
    pub fn is_asked(&self) -> bool {
        !self.fields.is_empty() || self.silent > 0
    }
    /// Whether somebody did.
    pub fn consent<'a>(&self, endpoint: &'a Endpoint) -> Consent<'a> {
        match &endpoint.options.student_data {
            _ if !self.is_asked() => Consent::NotNeeded,
            None => Consent::Missing,
            Some(given) if given.outdated => Consent::Outdated(given),
            Some(given) => Consent::Given(given),
        }
    }
}

/// The fields about people that an event type's schema lists: path and class.
pub fn personal_fields(event_type: &EventType) -> Vec<(String, DataClass)> {
    let listed = event_type.newest_schema().map(personal_data).unwrap_or_default();
    listed.into_iter().map(|data| (data.path.trim_start_matches("$.").to_owned(), data.class)).collect()
}

/// Who gets what is sent to an address: its host, which holds no credentials.
fn recipient(url: &str) -> String {
    Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default()
}

/// Who agreed, in words: the user who is signed in, the name that was given, or the kind of access that was used.
fn who(actor: &Actor, name: &str) -> String {
    let name = name.trim();
    if let Actor::Person(p) = actor
        && p.user.is_some()
    {
        return if name.is_empty() { p.name.clone() } else { format!("{name} ({})", p.name) };
    }
    if !name.is_empty() {
        return name.to_owned();
    }
    let is_operator = actor.must_be_organization().is_ok();
    (if is_operator { "the operator" } else { "somebody with access to the application" }).to_owned()
}

/// Writes down with a changed endpoint that somebody agreed, or that what was agreed to is not what happens now.
pub(crate) fn settle(
    before: Option<&Endpoint>,
    after: &mut Endpoint,
    by: &Patch<String>,
    actor: &Actor,
    now: Timestamp,
) {
    match by {
        Patch::Set(name) => {
            after.options.student_data = Some(StudentDataConfirmation {
                by: who(actor, name),
                at: now,
                recipient: recipient(&after.url),
                outdated: false,
            });
        }
        Patch::Clear => after.options.student_data = None,
        Patch::Keep => {
            let further = before.is_some_and(|before| after.reaches_further_than(before));
            if let Some(given) = &mut after.options.student_data {
                given.outdated |= further;
            }
        }
    }
}

impl Service {
    /// What an endpoint's receiver learns about people.
    pub async fn disclosure(&self, scope: &AppScope, endpoint: &Endpoint) -> Result<Disclosure, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let types = self.offered_event_types(scope, true).await?;
        Ok(Disclosure::of(endpoint, scope.application(), &types))
    }

    /// What each endpoint's receiver learns, of all endpoints of an application: for those who are asked who gets what.
    pub async fn disclosures(&self, scope: &AppScope) -> Result<Vec<(Arc<Endpoint>, Disclosure)>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let types = self.offered_event_types(scope, true).await?;
        let of = |e: &Arc<Endpoint>| (e.clone(), Disclosure::of(e, scope.application(), &types));
        Ok(scope.endpoints().map(of).collect())
    }

    /// What it would learn after a change, if somebody has to agree to that anew.
    pub async fn disclosure_after(
        &self,
        scope: &AppScope,
        which: &str,
        change: EndpointChange,
    ) -> Result<Option<Disclosure>, ServiceError> {
        let draft = self.draft(scope, Some(which), change).await?;
        let disclosure = self.disclosure(scope, &draft).await?;
        let is_open = matches!(disclosure.consent(&draft), Consent::Missing | Consent::Outdated(_));
        Ok(is_open.then_some(disclosure))
    }

    /// What the receiver of a new endpoint would learn.
    pub async fn disclosure_of_new(
        &self,
        scope: &AppScope,
        change: EndpointChange,
    ) -> Result<Disclosure, ServiceError> {
        let draft = self.draft(scope, None, change).await?;
        self.disclosure(scope, &draft).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrganizationId;

    #[test]
    fn the_recipient_is_a_host_without_credentials() {
        assert_eq!(recipient("https://me:secret@hooks.example.com:8443/x?token=1"), "hooks.example.com");
        assert_eq!(recipient("nonsense"), "");
    }

    #[test]
    fn a_given_name_is_kept_and_otherwise_the_kind_of_access() {
        let operator = Actor::Organization(OrganizationId::DEFAULT.parse().unwrap());
        assert_eq!(who(&operator, " Ada Example "), "Ada Example");
        assert_eq!(who(&operator, " "), "the operator");
    }
}
