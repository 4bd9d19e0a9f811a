//! A platform that is played: believable classes without end, from a seed. For `simulate`, for `demo`, and for trying out a
//! receiver without a platform.
//!
//! Pure: the same seed and start give the same events. A step says how long to wait before it; whoever plays it decides
//! whether to.

use crate::catalog::Platform;
use bytes::Bytes;
use domain::{Channel, EventTypeName, OrderKey, Timestamp};
use serde::Serialize;
use std::{collections::BTreeSet, time::Duration};

/// An event of a simulation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// How long after the step before it.
    pub after: Duration,
    /// What happens.
    pub event_type: EventTypeName,
    /// Labels: the room, the track, the assignment.
    pub channels: BTreeSet<Channel>,
    /// What it is ordered with: one student, one class, one play.
    pub order_key: Option<OrderKey>,
    /// What is published.
    pub payload: Bytes,
}

/// Events one after the other, without end.
pub type Steps = Box<dyn Iterator<Item = Step> + Send>;

/// A class that goes on for ever; none for a platform that has nothing to play. Times in payloads start at `start` and
/// advance by the steps' waits.
pub fn simulate(platform: &Platform, seed: u64, start: Timestamp) -> Option<Steps> {
    platform.simulate.map(|play| play(seed, start))
}

/// Numbers that look random and are the same for the same seed (SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// From `low` up to and without `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }
    /// True `percent` times out of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.between(0, 100) < percent
    }
    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        // Within bounds: less than the length, which fits.
        &all[self.between(0, all.len() as u64) as usize]
    }
    /// Lower-case letters and digits.
    pub(crate) fn word(&mut self, length: usize) -> String {
        let letters: Vec<char> = "0123456789abcdefghijklmnopqrstuvwxyz".chars().collect();
        (0..length).map(|_| *self.pick(&letters)).collect()
    }
    /// A random UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.next().to_be_bytes(), self.next().to_be_bytes());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&a);
        bytes[8..].copy_from_slice(&b);
        crate::replit::body_secret(bytes)
    }
}

/// First and last names of people who do not exist.
pub(crate) const PEOPLE: &[(&str, &str)] = &[
    ("Ada", "Example"),
    ("Ben", "Okafor"),
    ("Chloé", "Martin"),
    ("Dilan", "Yılmaz"),
    ("Emre", "Sample"),
    ("Fatima", "Noor"),
    ("Grace", "Testwell"),
    ("Hiro", "Tanaka"),
    ("Inés", "García"),
    ("Jonas", "Muster"),
    ("Kavya", "Rao"),
    ("Liam", "O'Neill"),
    ("Mei", "Lin"),
    ("Noah", "Schüler"),
    ("Olga", "Novak"),
    ("Priya", "Das"),
];

/// Events of one scene, noted in any order.
#[derive(Default)]
pub(crate) struct Scene {
    events: Vec<(u64, Step)>,
    channels: BTreeSet<Channel>,
    order_key: Option<OrderKey>,
}

impl Scene {
    /// A scene whose events have this channel and this order key, until [`Self::now_about`] says otherwise.
    pub(crate) fn about(channel: &str, order_key: &str) -> Self {
        let mut scene = Self::default();
        scene.now_about(channel, order_key);
        scene
    }
    /// What the events noted from here on are about.
    pub(crate) fn now_about(&mut self, channel: &str, order_key: &str) {
        self.now_about_all(Channel::new(channel).into_iter().collect(), order_key);
    }
    /// The same with several channels.
    pub(crate) fn now_about_all(&mut self, channels: BTreeSet<Channel>, order_key: &str) {
        self.channels = channels;
        self.order_key = OrderKey::new(order_key).ok();
    }
    /// Notes an event so many milliseconds after the scene's beginning.
    pub(crate) fn add(&mut self, at: u64, event: &str, payload: &impl Serialize) {
        // The names are written in the program, and a test plays every scene.
        let Ok(event_type) = EventTypeName::new(event) else { return };
        let payload = serde_json::to_vec(payload).unwrap_or_default().into();
        let (channels, order_key) = (self.channels.clone(), self.order_key.clone());
        self.events.push((at, Step { after: Duration::ZERO, event_type, channels, order_key, payload }));
    }
    /// The steps in the order of their times. The first waits from the scene's beginning.
    fn steps(mut self) -> Vec<Step> {
        self.events.sort_by_key(|(at, _)| *at);
        let mut last = 0;
        let waiting = self.events.into_iter().map(|(at, step)| {
            let after = Duration::from_millis(at - last);
            last = at;
            Step { after, ..step }
        });
        waiting.collect()
    }
}

/// Scene after scene. `play` makes one that begins at the given time, and tells how many milliseconds it takes.
pub(crate) fn scenes(start: Timestamp, mut play: impl FnMut(Timestamp) -> (Scene, u64) + Send + 'static) -> Steps {
    let mut begins = start;
    // What is left of a scene after its last event is waited for before the first event of the next.
    let mut rest = Duration::ZERO;
    Box::new(
        std::iter::repeat_with(move || {
            let (scene, length) = play(begins);
            let length = Duration::from_millis(length);
            let mut steps = scene.steps();
            let played: Duration = steps.iter().map(|s| s.after).sum();
            if let Some(first) = steps.first_mut() {
                first.after += rest;
                rest = length.saturating_sub(played);
            } else {
                rest += length;
            }
            begins = begins.plus(length);
            steps
        })
        .flatten(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use std::collections::{BTreeMap, HashMap};

    fn start() -> Timestamp {
        Timestamp::parse("2024-05-02T08:00:00Z").unwrap()
    }

    fn played(name: &str, seed: u64, steps: usize) -> Vec<Step> {
        simulate(catalog::by_name(name).unwrap(), seed, start()).unwrap().take(steps).collect()
    }

    #[test]
    fn everything_that_is_played_fits_the_catalogue_and_happens_when_it_says() {
        for platform in catalog::all().iter().filter(|p| p.simulate.is_some()) {
            let validators: HashMap<_, _> =
                platform.event_types().iter().map(|t| (t.name.clone(), (t, t.validator()))).collect();
            let mut seen = BTreeMap::new();
            for seed in 0..6 {
                let mut now = start();
                for step in played(platform.name, seed, 600) {
                    now = now.plus(step.after);
                    let (entry, validator) = &validators[&step.event_type];
                    let payload = serde_json::from_slice(&step.payload).unwrap();
                    assert_eq!(validator.validate(&payload), Ok(()), "{} {payload}", step.event_type);
                    if let Some(pointer) = &entry.occurred_at {
                        let at = Timestamp::parse(payload.pointer(pointer).unwrap().as_str().unwrap()).unwrap();
                        assert_eq!(at.as_millis(), now.as_millis(), "{} {payload}", step.event_type);
                    }
                    assert!(!step.channels.is_empty() && step.order_key.is_some());
                    *seen.entry(step.event_type).or_insert(0) += 1;
                }
            }
            let missing: Vec<_> = validators.keys().filter(|name| !seen.contains_key(*name)).collect();
            assert!(missing.is_empty(), "never played: {missing:?}");
        }
    }

    #[test]
    fn the_same_seed_plays_the_same_and_another_another() {
        assert_eq!(played("teachstack", 7, 100), played("teachstack", 7, 100));
        assert_ne!(played("replit", 7, 20), played("replit", 8, 20));
        assert!(simulate(&catalog::STANDARD, 1, start()).is_none());
    }

    #[test]
    fn a_class_holds_together() {
        let mut open: HashMap<String, String> = HashMap::new();
        let mut in_class: Option<String> = None;
        for step in played("teachstack", 3, 2_000) {
            let data: serde_json::Value = serde_json::from_slice(&step.payload).unwrap();
            let session = data["session_id"].as_str().unwrap().to_owned();
            match step.event_type.as_str() {
                "room.created" => assert_eq!(in_class.replace(session), None),
                "room.closed" => {
                    assert_eq!(in_class.take(), Some(session));
                    assert!(open.is_empty(), "{open:?}");
                }
                "peer.joined" => {
                    assert_eq!(in_class.as_ref(), Some(&session));
                    assert!(open.insert(data["peer"]["peer_id"].to_string(), data["joined_at"].to_string()).is_none());
                }
                "peer.left" => {
                    let joined = open.remove(&data["peer"]["peer_id"].to_string());
                    assert_eq!(joined, Some(data["joined_at"].to_string()));
                }
                _ => {}
            }
        }
    }
}
