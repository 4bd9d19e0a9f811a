//! Whether a payload fits the schema of its event type. Asked for every message of an application with a platform: the
//! schema is the organization's own, which may have edited what the platform brought, and it is in memory, made ready.

use crate::{
    Service,
    error::{Problem, ServiceError},
    platform,
};
use domain::{Application, EventTypeName};
use platforms::Validator;
use quick_cache::sync::Cache;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};
use store::directory::StoredSchema;

/// Schemas made ready at most; the text they are made from is limited in bytes by the store's directory.
const READY: usize = 2_000;

/// A schema made ready, beside the text it was made from; `None` for one that cannot be used.
type Ready = (StoredSchema, Option<Arc<Validator>>);

/// Schemas made ready, by organization and event type.
pub(crate) struct Validators(Cache<Box<str>, Ready>);

impl Default for Validators {
    fn default() -> Self {
        Self(Cache::new(READY))
    }
}

impl Service {
    /// What payloads of this type have to fit in an application; nothing if it has no platform, or the type no schema.
    pub(crate) async fn validator(
        &self,
        application: &Application,
        name: &EventTypeName,
    ) -> Result<Option<Arc<Validator>>, ServiceError> {
        if platform::of(application).is_none_or(|p| p.event_types().is_empty()) {
            return Ok(None);
        }
        let organization = &application.organization;
        let Some(schema) = self.directory.schema(organization, name).await? else { return Ok(None) };
        let full = format!("{organization}/{name}");
        if let Some((made_from, ready)) = self.validators.0.get(full.as_str())
            && made_from.is(&schema)
        {
            return Ok(ready);
        }
        let text = schema.clone();
        let compile = move || Validator::compile(text.schema());
        let ready = match tokio::task::spawn_blocking(compile).await.map_err(|_| ServiceError::Internal)? {
            Ok(validator) => Some(Arc::new(validator)),
            Err(error) => {
                // Refusing every event for it would lose them.
                tracing::warn!(organization = %organization, event_type = %name, %error, "payloads are not checked");
                None
            }
        };
        self.validators.0.insert(full.into(), (schema, ready.clone()));
        Ok(ready)
    }

    /// Refuses a payload that does not fit its event type, with every place that does not.
    pub(crate) async fn must_fit(
        &self,
        application: &Application,
        name: &EventTypeName,
        payload: &[u8],
    ) -> Result<(), ServiceError> {
        self.validator(application, name).await?.map_or(Ok(()), |validator| fits(&validator, payload))
    }
}

/// The same, once it is known what it has to fit.
pub(crate) fn fits(validator: &Validator, payload: &[u8]) -> Result<(), ServiceError> {
    let payload: Value = serde_json::from_slice(payload)
        .map_err(|e| ServiceError::Invalid(vec![problem("", format!("is not JSON: {e}"))]))?;
    validator
        .validate(&payload)
        .map_err(|all| ServiceError::Invalid(all.into_iter().map(|p| problem(&p.path, p.message)).collect()))
}

/// A problem at a JSON pointer into the payload.
fn problem(pointer: &str, message: String) -> Problem {
    let steps = pointer.split('/').skip(1).map(|step| Cow::Owned(step.replace("~1", "/").replace("~0", "~")));
    let loc = [Cow::Borrowed("body"), Cow::Borrowed("payload")].into_iter().chain(steps).collect();
    Problem { loc, msg: message.into(), kind: Problem::RULE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_names_the_place_step_by_step() {
        let found = problem("/student/a~1b/0", "is missing".to_owned());
        assert_eq!(found.loc, ["body", "payload", "student", "a/b", "0"]);
        assert_eq!(problem("", String::new()).loc, ["body", "payload"]);
        let validator = Validator::compile(&json!({"required": ["n"]})).unwrap();
        assert!(fits(&validator, br#"{"n": 1}"#).is_ok());
        for wrong in [&b"{}"[..], b"not json"] {
            assert!(matches!(fits(&validator, wrong), Err(ServiceError::Invalid(_))));
        }
    }
}
