//! What a platform brings to an application: its event types, what its endpoints start out with, and the schemas that
//! payloads have to fit. Everything it brings can be changed afterwards.

use crate::{
    Service,
    error::{Problem, ServiceError},
};
use domain::{Application, EndpointOptions, EventTypeName, OrganizationId};
use platforms::{EndpointDefaults, Platform};
use std::borrow::Cow;
use store::StoreError;

/// What is said of a name that no platform has.
pub(crate) fn unknown() -> String {
    let names: Vec<_> = platforms::catalog::all().iter().map(|p| p.name).collect();
    format!("there is no such platform: use one of {}", names.join(", "))
}

/// The platform of an application, if it has one.
pub(crate) fn of(application: &Application) -> Option<&'static Platform> {
    application.options.platform.as_deref().and_then(platforms::by_name)
}

/// What an endpoint of this application starts out with.
pub(crate) fn defaults(application: &Application) -> Option<EndpointDefaults> {
    of(application).map(Platform::defaults)
}

/// The options that an endpoint of this application starts out with.
pub(crate) fn default_options(application: &Application) -> EndpointOptions {
    defaults(application).map(EndpointDefaults::options).unwrap_or_default()
}

/// Refuses a payload that does not fit its event type, with every place that does not.
pub(crate) fn must_fit(application: &Application, name: &EventTypeName, payload: &[u8]) -> Result<(), ServiceError> {
    let Some(platform) = of(application) else { return Ok(()) };
    let misfits = platform.misfits(name, payload);
    if misfits.is_empty() {
        return Ok(());
    }
    Err(ServiceError::Invalid(misfits.into_iter().map(|m| problem(&m.path, m.message)).collect()))
}

/// A problem at a JSON pointer into the payload.
fn problem(pointer: &str, message: String) -> Problem {
    let steps = pointer.split('/').skip(1).map(|step| Cow::Owned(step.replace("~1", "/").replace("~0", "~")));
    let loc = [Cow::Borrowed("body"), Cow::Borrowed("payload")].into_iter().chain(steps).collect();
    Problem { loc, msg: message.into(), kind: Problem::RULE }
}

impl Service {
    /// Installs a platform's event types in an organization. What exists, archived or not, stays as it is.
    pub(crate) async fn install_catalogue(
        &self,
        organization: &OrganizationId,
        name: Option<&String>,
    ) -> Result<(), StoreError> {
        let Some(platform) = name.and_then(|name| platforms::by_name(name)) else { return Ok(()) };
        for entry in platform.event_types() {
            if self.store.event_type(organization, &entry.name).await?.is_none() {
                self.store.put_event_type(organization, entry.to_event_type(self.now()), true).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_problem_names_the_place_step_by_step() {
        let problem = super::problem("/student/a~1b/0", "is missing".to_owned());
        assert_eq!(problem.loc, ["body", "payload", "student", "a/b", "0"]);
        assert_eq!(super::problem("", String::new()).loc, ["body", "payload"]);
    }
}
