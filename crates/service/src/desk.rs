//! What screens show: deliveries tried or not, messages searched for, what happened over time. Each answer looks at a
//! bounded number of rows and says where to go on, so that a page costs the same however much is stored.

use crate::{Service, Window, access::AppScope, actor::Capability, error::ServiceError, messages::MessagesOf};
use domain::{Durations, Endpoint, EndpointRef, EventTypeName, InLine, Ksuid, Message, Timestamp};
use std::time::Duration;
pub use store::{Counted, DeliveryView, Looked, Standing};
use store::{HourCount, MessageFilter, Uncounted};

/// Rows that one page looks at. Those that are filtered by their message cost two look-ups each.
const LOOKS: usize = 20_000;
const LOOKS_THROUGH_MESSAGES: usize = 2_000;
/// The same for deliveries: their messages lie far apart.
const LOOKS_THROUGH_DELIVERIES: usize = 1_000;
/// Deliveries of a message on its page.
const DELIVERIES: usize = 100;
/// The same where only some of them are shown.
const DELIVERIES_SIFTED: usize = 2_000;
/// Successes whose durations stand for those of a stretch of time that are not counted yet.
const SAMPLE: usize = 50;
/// Attempts that are not counted yet, looked at for those of one event type.
const LOOKS_UNCOUNTED: usize = 2_000;
const HOUR: Duration = Duration::from_secs(3600);

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

/// How long successes took; at most one part in sixteen more than the truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Took {
    /// Half of them took at most this many milliseconds.
    pub half_ms: u32,
    /// 19 of 20 took at most this many.
    pub most_ms: u32,
}

/// What happened at an endpoint, stretch after stretch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Activity {
    /// Oldest first; the last one is not over.
    pub stretches: Vec<Stretch>,
    /// Whether all is in it. Of one event type, some of the latest may not be counted yet.
    pub all: bool,
}

impl Took {
    fn of(durations: &Durations) -> Option<Self> {
        Some(Self { half_ms: durations.within(50)?, most_ms: durations.within(95)? })
    }
}

/// Durations of so many, of which these are a sample.
fn spread(sample: &[u32], times: u64) -> Durations {
    let mut durations = Durations::default();
    let size = sample.len() as u64;
    for (i, ms) in (0..).zip(sample) {
        let up_to = |n: u64| u128::from(times) * u128::from(n) / u128::from(size.max(1));
        durations.add(*ms, u64::try_from(up_to(i + 1) - up_to(i)).unwrap_or(u64::MAX));
    }
    durations
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

    /// Attempts to an endpoint over the latest `count` stretches of so many whole hours of UTC; of one event type, or of
    /// all. What was counted is read from the counts, what came since from the attempts themselves.
    pub async fn activity(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        of: Option<&str>,
        (hours, count): (u16, u16),
        with_durations: bool,
    ) -> Result<Activity, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let of = of.map(EventTypeName::new).transpose();
        let of = of.map_err(|_| ServiceError::InvalidRange("There is no such event type"))?;
        let (to, now) = (scope.endpoint_ref(endpoint), self.now());
        let step = i64::from(hours.max(1));
        let last = now.as_seconds().div_euclid(3600).div_euclid(step) * step;
        let first = last - (i64::from(count.max(1)) - 1) * step;
        let counted = self.store.attempt_hours(to, of.as_ref(), first..last + step).await?;
        let begin = |hour: i64| Timestamp::from_micros(hour.saturating_mul(3_600_000_000));
        let since = counted.counted.max(Ksuid::lowest_at(begin(first)));
        let rest = match &of {
            Some(of) => self.store.attempts_of_type(to, of, since, Ksuid::MAX, LOOKS_UNCOUNTED).await?,
            None => Uncounted { attempts: Vec::new(), all: true },
        };
        let mut stretches = Vec::with_capacity(usize::from(count));
        for hour in (0..i64::from(count.max(1))).map(|n| first + n * step) {
            let (from, end) = (begin(hour), begin(hour).plus(HOUR * u32::from(hours.max(1))));
            let mut sum = HourCount::default();
            counted.hours.range(hour..hour + step).for_each(|(_, count)| sum.merge(count));
            // Ids may be a little ahead of the clock; the last stretch holds all of them.
            let (low, high) = (Ksuid::lowest_at(from), if end > now { Ksuid::MAX } else { Ksuid::lowest_at(end) });
            if counted.counted < high {
                let low = low.max(counted.counted);
                match of {
                    Some(_) => add_listed(&mut sum, &rest, low, high),
                    None => self.add_uncounted(&mut sum, to, (low, high), with_durations).await?,
                }
            }
            let took = Took::of(&sum.took);
            stretches.push(Stretch { from, success: sum.delivered, fail: sum.failed, took });
        }
        Ok(Activity { stretches, all: rest.all })
    }

    /// Adds attempts that are not counted yet.
    async fn add_uncounted(
        &self,
        sum: &mut HourCount,
        to: EndpointRef,
        (low, high): (Ksuid, Ksuid),
        with_durations: bool,
    ) -> Result<(), ServiceError> {
        let stats = self.store.endpoint_stats(to, low, high).await?;
        let took = if with_durations && stats.success > 0 {
            spread(&self.store.durations(to, low, high, SAMPLE).await?, stats.success)
        } else {
            Durations::default()
        };
        sum.merge(&HourCount { delivered: stats.success, failed: stats.fail, took });
        Ok(())
    }
}

/// Adds those of a list that lie in a range.
fn add_listed(sum: &mut HourCount, list: &Uncounted, low: Ksuid, high: Ksuid) {
    for (_, success, ms) in list.attempts.iter().filter(|(id, ..)| (low..high).contains(id)) {
        match success {
            true => {
                sum.delivered += 1;
                sum.took.add(*ms, 1);
            }
            false => sum.failed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_all() {
        assert_eq!(Took::of(&spread(&[], 0)), None);
        assert_eq!(Took::of(&spread(&[7], 1)), Some(Took { half_ms: 7, most_ms: 7 }));
        let durations = spread(&[1, 2, 30], 1_000);
        assert_eq!((durations.within(33), durations.within(34), durations.within(67)), (Some(1), Some(2), Some(30)));
    }

    #[test]
    fn of_a_list_each_counts_in_its_range_only() {
        let at = |n| Ksuid::from_parts(n, [0; 12]);
        let list = Uncounted { attempts: vec![(at(9), true, 4), (at(5), false, 8), (at(2), true, 1)], all: true };
        let mut sum = HourCount::default();
        add_listed(&mut sum, &list, at(3), at(9));
        assert_eq!((sum.delivered, sum.failed), (0, 1));
        add_listed(&mut sum, &list, at(9), Ksuid::MAX);
        assert_eq!((sum.delivered, sum.failed, sum.took.within(50)), (1, 1, Some(4)));
    }
}
