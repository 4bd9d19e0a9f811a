//! Retry arithmetic: pure functions from a schedule and an outcome to what happens next.

use crate::{attempt::Outcome, failure::FailureReason, time::Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

/// The longest wait that a receiver's `Retry-After` can bring about.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Waits at most in a schedule.
const WAITS_MAX: usize = 64;
/// The longest wait in a schedule.
const WAIT_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// The waits between tries. An empty schedule means one try. Written `5s,5m,30m` or as a list of such words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Wait>", into = "Vec<String>")]
pub struct RetrySchedule(Vec<Duration>);

impl Default for RetrySchedule {
    /// Svix's: 8 tries in about 28 hours.
    fn default() -> Self {
        Self([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000].map(Duration::from_secs).to_vec())
    }
}

/// A wait in JSON: a number of seconds, or a word such as `5m`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wait {
    Seconds(u64),
    Word(String),
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not a number with a unit.
    #[error("'{0}' is not a wait: use a number with a unit, such as 100ms, 5s, 30m, 2h or 1d")]
    Wait(String),
    /// More waits than allowed.
    #[error("a schedule has at most {WAITS_MAX} waits")]
    TooMany,
    /// A wait that is too long.
    #[error("a wait is at most 31 days")]
    TooLong,
}

/// Reads `100ms`, `5s`, `30m`, `2h`, `1d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let n: u64 = text.get(..digits)?.parse().ok()?;
    let millis = match text[digits..].trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    n.checked_mul(millis).map(Duration::from_millis)
}

/// Writes what [`parse_duration`] reads, in the largest unit that fits.
pub fn format_duration(d: Duration) -> String {
    let ms = d.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

impl RetrySchedule {
    /// From waits.
    pub fn new(waits: Vec<Duration>) -> Result<Self, ScheduleError> {
        if waits.len() > WAITS_MAX {
            return Err(ScheduleError::TooMany);
        }
        if waits.iter().any(|w| *w > WAIT_MAX) {
            return Err(ScheduleError::TooLong);
        }
        Ok(Self(waits))
    }
    /// The waits.
    pub fn waits(&self) -> &[Duration] {
        &self.0
    }
}

impl FromStr for RetrySchedule {
    type Err = ScheduleError;
    fn from_str(s: &str) -> Result<Self, ScheduleError> {
        let waits = s.split(',').map(str::trim).filter(|w| !w.is_empty());
        Self::new(
            waits
                .map(|w| parse_duration(w).ok_or_else(|| ScheduleError::Wait(w.to_owned())))
                .collect::<Result<_, _>>()?,
        )
    }
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|d| format_duration(*d)).collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<Vec<Wait>> for RetrySchedule {
    type Error = ScheduleError;
    fn try_from(waits: Vec<Wait>) -> Result<Self, ScheduleError> {
        let read = |w| match w {
            Wait::Seconds(s) => Ok(Duration::from_secs(s)),
            Wait::Word(w) => parse_duration(&w).ok_or(ScheduleError::Wait(w)),
        };
        Self::new(waits.into_iter().map(read).collect::<Result<_, _>>()?)
    }
}

impl From<RetrySchedule> for Vec<String> {
    fn from(s: RetrySchedule) -> Self {
        s.0.into_iter().map(format_duration).collect()
    }
}

/// What happens to a delivery after a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The receiver took it.
    Delivered,
    /// Another try.
    RetryAt(Timestamp),
    /// No try is left, or the answer was final.
    Failed,
    /// The receiver is gone: fail this one and switch the endpoint off.
    Gone,
}

/// What happens after the `tries`-th scheduled try (1 for the first one) ended at `ended`.
///
/// `jitter` in 0..1 spreads the wait by up to a fifth either way. `Retry-After` may delay a try but not hasten it, by
/// at most a day. Waits count from the end of the try.
pub fn decide(
    schedule: &RetrySchedule,
    final_statuses: &BTreeSet<u16>,
    outcome: &Outcome,
    tries: u32,
    ended: Timestamp,
    jitter: f64,
) -> Verdict {
    if outcome.is_success() {
        return Verdict::Delivered;
    }
    if let Outcome::Answered { status: 410, .. } = outcome {
        return Verdict::Gone;
    }
    if final_statuses.contains(&outcome.status()) || outcome.reason().is_some_and(FailureReason::is_final) {
        return Verdict::Failed;
    }
    let Some(base) = schedule.0.get(tries.saturating_sub(1) as usize) else { return Verdict::Failed };
    let spread = base.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    let asked = match outcome {
        Outcome::Answered { retry_after: Some(d), .. } => (*d).min(RETRY_AFTER_MAX),
        _ => Duration::ZERO,
    };
    Verdict::RetryAt(ended.plus(spread.max(asked)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Answered { status, body: Bytes::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn schedules_read_and_write_all_units_and_may_be_empty() {
        let s: RetrySchedule = "5s,5m,30m,2h,5h,10h,10h".parse().unwrap();
        assert_eq!(s, RetrySchedule::default());
        assert_eq!(s.to_string(), "5s,5m,30m,2h,5h,10h,10h");
        assert_eq!("1ms,1ms".parse::<RetrySchedule>().unwrap().to_string(), "1ms,1ms");
        assert!("".parse::<RetrySchedule>().unwrap().waits().is_empty());
        assert!(matches!("5".parse::<RetrySchedule>(), Err(ScheduleError::Wait(_))));
        assert_eq!("32d".parse::<RetrySchedule>(), Err(ScheduleError::TooLong));
    }

    #[test]
    fn a_retry_after_header_may_delay_but_not_hasten_and_at_most_a_day() {
        let (s, none, t) = (RetrySchedule::default(), BTreeSet::new(), Timestamp::from_micros(0));
        let at = |o: &Outcome, tries| match decide(&s, &none, o, tries, t, 0.5) {
            Verdict::RetryAt(at) => at.as_seconds(),
            v => panic!("{v:?}"),
        };
        assert_eq!(at(&answered(500, None), 1), 5);
        assert_eq!(at(&answered(429, Some(60)), 1), 60);
        assert_eq!(at(&answered(503, Some(1)), 2), 300);
        assert_eq!(at(&answered(503, Some(u64::MAX / 1_000_000)), 1), 86_400);
    }

    #[test]
    fn final_answers_end_the_schedule() {
        let (s, t) = (RetrySchedule::default(), Timestamp::from_micros(0));
        let finals = BTreeSet::from([404]);
        assert_eq!(decide(&s, &finals, &answered(204, None), 1, t, 0.5), Verdict::Delivered);
        assert_eq!(decide(&s, &finals, &answered(410, None), 1, t, 0.5), Verdict::Gone);
        assert_eq!(decide(&s, &finals, &answered(404, None), 1, t, 0.5), Verdict::Failed);
        assert_eq!(decide(&s, &finals, &answered(500, None), 8, t, 0.5), Verdict::Failed);
    }

    #[test]
    fn what_fails_before_anything_is_sent_is_not_tried_again() {
        let (s, none, t) = (RetrySchedule::default(), BTreeSet::new(), Timestamp::from_micros(0));
        for reason in [FailureReason::ExpressionFailed, FailureReason::FormatFailed] {
            let outcome = Outcome::Failed { reason, status: None, detail: String::new() };
            assert_eq!(decide(&s, &none, &outcome, 1, t, 0.5), Verdict::Failed);
        }
    }

    fn schedules() -> impl Strategy<Value = RetrySchedule> {
        let wait = prop_oneof![0..10_000u64, 0..=WAIT_MAX.as_millis() as u64, Just(WAIT_MAX.as_millis() as u64)];
        prop::collection::vec(wait.prop_map(Duration::from_millis), 0..=WAITS_MAX)
            .prop_map(|waits| RetrySchedule::new(waits).unwrap())
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let asked = prop_oneof![
            Just(None),
            (0..200_000u64).prop_map(|s| Some(Duration::from_secs(s))),
            any::<u64>().prop_map(|s| Some(Duration::from_secs(s))),
            Just(Some(Duration::MAX)),
        ];
        prop_oneof![
            (any::<u16>(), asked.clone()).prop_map(|(status, retry_after)| Outcome::Answered {
                status,
                body: Bytes::new(),
                retry_after
            }),
            (200..600u16, asked).prop_map(|(status, retry_after)| Outcome::Answered {
                status,
                body: Bytes::new(),
                retry_after
            }),
            prop::option::of(100..600u16).prop_map(|status| Outcome::Failed {
                reason: FailureReason::ResponseTimeout,
                status,
                detail: String::new()
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_retry_is_never_too_early_and_only_a_receiver_delays_it_by_a_day_at_most(
            schedule in schedules(),
            finals in prop::collection::btree_set(any::<u16>(), 0..5),
            outcome in outcomes(),
            tries in prop_oneof![0..70u32, any::<u32>()],
            ended in prop_oneof![0..4_000_000_000_000_000i64, any::<i64>()],
            jitter in -0.5..1.5f64,
        ) {
            let ended = Timestamp::from_micros(ended);
            match decide(&schedule, &finals, &outcome, tries, ended, jitter) {
                Verdict::Delivered => prop_assert!(outcome.is_success()),
                Verdict::Gone => prop_assert_eq!(outcome.status(), 410),
                Verdict::Failed => prop_assert!(
                    finals.contains(&outcome.status()) || tries.max(1) as usize > schedule.waits().len()
                ),
                Verdict::RetryAt(at) => {
                    prop_assert!(!outcome.is_success() && !finals.contains(&outcome.status()));
                    let base = schedule.waits()[(tries.max(1) - 1) as usize];
                    let waited = at.since(ended);
                    // A microsecond, because that is what an instant is rounded to. At the end of time there is no later.
                    let least = base.mul_f64(0.8).saturating_sub(Duration::from_micros(1));
                    let most = base.mul_f64(1.2) + Duration::from_micros(1);
                    prop_assert!(waited >= least || at.as_micros() == i64::MAX, "{waited:?} of {base:?}");
                    prop_assert!(waited <= most.max(RETRY_AFTER_MAX));
                    match &outcome {
                        Outcome::Answered { retry_after: Some(asked), .. } => prop_assert!(
                            waited >= (*asked).min(RETRY_AFTER_MAX) || at.as_micros() == i64::MAX
                        ),
                        _ => prop_assert!(waited <= most),
                    }
                }
            }
        }

        #[test]
        fn tries_are_counted_by_the_schedule_and_end(schedule in schedules(), jitter in 0.0..1.0f64) {
            let (none, mut now, mut tries) = (BTreeSet::new(), Timestamp::default(), 0);
            loop {
                tries += 1;
                match decide(&schedule, &none, &answered(500, None), tries, now, jitter) {
                    Verdict::RetryAt(at) => now = at,
                    verdict => {
                        prop_assert_eq!(verdict, Verdict::Failed);
                        break;
                    }
                }
            }
            prop_assert_eq!(tries as usize, schedule.waits().len() + 1);
        }

        #[test]
        fn a_schedule_reads_back_from_what_is_written(schedule in schedules()) {
            prop_assert_eq!(schedule.to_string().parse::<RetrySchedule>(), Ok(schedule.clone()));
            let json = serde_json::to_string(&schedule).unwrap();
            prop_assert_eq!(serde_json::from_str::<RetrySchedule>(&json).unwrap(), schedule);
        }

        #[test]
        fn foreign_text_is_a_schedule_within_the_limits_or_an_error(text in "[0-9]{0,22} ?(ms|s|m|h|d|x)?(, ?[0-9]{1,4}[smhd]){0,70}|\\PC{0,20}") {
            if let Ok(schedule) = text.parse::<RetrySchedule>() {
                prop_assert!(schedule.waits().len() <= WAITS_MAX && schedule.waits().iter().all(|w| *w <= WAIT_MAX));
                prop_assert_eq!(schedule.to_string().parse::<RetrySchedule>(), Ok(schedule));
            }
        }
    }
}
