//! How long things took, in little space: numbers of milliseconds as counts on a scale that gets coarser with them, so that
//! those of any hours can be added up and still told by half and nineteen of twenty.

use std::collections::BTreeMap;

/// Durations below this are kept exactly; beyond, each doubling has [`STEPS`] steps.
const EXACT: u32 = 32;
/// Steps to a doubling: what is told is the upper end of a step, so at most one part in sixteen too much.
const STEPS: u32 = 16;
/// As a power of two.
const STEPS_LOG: u32 = STEPS.ilog2();
/// The step that `u32::MAX` falls into.
const LAST: u32 = EXACT + (u32::MAX.ilog2() - EXACT.ilog2()) * STEPS + STEPS - 1;

/// Counted durations. What it tells is never less than the truth, and at most one part in sixteen more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durations {
    /// By step.
    steps: BTreeMap<u32, u64>,
}

fn step_of(ms: u32) -> u32 {
    if ms < EXACT {
        return ms;
    }
    let doubling = ms.ilog2();
    let within = (ms >> (doubling - STEPS_LOG)) - STEPS;
    EXACT + (doubling - EXACT.ilog2()) * STEPS + within
}

/// The longest duration of a step.
fn upper_end(step: u32) -> u32 {
    if step < EXACT {
        return step;
    }
    let (doublings, within) = ((step - EXACT) / STEPS, (step - EXACT) % STEPS);
    let shift = doublings + EXACT.ilog2() - STEPS_LOG;
    let end = (u64::from(STEPS + within + 1) << shift) - 1;
    u32::try_from(end).unwrap_or(u32::MAX)
}

impl Durations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
    /// Adds so many of a duration.
    pub fn add(&mut self, ms: u32, times: u64) {
        if times > 0 {
            let count = self.steps.entry(step_of(ms)).or_default();
            *count = count.saturating_add(times);
        }
    }
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (step, times) in &other.steps {
            let count = self.steps.entry(*step).or_default();
            *count = count.saturating_add(*times);
        }
    }
    /// So many of a hundred took at most this many milliseconds; none if nothing was counted.
    pub fn within(&self, of_hundred: u8) -> Option<u32> {
        let all: u128 = self.steps.values().map(|n| u128::from(*n)).sum();
        let place = (all * u128::from(of_hundred.min(100)) / 100).min(all.saturating_sub(1));
        let mut seen = 0;
        let step = self.steps.iter().find(|(_, times)| {
            seen += u128::from(**times);
            seen > place
        });
        step.map(|(step, _)| upper_end(*step))
    }
    /// As bytes: distances between steps and their counts, seven bits to a byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.steps.len() * 3);
        let mut before = 0;
        for (step, times) in &self.steps {
            put(&mut bytes, u64::from(step - before));
            put(&mut bytes, *times);
            before = *step;
        }
        bytes
    }
    /// Reads what [`Self::to_bytes`] wrote; nothing if it is something else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut steps = BTreeMap::new();
        let mut step = 0_u32;
        while !bytes.is_empty() {
            let further = take(&mut bytes)?;
            let times = take(&mut bytes)?;
            let again = further == 0 && !steps.is_empty();
            step = u32::try_from(further).ok().and_then(|further| step.checked_add(further))?;
            if again || times == 0 || step > LAST {
                return None;
            }
            steps.insert(step, times);
        }
        Some(Self { steps })
    }
}

fn put(bytes: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if part > u64::MAX >> shift {
            return None;
        }
        n |= part << shift;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_durations_are_exact_and_the_longest_has_a_step() {
        for ms in 0..EXACT {
            assert_eq!((step_of(ms), upper_end(step_of(ms))), (ms, ms));
        }
        assert_eq!((step_of(EXACT), step_of(u32::MAX)), (EXACT, LAST));
        assert_eq!(upper_end(LAST), u32::MAX);
    }

    #[test]
    fn nothing_is_told_of_nothing() {
        assert_eq!(Durations::default().within(50), None);
        assert_eq!(Durations::from_bytes(&[]), Some(Durations::default()));
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        for bytes in [&[1][..], &[1, 0], &[1, 1, 0, 1], &[0x80], &[0xff, 0xff, 0x7f, 1], &[0xff; 24]] {
            assert_eq!(Durations::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_the_truth_or_a_sixteenth_more(mut all in prop::collection::vec(0..100_000_000u32, 1..200), share in 0u8..=100) {
            let mut durations = Durations::default();
            all.iter().for_each(|ms| durations.add(*ms, 1));
            all.sort_unstable();
            let truth = all[(all.len() * usize::from(share) / 100).min(all.len() - 1)];
            let told = durations.within(share).unwrap();
            prop_assert!(truth <= told && told - truth <= truth / 16, "{told} of {truth}");
        }

        #[test]
        fn it_reads_back_as_it_was_written_and_adds_up(a in prop::collection::vec((any::<u32>(), 1..u64::MAX / 1000), 0..50), b in prop::collection::vec((any::<u32>(), 1..9u64), 0..50)) {
            let of = |all: &[(u32, u64)]| {
                let mut durations = Durations::default();
                all.iter().for_each(|(ms, times)| durations.add(*ms, *times));
                durations
            };
            let mut sum = of(&a);
            sum.merge(&of(&b));
            prop_assert_eq!(&sum, &of(&[a, b].concat()));
            prop_assert_eq!(Durations::from_bytes(&sum.to_bytes()), Some(sum));
        }
    }
}
