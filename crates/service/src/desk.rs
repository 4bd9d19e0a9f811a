//! What screens show: deliveries tried or not, messages searched for, what happened over time. Each answer looks at a
//! bounded number of rows and says where to go on, so that a page costs the same however much is stored.

use crate::{Service, Window, access::AppScope, actor::Capability, error::ServiceError, messages::MessagesOf};
use domain::{Endpoint, EndpointKey, InLine, Ksuid, Message, Timestamp};
use std::time::Duration;
use store::MessageFilter;
pub use store::{Counted, DeliveryView, Looked, Standing};

/// Rows that one page looks at. Those that are filtered by their message cost two look-ups each.
const LOOKS: usize = 20_000;
const LOOKS_THROUGH_MESSAGES: usize = 5_000;
/// The same for deliveries: their messages lie far apart.
const LOOKS_THROUGH_DELIVERIES: usize = 1_000;
/// Deliveries of a message on its page.
const DELIVERIES: usize = 100;
/// The same where only some of them are shown.
const DELIVERIES_SIFTED: usize = 2_000;
/// Successes whose durations stand for a stretch of time.
const SAMPLE: usize = 50;
/// After its end, attempts of a stretch of time may still be written for this long.
const SETTLED: Duration = Duration::from_secs(120);

/// A stretch of time at an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Its beginning.
    pub from: Timestamp,
    /// Attempts that succeeded.
    pub success: u64,
    /// Attempts that failed.
    pub fail: u64,
    /// How long successes took, if it was asked for and there were some.
    pub took: Option<Took>,
}

/// How long successes took, from a sample of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Took {
    /// Half of them took at most this many milliseconds.
    pub half_ms: u32,
    /// 19 of 20 took at most this many.
    pub most_ms: u32,
}

/// Names a stretch: endpoint, seconds it is long, second it begins.
pub(crate) type StretchKey = (EndpointKey, u64, i64);

/// What is kept of a stretch that is over: it does not change any more, except that retention takes from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptStretch {
    counts: (u64, u64),
    took: Option<Option<Took>>,
}

impl Took {
    fn of(mut durations: Vec<u32>) -> Option<Self> {
        durations.sort_unstable();
        let at = |share: usize| durations.get((durations.len() * share / 100).min(durations.len().saturating_sub(1)));
        Some(Self { half_ms: *at(50)?, most_ms: *at(95)? })
    }
}

fn looks(of: &MessageFilter, through: usize) -> usize {
    if of.is_empty() { LOOKS } else { through }
}

impl Service {
    /// Deliveries to an endpoint by message, newest first, tried or not.
    pub async fn deliveries_to(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        window: &Window,
        standing: Option<Standing>,
        of: &MessagesOf,
    ) -> Result<Looked<DeliveryView>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let (range, of) = (window.range(self.ids.latest()), of.checked(scope)?);
        let to = scope.endpoint_ref(endpoint);
        Ok(self.store.deliveries(to, range, standing, &of, looks(&of, LOOKS_THROUGH_DELIVERIES)).await?)
    }

    /// A message's deliveries, to deleted endpoints too; the first hundred.
    pub async fn deliveries_of(
        &self,
        scope: &AppScope,
        message: &Message,
    ) -> Result<Vec<(Endpoint, DeliveryView)>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let most = if scope.confines().is_some() { DELIVERIES_SIFTED } else { DELIVERIES };
        let mut found = self.store.deliveries_of(scope.key(), message.meta.id, most).await?;
        found.retain(|(endpoint, _)| scope.sees_endpoint(endpoint));
        found.truncate(DELIVERIES);
        Ok(found)
    }

    /// Messages that fit, newest first, without payloads.
    pub async fn search_messages(
        &self,
        scope: &AppScope,
        window: &Window,
        of: &MessagesOf,
    ) -> Result<Looked<Message>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let (range, of) = (window.range(self.ids.latest()), of.checked(scope)?);
        Ok(self.store.search(scope.key(), range, &of, looks(&of, LOOKS_THROUGH_MESSAGES)).await?)
    }

    /// What waits for an endpoint without being on the wire, and what for. Known of this node only: what another one
    /// holds is not among it.
    pub fn in_line(&self, scope: &AppScope, endpoint: &Endpoint) -> Result<InLine, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        Ok(self.admission.in_line(scope.endpoint_ref(endpoint)))
    }

    /// When the next try to an endpoint is due.
    pub async fn next_try(&self, scope: &AppScope, endpoint: &Endpoint) -> Result<Option<Timestamp>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        Ok(self.store.next_due(scope.endpoint_ref(endpoint)).await?)
    }

    /// Attempts to an endpoint over the latest `count` stretches of time of this width, oldest first; the last one is
    /// not over. Those that are over are counted once and then remembered.
    pub async fn activity(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        width: Duration,
        count: u16,
        with_durations: bool,
    ) -> Result<Vec<Stretch>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let (to, now) = (scope.endpoint_ref(endpoint), self.now());
        let seconds = width.as_secs().max(1);
        let step = i64::try_from(seconds).unwrap_or(i64::MAX);
        let first = (now.as_seconds().div_euclid(step) - i64::from(count) + 1) * step;
        let mut stretches = Vec::with_capacity(usize::from(count));
        for i in 0..i64::from(count) {
            let from = Timestamp::from_micros((first + i * step) * 1_000_000);
            let end = from.plus(width);
            let key = (endpoint.key, seconds, from.as_seconds());
            let kept = self.stretches.get(&key);
            // Ids may be a little ahead of the clock; the last stretch holds all of them.
            let (low, high) = (Ksuid::lowest_at(from), if end > now { Ksuid::MAX } else { Ksuid::lowest_at(end) });
            let counts = match kept {
                Some(kept) => kept.counts,
                None => {
                    let stats = self.store.endpoint_stats(to, low, high).await?;
                    (stats.success, stats.fail)
                }
            };
            let took = match kept.and_then(|k| k.took) {
                Some(took) => Some(took),
                None if with_durations && counts.0 == 0 => Some(None),
                None if with_durations => Some(Took::of(self.store.durations(to, low, high, SAMPLE).await?)),
                None => None,
            };
            if now.since(end) > SETTLED {
                self.stretches.insert(key, KeptStretch { counts, took });
            }
            stretches.push(Stretch { from, success: counts.0, fail: counts.1, took: took.flatten() });
        }
        Ok(stretches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_by_half_and_nineteen_of_twenty() {
        assert_eq!(Took::of(Vec::new()), None);
        assert_eq!(Took::of(vec![7]), Some(Took { half_ms: 7, most_ms: 7 }));
        let hundred: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(Took::of(hundred), Some(Took { half_ms: 51, most_ms: 96 }));
    }
}
