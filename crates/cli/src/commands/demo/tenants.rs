//! The demo's five classrooms, one of each platform, played as `schoolbell simulate` does it.

use super::dice::Dice;
use domain::Timestamp;
use platforms::{
    Platform,
    simulate::{Step, Steps, simulate},
};
use serde_json::Value;

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
    /// The name of the platform that is played, and that the application is made with.
    pub(crate) preset: &'static str,
}

const REPLIT: Tenant = Tenant {
    platform: "Repl.it",
    uid: "replit-cs101",
    name: "Maple Street CS 101",
    receiver: "Program checker of the teacher",
    preset: "replit",
};
const TEACHSTACK: Tenant = Tenant {
    platform: "Teachstack",
    uid: "teachstack-harbour",
    name: "Harbour Tutoring",
    receiver: "Attendance sheet",
    preset: "teachstack",
};
const OPENEDX: Tenant = Tenant {
    platform: "Open edX",
    uid: "openedx-riverbank",
    name: "Riverbank Open Campus",
    receiver: "Student records",
    preset: "openedx",
};
const CANVAS: Tenant = Tenant {
    platform: "Canvas",
    uid: "canvas-northfield",
    name: "Northfield University",
    receiver: "Plagiarism check",
    preset: "canvas",
};
const INSTRUQT: Tenant = Tenant {
    platform: "Instruqt",
    uid: "instruqt-brightline",
    name: "Brightline Labs",
    receiver: "Sales dashboard",
    preset: "instruqt",
};

/// One tenant for each platform.
pub(crate) const TENANTS: [Tenant; 5] = [REPLIT, TEACHSTACK, OPENEDX, CANVAS, INSTRUQT];

/// All plays at once: whose turn it is, is left to the dice.
pub(crate) struct Stage {
    dice: Dice,
    plays: Vec<(&'static Platform, Steps)>,
}

impl Stage {
    /// The plays begin now.
    pub(crate) fn new(mut dice: Dice, now: Timestamp) -> Self {
        let mut play = |tenant: &Tenant| {
            let platform = platforms::by_name(tenant.preset);
            let steps = platform.and_then(|p| Some((p, simulate(p, dice.below(u64::MAX), now)?)));
            steps.unwrap_or_else(|| unreachable!("a test plays every tenant's platform"))
        };
        let plays = TENANTS.iter().map(&mut play).collect();
        Self { dice, plays }
    }

    /// What happens next, and to which of the tenants.
    pub(crate) fn next(&mut self) -> (usize, Event) {
        loop {
            let who = self.dice.below(TENANTS.len() as u64) as usize;
            let (platform, steps) = &mut self.plays[who];
            if let Some(event) = steps.next().and_then(|step| played(platform, step)) {
                return (who, event);
            }
        }
    }
}

/// A step of a play; every one of them is in the platform's catalogue.
fn played(platform: &'static Platform, step: Step) -> Option<Event> {
    Some(Event {
        event_type: platform.event_type(&step.event_type)?.name.as_str(),
        channels: step.channels.iter().map(ToString::to_string).collect(),
        payload: serde_json::from_slice(&step.payload).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_play_publishes_what_its_platform_has_and_more_than_one_thing_in_time() {
        let mut stage = Stage::new(Dice::new(1), Timestamp::parse("2026-11-22T09:14:03.118205Z").unwrap());
        let mut published: [BTreeSet<&str>; TENANTS.len()] = Default::default();
        for _ in 0..2_000 {
            let (who, event) = stage.next();
            assert!(event.payload.is_object());
            assert!(event.channels.iter().all(|c| domain::Channel::new(c).is_ok()), "{:?}", event.channels);
            published[who].insert(event.event_type);
        }
        for (tenant, published) in TENANTS.iter().zip(published) {
            let has = platforms::by_name(tenant.preset).unwrap().event_types();
            assert!(published.len() >= has.len().min(4), "{}: {published:?}", tenant.platform);
        }
    }
}
