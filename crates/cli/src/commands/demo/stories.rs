//! What happens in the demo's five classrooms: invented people, payloads in the shape that each platform really sends. The
//! platforms are played, as `simulate` does it.

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
    /// The platform's name, for people.
    pub(crate) platform: &'static str,
    /// The application's uid.
    pub(crate) uid: &'static str,
    /// The application's name.
    pub(crate) name: &'static str,
    /// What its endpoint is for.
    pub(crate) receiver: &'static str,
    /// The platform that its application is made with, and that is played.
    pub(crate) preset: &'static str,
}

/// One tenant for each platform.
pub(crate) const TENANTS: [Tenant; 5] = [
    Tenant {
        platform: "Repl.it",
        uid: "replit-cs101",
        name: "Maple Street CS 101",
        receiver: "Program checker of the teacher",
        preset: "replit",
    },
    Tenant {
        platform: "Teachstack",
        uid: "teachstack-harbour",
        name: "Harbour Tutoring",
        receiver: "Attendance sheet",
        preset: "teachstack",
    },
    Tenant {
        platform: "Open edX",
        uid: "openedx-riverbank",
        name: "Riverbank Open Campus",
        receiver: "Student records",
        preset: "openedx",
    },
    Tenant {
        platform: "Canvas",
        uid: "canvas-northfield",
        name: "Northfield University",
        receiver: "Plagiarism check",
        preset: "canvas",
    },
    Tenant {
        platform: "Instruqt",
        uid: "instruqt-brightline",
        name: "Brightline Labs",
        receiver: "Sales dashboard",
        preset: "instruqt",
    },
];

/// All stories at once: whose turn it is, is left to the dice.
pub(crate) struct Stage {
    dice: Dice,
    acts: Vec<(&'static Platform, Steps)>,
}

impl Stage {
    /// With dice; plays begin now.
    pub(crate) fn new(mut dice: Dice, now: Timestamp) -> Self {
        let act = |tenant: &Tenant| {
            let platform = platforms::by_name(tenant.preset);
            let seed = dice.below(u64::MAX);
            let steps = platform.and_then(|p| Some((p, simulate(p, seed, now)?)));
            steps.unwrap_or_else(|| unreachable!("a test plays every tenant's platform"))
        };
        let acts = TENANTS.iter().map(act).collect();
        Self { dice, acts }
    }

    /// What happens next, and to which of the tenants.
    pub(crate) fn next(&mut self) -> (usize, Event) {
        loop {
            let who = self.dice.below(TENANTS.len() as u64) as usize;
            let (platform, steps) = &mut self.acts[who];
            let platform: &'static Platform = platform;
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
    fn every_tenant_plays_only_events_of_its_catalogue_and_in_time_all_of_them() {
        let now = Timestamp::parse("2026-11-22T09:14:03.118205Z").unwrap();
        let mut stage = Stage::new(Dice::new(1), now);
        let mut told: [BTreeSet<&str>; TENANTS.len()] = Default::default();
        for _ in 0..5_000 {
            let (who, event) = stage.next();
            assert!(event.payload.is_object());
            assert!(event.channels.iter().all(|c| domain::Channel::new(c).is_ok()), "{:?}", event.channels);
            told[who].insert(event.event_type);
        }
        for (tenant, told) in TENANTS.iter().zip(told) {
            let platform = platforms::by_name(tenant.preset).unwrap();
            let declared: BTreeSet<_> = platform.event_types().iter().map(|t| t.name.as_str()).collect();
            assert_eq!(told, declared, "{}", tenant.platform);
        }
    }
}
