//! What an organization decides for its applications.

use crate::{Service, actor::Actor, check::Check, error::ServiceError, patch::Patch};
use store::OrganizationOptions;

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
        let mut check = Check::at(&["body", "retention"]);
        check.retention(&Patch::Set(options.retention));
        check.finish()?;
        self.directory.save_organization_options(organization, &options).await?;
        Ok(options)
    }
}
