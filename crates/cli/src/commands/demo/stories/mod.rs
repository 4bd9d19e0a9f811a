//! What happens in the demo's five classrooms: invented people, payloads in the shape that each platform really sends.
//!
//! Platforms that can be played are, as `simulate` does it. For the others there are stories here: a story is a list of
//! scenes, and each scene is told when its time comes, so that it carries that time.

mod openedx;

use super::dice::Dice;
use domain::Timestamp;
use platforms::simulate::{Step, Steps, simulate};
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
    /// What happens there.
    story: Story,
}

/// Where events come from.
#[derive(Debug)]
enum Story {
    /// Told here: makes up what happens next, such as a course.
    Told(fn(&mut Dice) -> Vec<Scene>),
    /// A platform of this name is played; the application gets its catalogue.
    Played(&'static str),
}

impl Tenant {
    /// The platform that its application is made with.
    pub(crate) fn preset(&self) -> Option<&'static str> {
        match self.story {
            Story::Told(_) => None,
            Story::Played(name) => Some(name),
        }
    }
}

const REPLIT: Tenant = Tenant {
    platform: "Repl.it",
    uid: "replit-cs101",
    name: "Maple Street CS 101",
    receiver: "Program checker of the teacher",
    event_types: &[],
    story: Story::Played("replit"),
};
const TEACHSTACK: Tenant = Tenant {
    platform: "Teachstack",
    uid: "teachstack-harbour",
    name: "Harbour Tutoring",
    receiver: "Attendance sheet",
    event_types: &[],
    story: Story::Played("teachstack"),
};
const CANVAS: Tenant = Tenant {
    platform: "Canvas",
    uid: "canvas-northfield",
    name: "Northfield University",
    receiver: "Plagiarism check",
    event_types: &[],
    story: Story::Played("canvas"),
};
const INSTRUQT: Tenant = Tenant {
    platform: "Instruqt",
    uid: "instruqt-brightline",
    name: "Brightline Labs",
    receiver: "Sales dashboard",
    event_types: &[],
    story: Story::Played("instruqt"),
};

/// One tenant for each platform.
pub(crate) const TENANTS: [Tenant; 5] = [REPLIT, TEACHSTACK, openedx::TENANT, CANVAS, INSTRUQT];

/// All stories at once: whose turn it is, is left to the dice.
pub(crate) struct Stage {
    dice: Dice,
    acts: Vec<Act>,
}

/// How far a story is.
enum Act {
    Told(fn(&mut Dice) -> Vec<Scene>, VecDeque<Scene>),
    Played(&'static platforms::Platform, Steps),
}

impl Stage {
    /// With dice; plays begin now.
    pub(crate) fn new(mut dice: Dice, now: Timestamp) -> Self {
        let mut act = |tenant: &Tenant| match tenant.story {
            Story::Told(tell) => Act::Told(tell, VecDeque::new()),
            Story::Played(name) => {
                let platform = platforms::by_name(name);
                let seed = dice.below(u64::MAX);
                let steps = platform.and_then(|p| Some((p, simulate(p, seed, now)?)));
                let (platform, steps) = steps.unwrap_or_else(|| unreachable!("a test plays every tenant's platform"));
                Act::Played(platform, steps)
            }
        };
        let acts = TENANTS.iter().map(&mut act).collect();
        Self { dice, acts }
    }

    /// What happens next, and to which of the tenants.
    pub(crate) fn next(&mut self, now: Timestamp) -> (usize, Event) {
        loop {
            let who = self.dice.below(TENANTS.len() as u64) as usize;
            let event = match &mut self.acts[who] {
                Act::Told(tell, scenes) => {
                    if scenes.is_empty() {
                        scenes.extend(tell(&mut self.dice));
                    }
                    scenes.pop_front().map(|scene| scene(now, &mut self.dice))
                }
                Act::Played(platform, steps) => steps.next().and_then(|step| played(platform, step)),
            };
            if let Some(event) = event {
                return (who, event);
            }
        }
    }
}

/// A step of a play; every one of them is in the platform's catalogue.
fn played(platform: &'static platforms::Platform, step: Step) -> Option<Event> {
    Some(Event {
        event_type: platform.event_type(&step.event_type)?.name.as_str(),
        channels: step.channels.iter().map(ToString::to_string).collect(),
        payload: serde_json::from_slice(&step.payload).ok()?,
    })
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
        let mut stage = Stage::new(Dice::new(1), now);
        let mut told: [BTreeSet<&str>; TENANTS.len()] = Default::default();
        for _ in 0..5_000 {
            let (who, event) = stage.next(now);
            assert!(event.payload.is_object());
            assert!(event.channels.iter().all(|c| domain::Channel::new(c).is_ok()), "{:?}", event.channels);
            told[who].insert(event.event_type);
        }
        for (tenant, told) in TENANTS.iter().zip(told) {
            let mut declared: BTreeSet<_> = tenant.event_types.iter().map(|(name, _)| *name).collect();
            if let Some(platform) = tenant.preset().and_then(platforms::by_name) {
                declared.extend(platform.event_types().iter().map(|t| t.name.as_str()));
            }
            assert!(declared.iter().all(|name| domain::EventTypeName::new(name).is_ok()));
            assert_eq!(told, declared, "{}", tenant.platform);
        }
    }
}
