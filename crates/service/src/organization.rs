//! What an organization decides for its applications.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, ApplicationActor, Permission},
    check::Check,
    error::ServiceError,
    patch::Patch,
    token::APPLICATION_LIFETIME,
};
use domain::Action;
use std::collections::BTreeSet;
pub use store::{Branding, OrganizationOptions};

impl Service {
    /// What it decided; all absent if nothing.
    pub async fn organization_options(&self, actor: &Actor) -> Result<OrganizationOptions, ServiceError> {
        let organization = actor.must_be_organization()?;
        Ok(self.store.organization_options(organization).await?)
    }

    /// Replaces that.
    pub async fn put_organization_options(
        &self,
        actor: &Actor,
        options: OrganizationOptions,
    ) -> Result<OrganizationOptions, ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut check = Check::body();
        check.retention(&Patch::Set(options.retention));
        check.finish()?;
        // What the settings page decides beside these stays.
        let now = self.store.organization_options(organization).await?;
        let options = OrganizationOptions { branding: now.branding, alert_emails: now.alert_emails, ..options };
        self.directory.save_organization_options(organization, &options).await?;
        self.note(actor, None, Action::OrganizationUpdated, organization, "retention and retries").await;
        Ok(options)
    }

    /// How the pages of whoever acts look.
    pub async fn branding(&self, actor: &Actor) -> Result<Branding, ServiceError> {
        Ok(self.store.organization_options(actor.organization()).await?.branding)
    }

    /// Changes how the organization's pages look.
    pub async fn put_branding(&self, actor: &Actor, branding: Branding) -> Result<(), ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut check = Check::body();
        let long = |text: &str, most| text.chars().count() > most || text.contains(char::is_control);
        if long(&branding.name, 40) {
            check.fail(&["name"], "Use at most 40 characters");
        }
        if long(&branding.mark, 3) {
            check.fail(&["mark"], "Use at most three characters");
        }
        let is_colour = branding.accent.len() == 6 && branding.accent.bytes().all(|b| b.is_ascii_hexdigit());
        if !branding.accent.is_empty() && !is_colour {
            check.fail(&["accent"], "Give a colour as six hexadecimal digits, such as 7d5600");
        }
        check.finish()?;
        let options = OrganizationOptions { branding, ..self.store.organization_options(organization).await? };
        self.directory.save_organization_options(organization, &options).await?;
        self.note(actor, None, Action::OrganizationUpdated, organization, "branding").await;
        Ok(())
    }

    /// Makes a token for everything in the organization, for programs. It is kept nowhere.
    pub async fn create_organization_token(&self, actor: &Actor) -> Result<String, ServiceError> {
        let organization = actor.must_be_organization()?;
        self.note(actor, None, Action::TokenCreated, organization, "for the whole organization").await;
        Ok(self.tokens.for_organization(organization, self.now()))
    }

    /// Makes a token for one application, for programs. It is kept nowhere, and ends after 28 days.
    pub async fn create_application_token(&self, scope: &AppScope) -> Result<String, ServiceError> {
        scope.must(Permission::ManageApplication)?;
        let app = scope.application();
        let actor = ApplicationActor {
            organization: app.organization.clone(),
            application: app.id,
            feature_flags: BTreeSet::new(),
            capabilities: None,
            confines: None,
        };
        self.note_in(scope, Action::TokenCreated, app.id, "for this application").await;
        Ok(self.tokens.for_application(&actor, self.now(), APPLICATION_LIFETIME))
    }
}
