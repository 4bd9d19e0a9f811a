//! serve
use super::Failure;
use crate::settings::Flags;
pub(crate) async fn run(_flags: &Flags) -> Result<(), Failure> {
    Ok(())
}
