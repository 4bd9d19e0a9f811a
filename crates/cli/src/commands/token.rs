//! `schoolbell token`: an organization token on standard output, and nothing else.

use super::{Failure, say};
use crate::{
    clock::SystemClock,
    secrets,
    settings::{Flags, Settings},
};
use domain::{Clock as _, OrganizationId};
use service::Tokens;

/// Prints the token of an organization.
pub(crate) fn run(organization: &str, flags: &Flags) -> Result<(), Failure> {
    let organization: OrganizationId = organization
        .parse()
        .map_err(|_| Failure::Usage(format!("'{organization}' is not an organization: its id begins with org_")))?;
    let settings = Settings::load(flags)?;
    let secret = secrets::jwt_secret(&settings)?;
    say(Tokens::new(secret.expose()).for_organization(&organization, SystemClock.now()));
    Ok(())
}
