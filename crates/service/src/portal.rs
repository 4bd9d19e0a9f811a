//! Access of one application's people to their portal: a link with a token in it.

use crate::{
    Service,
    actor::{Actor, ApplicationActor, Capability},
    applications::ApplicationInput,
    check::Check,
    error::ServiceError,
    token::APPLICATION_LIFETIME,
};
use domain::{Action, EventTypeName};
use std::{collections::BTreeSet, time::Duration};

/// What a portal link should allow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortalRequest {
    /// Event types with one of these flags are shown.
    pub feature_flags: Vec<String>,
    /// What its bearer may do; everything that applications may if absent.
    pub capabilities: Option<BTreeSet<Capability>>,
    /// Limits it to endpoints and messages of these channels; to nothing if absent.
    pub channels: Option<Vec<String>>,
    /// Seconds until it ends; 28 days if absent.
    pub expiry: Option<i64>,
    /// Made if the application does not exist.
    pub application: Option<ApplicationInput>,
}

/// A way into the portal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortalAccess {
    /// Where to send the person.
    pub url: String,
    /// The application token that is in it.
    pub token: String,
}

fn request_in_words(portal: &ApplicationActor) -> String {
    let capabilities = match &portal.capabilities {
        Some(some) => some.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>().join(", "),
        None => "every capability".to_owned(),
    };
    match &portal.confines {
        Some(confines) => format!("{capabilities}; limited to {confines}"),
        None => capabilities,
    }
}

impl Service {
    /// Makes a portal link for an application.
    pub async fn portal_access(
        &self,
        actor: &Actor,
        app: &str,
        request: PortalRequest,
    ) -> Result<PortalAccess, ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut check = Check::body();
        let mut flags = BTreeSet::new();
        for flag in &request.feature_flags {
            match EventTypeName::new(flag) {
                Ok(flag) => {
                    flags.insert(flag);
                }
                Err(e) => check.fail(&["feature_flags", "__all__"], e.to_string()),
            }
        }
        let channels = request.channels.as_ref().map(|names| check.channels(names));
        check.range("expiry", request.expiry, 3_600..=604_800);
        check.finish()?;
        let entry = self.find_or_create(organization, app, request.application.as_ref()).await?;
        let portal = ApplicationActor {
            organization: organization.clone(),
            application: entry.application.id,
            feature_flags: flags,
            capabilities: request.capabilities,
            confines: self.confines_of(&entry.application, channels).await?,
        };
        let lifetime = request.expiry.map_or(APPLICATION_LIFETIME, |s| Duration::from_secs(s.unsigned_abs()));
        let token = self.tokens.for_application(&portal, self.now(), lifetime);
        let detail = request_in_words(&portal);
        self.note(actor, Some(portal.application), Action::PortalLinkCreated, portal.application, detail).await;
        // Behind the hash sign, so that the token does not end up in the logs of proxies.
        let url = format!("{}/portal#key={token}", self.settings.public_url);
        Ok(PortalAccess { url, token })
    }
}
