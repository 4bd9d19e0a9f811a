//! A lane under anything that can happen to it, beside a plain model of where every delivery is. The model plays the
//! engine and the store: it hands over, claims, finishes, fails, puts back, clears, and lets the clock pass or jump.

use crate::lane::{Lane, Limits, Next, PAGE_MAX, Seat, TryResult, WINDOW, is_fresh};
use crate::rate::Pace;
use crate::timers::Timers;
use bytes::Bytes;
use domain::{AppKey, DeliveryRef, EndpointKey, EndpointRef, EventTypeName, Ksuid, MessageId, MessageMeta};
use domain::{Timestamp, Trigger};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use store::{Leased, Outgoing};

const TO: EndpointRef = EndpointRef { app: AppKey(1), endpoint: EndpointKey(1) };

#[derive(Clone, Debug)]
enum Event {
    /// So many messages are accepted. Their commit comes later if `late`.
    Accept { messages: usize, late: bool },
    /// The commits that are late come now, and the seats of recorded results are given back.
    Commit,
    /// A retry, a resend or a released message becomes due in the table after so many milliseconds.
    Due { after: u64, fresh: bool },
    /// The `which`-th on the wire is over.
    Finish { which: usize, how: TryResult, again_after: u64 },
    /// The claim that runs is over.
    Claim { works: bool, bytes_cut_it_at: usize },
    /// The clock passes, and wakes the lane if its time has come.
    Pass { millis: u64 },
    /// The clock steps back.
    StepBack { millis: u64 },
    /// The application's rate holds back what the lane wants to send next, for so long.
    PutBack { millis: u64 },
    /// The endpoint's width is changed.
    Concurrency(usize),
    /// The claim that runs finds the endpoint switched off: what waits is cancelled. Then it is switched on again.
    Clear,
}

fn events() -> impl Strategy<Value = Event> {
    let how = prop_oneof![
        4 => Just(TryResult::Answered { success: true }),
        3 => Just(TryResult::Answered { success: false }),
        3 => Just(TryResult::NoAnswer),
        1 => Just(TryResult::Unwelcome),
        1 => Just(TryResult::NotSent),
    ];
    prop_oneof![
        6 => (prop_oneof![1..4usize, 1..80usize, 1..600usize], any::<bool>())
            .prop_map(|(messages, late)| Event::Accept { messages, late }),
        3 => Just(Event::Commit),
        3 => (0..20_000u64, any::<bool>()).prop_map(|(after, fresh)| Event::Due { after, fresh }),
        20 => (any::<prop::sample::Index>(), how, 0..20_000u64)
            .prop_map(|(which, how, again_after)| Event::Finish { which: which.index(1 << 16), how, again_after }),
        6 => (prop::bool::weighted(0.8), prop_oneof![Just(PAGE_MAX), 0..PAGE_MAX])
            .prop_map(|(works, bytes_cut_it_at)| Event::Claim { works, bytes_cut_it_at }),
        6 => prop_oneof![0..50u64, 0..2_000u64, 0..40_000u64].prop_map(|millis| Event::Pass { millis }),
        1 => (0..100_000u64).prop_map(|millis| Event::StepBack { millis }),
        2 => (1..500u64).prop_map(|millis| Event::PutBack { millis }),
        1 => (1..40usize).prop_map(Event::Concurrency),
        1 => Just(Event::Clear),
    ]
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    due: Timestamp,
    fresh: bool,
}

struct Model {
    lane: Lane,
    timers: Timers,
    limits: Limits,
    rate: Option<u16>,
    now: Timestamp,
    /// How often the clock stepped back: over such a step a rate cannot be measured.
    steps_back: usize,
    stepped_back: u64,
    next_id: u64,
    table: BTreeMap<u64, Row>,
    in_memory: BTreeMap<u64, bool>,
    on_wire: Vec<Leased>,
    /// Accepted with a seat; the commit is still to come.
    uncommitted: Vec<Leased>,
    /// In the table, but nobody told the lane yet.
    untold: VecDeque<Timestamp>,
    /// Of recorded results whose commit is still to come.
    seats: Vec<Option<Box<dyn std::any::Any + Send + Sync>>>,
    claiming: bool,
    /// What the claim that runs takes at most.
    page: usize,
    /// Put back so often before something may go, and for how long.
    put_back: Option<u64>,
    settled: usize,
    sent_at: Vec<(usize, Timestamp)>,
}

fn leased(id: u64, fresh: bool, seat: Option<Seat>) -> Leased {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    let message = MessageId(Ksuid(bytes));
    let meta = MessageMeta {
        id: message,
        app: TO.app,
        event_type: EventTypeName::new("x").unwrap(),
        event_id: None,
        channels: Default::default(),
        tags: Default::default(),
        order_key: None,
        created_at: Timestamp::default(),
    };
    Leased {
        delivery: DeliveryRef { to: TO, message },
        message: Arc::new(Outgoing { meta, payload: Bytes::new(), budget: None }),
        tries: u32::from(!fresh),
        trigger: Trigger::Scheduled,
        ticket: seat.map(|s| Box::new(s) as _),
    }
}

fn id_of(job: &Leased) -> u64 {
    job.delivery.message.0.head() as u64
}

impl Model {
    fn new(concurrency: usize, rate: Option<u16>) -> Self {
        Self {
            lane: Lane::new(TO),
            timers: Timers::default(),
            limits: Limits { concurrency, rate: rate.map(|rate| Pace::share(rate, 1)), together: 1 },
            rate,
            now: Timestamp::from_micros(1_800_000_000_000_000),
            steps_back: 0,
            stepped_back: 0,
            next_id: 1,
            table: BTreeMap::new(),
            in_memory: BTreeMap::new(),
            on_wire: Vec::new(),
            uncommitted: Vec::new(),
            untold: VecDeque::new(),
            seats: Vec::new(),
            claiming: false,
            page: 0,
            put_back: None,
            settled: 0,
            sent_at: Vec::new(),
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn later(&self, millis: u64) -> Timestamp {
        self.now.plus(Duration::from_millis(millis))
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Accept { messages, late } => {
                for _ in 0..messages {
                    let id = self.new_id();
                    match self.lane.admit() {
                        Some(seat) => self.uncommitted.push(leased(id, true, Some(seat))),
                        None => {
                            self.table.insert(id, Row { due: self.now, fresh: true });
                            self.untold.push_back(self.now);
                        }
                    }
                }
                if !late {
                    self.commit();
                }
            }
            Event::Commit => self.commit(),
            Event::Due { after, fresh } => {
                let (id, due) = (self.new_id(), self.later(after));
                self.table.insert(id, Row { due, fresh });
                self.lane.due_at(due);
            }
            Event::Finish { which, how, again_after } => {
                if !self.on_wire.is_empty() {
                    let job = self.on_wire.swap_remove(which % self.on_wire.len());
                    self.finish(job, how, again_after);
                }
            }
            Event::Claim { works, bytes_cut_it_at } if self.claiming => self.claim(works, bytes_cut_it_at),
            Event::Claim { .. } => {}
            Event::Pass { millis } => self.pass(millis),
            Event::StepBack { millis } => {
                self.now = self.now.minus(Duration::from_millis(millis));
                self.steps_back += 1;
                self.stepped_back += millis;
            }
            Event::PutBack { millis } => self.put_back = Some(millis),
            Event::Concurrency(n) => self.limits.concurrency = n,
            Event::Clear if !self.claiming => {}
            Event::Clear => {
                for job in self.lane.clear() {
                    assert!(self.in_memory.remove(&id_of(&job)).is_some(), "cleared what was not there");
                    self.settled += 1;
                }
                assert!(self.in_memory.is_empty(), "not all was cleared");
                // The rows go too, but for those that nobody told the lane about: these are found when they are due.
                let gone = std::mem::take(&mut self.table).len();
                self.settled += gone;
                self.untold.clear();
                self.claiming = false;
                self.lane.claimed(Vec::new(), false, None);
            }
        }
        self.pump();
        self.check();
    }

    fn commit(&mut self) {
        for job in std::mem::take(&mut self.uncommitted) {
            assert!(self.in_memory.insert(id_of(&job), true).is_none());
            self.lane.push(job);
            self.pump();
        }
        while let Some(due) = self.untold.pop_front() {
            self.lane.due_at(due);
        }
        self.seats.clear();
    }

    fn finish(&mut self, job: Leased, how: TryResult, again_after: u64) {
        let was_again = !is_fresh(&job);
        self.lane.done(was_again, how, self.limits, self.now);
        match how {
            TryResult::Answered { success: true } => self.settled += 1,
            _ => {
                let due = self.later(again_after);
                self.table.insert(id_of(&job), Row { due, fresh: false });
                self.untold.push_back(due);
            }
        }
        self.seats.push(job.ticket);
    }

    fn claim(&mut self, works: bool, bytes_cut_it_at: usize) {
        self.claiming = false;
        if !works {
            self.lane.claim_failed(self.later(200));
            return;
        }
        let mut due: Vec<(u64, Row)> =
            self.table.iter().filter(|(_, r)| r.due <= self.now).map(|(id, r)| (*id, *r)).collect();
        due.sort_by_key(|(_, r)| (!r.fresh, r.due));
        // The store always takes at least one, whatever its size.
        let found = due.len();
        due.truncate(bytes_cut_it_at.clamp(1, self.page));
        let fresh_left = due.len() < found && due.iter().all(|(_, r)| r.fresh);
        let mut jobs = Vec::new();
        for (id, row) in due {
            self.table.remove(&id);
            assert!(self.in_memory.insert(id, row.fresh).is_none());
            jobs.push(leased(id, row.fresh, None));
        }
        let next_due = self.table.values().map(|r| r.due).min();
        self.lane.claimed(jobs, fresh_left, next_due);
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.later(millis);
        if !self.timers.due(self.now).is_empty() {
            self.lane.wake = None;
        }
    }

    /// What the engine does whenever something happened.
    fn pump(&mut self) {
        for _ in 0..10_000 {
            match self.lane.next(self.now, self.limits) {
                Next::Send(job) => {
                    let id = id_of(&job);
                    assert!(self.in_memory.contains_key(&id), "{id} is sent, but was not in memory");
                    if let Some(millis) = self.put_back.take() {
                        self.lane.put_back(job, self.limits);
                        let at = self.later(millis);
                        self.wake_at(at);
                        return;
                    }
                    self.in_memory.remove(&id);
                    self.on_wire.push(job);
                    self.sent_at.push((self.steps_back, self.now));
                    assert!(self.on_wire.len() <= self.limits.concurrency, "wider than allowed");
                    let again = self.on_wire.iter().filter(|j| !is_fresh(j)).count();
                    let last = self.on_wire.last().is_some_and(|j| !is_fresh(j));
                    let room = self.limits.concurrency.saturating_sub(1).max(1);
                    assert!(!last || again <= room, "retries took the last place");
                }
                Next::Claim { limit, .. } => {
                    self.page = limit;
                    assert!(!self.claiming, "two claims at the same time");
                    assert!(self.in_memory.len() < WINDOW, "claims though memory is full");
                    assert!((1..=PAGE_MAX).contains(&limit), "a page of {limit}");
                    self.claiming = true;
                }
                Next::WakeAt(at) => {
                    assert!(at > self.now, "wakes at once, again and again");
                    self.wake_at(at);
                    return;
                }
                Next::Idle => {
                    if self.lane.is_idle(self.now) {
                        assert!(self.on_wire.is_empty() && self.in_memory.is_empty() && !self.claiming);
                        assert!(self.uncommitted.is_empty(), "forgot a lane with a seat taken");
                        // The lane is forgotten; the next event makes a new one.
                        self.lane = Lane::new(TO);
                    }
                    return;
                }
            }
        }
        panic!("the lane never comes to rest");
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.timers.plan(TO.endpoint, &mut self.lane.wake, at, None);
    }

    /// Nothing lost, nothing twice, and always something that makes it go on.
    fn check(&self) {
        let everywhere = self.table.len() + self.in_memory.len() + self.on_wire.len() + self.uncommitted.len();
        assert_eq!(everywhere + self.settled, self.next_id as usize - 1, "lost or doubled");
        let waits = !self.in_memory.is_empty() || (!self.table.is_empty() && self.untold.is_empty());
        let goes_on = !self.on_wire.is_empty() || self.claiming || self.lane.wake.is_some();
        assert!(!waits || goes_on, "stuck: {} in memory, {} in the table", self.in_memory.len(), self.table.len());
    }

    /// The receiver is well from now on: everything must go out in the end.
    fn drain(&mut self) {
        for _ in 0..200_000 {
            self.commit();
            self.pump();
            if let Some(job) = self.on_wire.pop() {
                self.finish(job, TryResult::Answered { success: true }, 0);
            } else if self.claiming {
                self.claim(true, PAGE_MAX);
            } else if let Some(wake) = self.lane.wake {
                self.pass(wake.at.since(self.now).as_millis() as u64 + 1);
            } else {
                break;
            }
            self.pump();
            self.check();
        }
        self.commit();
        assert!(self.table.is_empty() && self.in_memory.is_empty() && self.on_wire.is_empty(), "not all went out");
        assert_eq!(self.settled, self.next_id as usize - 1);
        // What a rate and a breaker remember is over by then, also with a clock that stepped back.
        self.pass(700_000 + self.stepped_back);
        self.pump();
        assert!(self.lane.is_idle(self.now), "nothing to do, but the lane is kept");
    }

    fn rate_was_kept(&self) {
        let Some(rate) = self.rate else { return };
        let most = usize::from(rate) + usize::from(rate) / 10;
        for (i, (step, begin)) in self.sent_at.iter().enumerate() {
            let end = begin.plus(Duration::from_secs(1));
            let within = self.sent_at[i..].iter().take_while(|(s, at)| s == step && *at < end).count();
            assert!(within <= most, "{within} in a second, at most {most}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_stuck_and_no_limit_is_broken(
        concurrency in 1..40usize,
        rate in prop_oneof![Just(None), (1..50u16).prop_map(Some), (1..2_000u16).prop_map(Some)],
        events in prop::collection::vec(events(), 1..120),
    ) {
        let mut model = Model::new(concurrency, rate);
        for event in events {
            model.happens(event);
        }
        model.drain();
        model.rate_was_kept();
    }
}
