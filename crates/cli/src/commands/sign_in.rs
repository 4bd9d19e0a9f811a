//! `schoolbell sign-in`: a link that signs the operator in to the dashboard, once.

use super::{Failure, say};
use crate::{
    clock::SystemClock,
    secrets,
    settings::{Flags, Settings},
};
use domain::{Clock as _, IdGenerator, OrganizationId};
use service::{Tokens, sign_in::sign_in_url};

/// Prints the link.
pub(crate) fn run(organization: &str, flags: &Flags) -> Result<(), Failure> {
    let organization: OrganizationId = organization
        .parse()
        .map_err(|_| Failure::Usage(format!("'{organization}' is not an organization: its id begins with org_")))?;
    let settings = Settings::load(flags)?;
    let secret = secrets::jwt_secret(&settings)?;
    let (id, now) = IdGenerator::after(None).next(SystemClock.now(), &mut store::seal::fill_random);
    let token = Tokens::new(secret.expose()).for_sign_in(&organization, id, now);
    say(sign_in_url(&settings.address_for_others(settings.listen), &token));
    Ok(())
}
