//! Statistics of endpoints.

use crate::{Service, access::AppScope, actor::Capability, endpoints::SLACK, error::ServiceError};
use domain::{Ksuid, Timestamp};
use std::time::Duration;
use store::Stats;

/// The longest window of statistics.
const STATS_WINDOW: Duration = Duration::from_secs(28 * 24 * 3600);

impl Service {
    /// Attempts to an endpoint, counted: of the last 28 days, or of a window of at most that length.
    pub async fn endpoint_stats(
        &self,
        scope: &AppScope,
        which: &str,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Stats, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        let (from, until) = stats_window(since, until, self.now())?;
        Ok(self.store.endpoint_stats(scope.endpoint_ref(&endpoint), from, until).await?)
    }
}

fn stats_window(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Ksuid, Ksuid), ServiceError> {
    // Without `until`, what happened in this very tick counts too.
    let end = match until {
        Some(until) if until > now => return Err(ServiceError::InvalidRange("'until' cannot be in the future")),
        Some(until) => Ksuid::lowest_at(until),
        None => Ksuid::lowest_at(now.plus(SLACK)),
    };
    let until = until.unwrap_or(now);
    let since = since.unwrap_or_else(|| until.minus(STATS_WINDOW));
    if until.since(since) > STATS_WINDOW + SLACK {
        return Err(ServiceError::InvalidRange("'until' - 'since' cannot be more than 28 days"));
    }
    Ok((Ksuid::lowest_at(since), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_cover_at_most_28_days_and_never_the_future() {
        let now = Timestamp::parse("2026-05-01T00:00:00Z").unwrap();
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(stats_window(None, None, now).unwrap().0, Ksuid::lowest_at(now.minus(day * 28)));
        assert!(stats_window(Some(now.minus(day * 28 + SLACK)), None, now).is_ok());
        let too_long = stats_window(Some(now.minus(day * 29)), None, now);
        assert!(matches!(too_long, Err(ServiceError::InvalidRange(_))));
        let future = stats_window(None, Some(now.plus(day)), now);
        assert!(matches!(future, Err(ServiceError::InvalidRange(_))));
        let (from, until) = stats_window(Some(now.minus(day)), Some(now), now).unwrap();
        assert_eq!((from, until), (Ksuid::lowest_at(now.minus(day)), Ksuid::lowest_at(now)));
    }
}
