//! Options of an endpoint that came with Canvas, and are open to all: retry presets, limits after which it is switched off,
//! the subscription that deliveries name, signed bodies.

use crate::{check::Check, endpoints::EndpointExtras, error::ServiceError, patch::Patch};
use domain::{BodySigning, Encoding, Endpoint, EndpointOptions, EventTypeName, Format, Uid};
use platforms::catalog::{retry_preset, retry_presets};

/// What a body can be signed as.
const BODY_SIGNING: &str = "jwt";

pub(crate) fn check(extras: &EndpointExtras, check: &mut Check) {
    if let Some(name) = extras.retry_preset.value()
        && retry_preset(name).is_none()
    {
        let names: Vec<_> = retry_presets().iter().map(|p| p.name).collect();
        check.fail(&["retryPreset"], format!("there is no such preset: use one of {}", names.join(", ")));
    }
    if extras.body_signing.value().is_some_and(|kind| kind != BODY_SIGNING) {
        check.fail(&["bodySigning"], format!("must be {BODY_SIGNING}, or null for a body that is not signed"));
    }
    if let Some(limit) = extras.deactivate_after.value()
        && (limit.timeouts == 0 || limit.errors == 0)
    {
        check.fail(&["deactivateAfter"], "timeouts and errors must be at least 1");
    }
    if let Some(Err(e)) = extras.subscription_id.value().map(|id| Uid::new(id)) {
        check.fail(&["subscriptionId"], e.to_string());
    }
}

/// Changes options. The preset comes first: what is given beside it counts more.
pub(crate) fn apply_preset(extras: &EndpointExtras, options: &mut EndpointOptions) {
    match &extras.retry_preset {
        Patch::Keep => {}
        Patch::Clear => {
            options.retry_schedule = None;
            options.final_statuses.clear();
            options.deactivate_after = None;
        }
        Patch::Set(name) => {
            // Checked before.
            if let Some(preset) = retry_preset(name) {
                options.retry_schedule = Some(preset.schedule);
                options.final_statuses = preset.final_statuses;
                options.deactivate_after = preset.deactivate_after;
            }
        }
    }
}

/// Changes the other options of this file.
pub(crate) fn apply(extras: EndpointExtras, options: &mut EndpointOptions) {
    extras.deactivate_after.apply(&mut options.deactivate_after);
    // Both were checked before.
    extras.subscription_id.and_then(|id| Uid::new(&id).ok()).apply(&mut options.subscription_id);
    extras.body_signing.map(|_| BodySigning::Jwt).apply(&mut options.body_signing);
}

/// Refuses a selection of event types of which the format has no form: they would never be sent.
pub(crate) fn format_carries_selection(endpoint: &Endpoint) -> Result<(), ServiceError> {
    let format: Format = endpoint.options.format;
    let selected = endpoint.event_types.iter().flatten();
    let without: Vec<_> =
        selected.filter(|t| !platforms::format::carries(format, t)).map(EventTypeName::as_str).collect();
    if without.is_empty() {
        return Ok(());
    }
    let msg =
        format!("the format {format} has no form for {}: leave them out, or use another format", without.join(", "));
    Err(ServiceError::invalid(&["body", "eventTypes"], msg))
}

/// Refuses a web form as a signed body: the claims of a token are the members of an object.
pub(crate) fn body_can_be_signed(endpoint: &Endpoint) -> Result<(), ServiceError> {
    if endpoint.options.body_signing.is_none() || endpoint.options.encoding != Encoding::Form {
        return Ok(());
    }
    let msg = "a web form cannot be signed: use the encoding json, or leave the body unsigned";
    Err(ServiceError::invalid(&["body", "bodySigning"], msg))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::DeactivateAfter;

    #[test]
    fn a_preset_sets_all_three_and_null_takes_them_back() {
        let mut options = EndpointOptions { final_statuses: [404].into(), ..EndpointOptions::default() };
        let preset =
            |name: Patch<&str>| EndpointExtras { retry_preset: name.map(str::to_owned), ..EndpointExtras::default() };
        apply_preset(&preset(Patch::Set("canvas-live-events")), &mut options);
        assert_eq!(options.retry_schedule.as_ref().map(ToString::to_string).as_deref(), Some("2m,4m,8m"));
        assert!(options.final_statuses.is_empty());
        assert_eq!(options.deactivate_after, Some(DeactivateAfter { timeouts: 9_500, errors: 28_000 }));
        apply_preset(&preset(Patch::Keep), &mut options);
        assert!(options.deactivate_after.is_some());
        apply_preset(&preset(Patch::Clear), &mut options);
        assert_eq!(options, EndpointOptions::default());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let extras = EndpointExtras {
            retry_preset: Patch::Set("canvas".to_owned()),
            body_signing: Patch::Set("none".to_owned()),
            deactivate_after: Patch::Set(DeactivateAfter { timeouts: 1, errors: 0 }),
            subscription_id: Patch::Set("a b".to_owned()),
            ..EndpointExtras::default()
        };
        let mut found = Check::body();
        check(&extras, &mut found);
        let Err(ServiceError::Invalid(problems)) = found.finish() else { panic!("it was accepted") };
        let fields: Vec<_> = problems.iter().map(|p| p.loc[1].as_ref()).collect();
        assert_eq!(fields, ["retryPreset", "bodySigning", "deactivateAfter", "subscriptionId"]);
    }
}
