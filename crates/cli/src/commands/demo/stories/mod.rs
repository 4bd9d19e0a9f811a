//! What happens in the demo's five classrooms: invented people, payloads in the shape that each platform really sends.
//!
//! A story is a list of scenes. Each scene is told when its time comes, so that it carries that time.

mod canvas;
mod instruqt;
mod openedx;
mod replit;
mod teachstack;

use super::dice::Dice;
use domain::Timestamp;
use serde_json::Value;
use std::collections::VecDeque;

/// One event, ready to be published.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) event_type: &'static str,
    /// Labels that endpoints can select.
    pub(crate) channels: Vec<String>,
    /// What the platform sends.
    pub(crate) payload: Value,
}

/// Tells one event when its time has come.
pub(crate) type Scene = Box<dyn FnOnce(Timestamp, &mut Dice) -> Event + Send>;

/// A tenant of the demo.
#[derive(Debug)]
pub(crate) struct Tenant {
    /// The platform's name.
    pub(crate) platform: &'static str,
    /// The application's uid.
    pub(crate) uid: &'static str,
    /// The application's name.
    pub(crate) name: &'static str,
    /// What its endpoint is for.
    pub(crate) receiver: &'static str,
    /// Event types it may publish, each with a sentence about it.
    pub(crate) event_types: &'static [(&'static str, &'static str)],
    /// Makes up what happens next: a lesson, a course, a play.
    story: fn(&mut Dice) -> Vec<Scene>,
}

/// One tenant for each platform.
pub(crate) const TENANTS: [Tenant; 5] =
    [replit::TENANT, teachstack::TENANT, openedx::TENANT, canvas::TENANT, instruqt::TENANT];

/// All stories at once: whose turn it is, is left to the dice.
pub(crate) struct Stage {
    dice: Dice,
    scenes: [VecDeque<Scene>; TENANTS.len()],
}

impl Stage {
    /// With dice.
    pub(crate) fn new(dice: Dice) -> Self {
        Self { dice, scenes: Default::default() }
    }

    /// What happens next, and to which of the tenants.
    pub(crate) fn next(&mut self, now: Timestamp) -> (usize, Event) {
        let who = self.dice.below(TENANTS.len() as u64) as usize;
        let scene = loop {
            match self.scenes[who].pop_front() {
                Some(scene) => break scene,
                None => self.scenes[who].extend((TENANTS[who].story)(&mut self.dice)),
            }
        };
        (who, scene(now, &mut self.dice))
    }
}

/// A scene from a closure.
fn scene(tell: impl FnOnce(Timestamp, &mut Dice) -> Event + Send + 'static) -> Scene {
    Box::new(tell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_story_tells_only_declared_events_and_in_time_all_of_them() {
        let now = Timestamp::parse("2026-11-22T09:14:03.118205Z").unwrap();
        let mut stage = Stage::new(Dice::new(1));
        let mut told: [BTreeSet<&str>; TENANTS.len()] = Default::default();
        for _ in 0..5_000 {
            let (who, event) = stage.next(now);
            assert!(event.payload.is_object());
            assert!(event.channels.iter().all(|c| domain::Channel::new(c).is_ok()), "{:?}", event.channels);
            told[who].insert(event.event_type);
        }
        for (tenant, told) in TENANTS.iter().zip(told) {
            let declared: BTreeSet<_> = tenant.event_types.iter().map(|(name, _)| *name).collect();
            assert!(declared.iter().all(|name| domain::EventTypeName::new(name).is_ok()));
            assert_eq!(told, declared, "{}", tenant.platform);
        }
    }

    #[test]
    fn a_lesson_begins_before_it_ends() {
        let now = Timestamp::default();
        let mut dice = Dice::new(3);
        let scenes = (TENANTS[1].story)(&mut dice);
        let told: Vec<_> = scenes.into_iter().map(|s| s(now, &mut dice).event_type).collect();
        assert_eq!(told[0], "room.created");
        let joined = told.iter().filter(|t| **t == "peer.joined").count();
        assert_eq!(joined, told.iter().filter(|t| **t == "peer.left").count());
        let closed = told.iter().position(|t| *t == "room.closed").unwrap();
        assert!(told[closed..].iter().all(|t| !t.starts_with("peer.")));
        assert!(told.last().unwrap().starts_with("recording."));
    }
}
