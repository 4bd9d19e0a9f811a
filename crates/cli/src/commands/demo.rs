//! demo
use super::Failure;
use clap::Args;
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {}
pub(crate) async fn run(_a: DemoArgs) -> Result<(), Failure> {
    Ok(())
}
