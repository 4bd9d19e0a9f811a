//! An endpoint's lane: what of it is in memory, what may go next, what must wait and until when. Pure; the engine acts.

use crate::{
    rate::{Pace, Rate},
    timers::{Turn, Wake},
};
use domain::{
    EndpointRef, InLine, Timestamp, WaitsFor,
    breaker::{Breaker, Says},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use store::Leased;

/// Deliveries of one lane in memory at most; the rest stays in the table.
pub(crate) const WINDOW: usize = 512;
/// Bytes that are worth a request of their own, where several deliveries may travel together.
const FULL_ENOUGH: usize = outbound::queue::BATCH_BYTES / 2;
/// Deliveries taken out of the table at once: so many to begin with…
const PAGE: usize = 64;
/// …and up to so many where pages are used up quickly, so that the disk's sync, which each of them waits for, does not set the
/// pace of a quick receiver.
pub(crate) const PAGE_MAX: usize = 256;
/// A page is quickly used up within this long.
const QUICKLY: Duration = Duration::from_millis(50);
/// With so many retries in memory no more of them are taken out of the table.
const RETRIES: usize = 32;

/// A seat in the lane's window, taken when a message is accepted and given back when its result is on disk.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the lane wants next.
pub(crate) enum Next {
    /// Send this.
    Send(Leased),
    /// Look into the table.
    Claim {
        /// Leave retries out: enough of them are in memory.
        fresh_only: bool,
        /// Deliveries at most.
        limit: usize,
    },
    /// Nothing until then.
    WakeAt(Timestamp),
    /// Nothing until something happens.
    Idle,
}

/// What limits a lane; from its endpoint's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests at the same time.
    pub(crate) concurrency: usize,
    /// How often one may go.
    pub(crate) rate: Option<Pace>,
    /// Deliveries that one request takes at most: more than one for queues.
    pub(crate) together: usize,
}

pub(crate) struct Lane {
    pub(crate) to: EndpointRef,
    fresh: VecDeque<Leased>,
    again: VecDeque<Leased>,
    in_flight: usize,
    again_in_flight: usize,
    /// Requests at the same time that the receiver has earned: halved when it fails to answer, one more with each success.
    width: usize,
    seats: Arc<AtomicUsize>,
    /// When something in the table is due.
    backlog: Option<Timestamp>,
    /// First tries had to stay in the table; new ones must not overtake them.
    spilled: bool,
    claiming: bool,
    /// Deliveries to take out of the table at once.
    page: usize,
    /// When the lane last looked into the table.
    looked: Option<Timestamp>,
    rate: Rate,
    breaker: Breaker,
    /// The wake-up that the engine has planned.
    pub(crate) wake: Option<Wake>,
    /// Its turn among the lanes of its application, if it waits for the application's rate.
    pub(crate) turn: Option<Turn>,
    /// The endpoint's failing was written down.
    pub(crate) failing_noted: bool,
    /// The limits that held when the endpoint was last looked at.
    pub(crate) known_limits: Option<Limits>,
}

impl Lane {
    pub(crate) fn new(to: EndpointRef) -> Self {
        Self {
            to,
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            in_flight: 0,
            again_in_flight: 0,
            width: usize::MAX,
            seats: Arc::new(AtomicUsize::new(0)),
            backlog: None,
            spilled: false,
            claiming: false,
            page: PAGE,
            looked: None,
            rate: Rate::default(),
            breaker: Breaker::default(),
            wake: None,
            turn: None,
            failing_noted: false,
            known_limits: None,
        }
    }

    /// Takes a seat for a message that is about to be accepted; none if it must wait in the table.
    pub(crate) fn admit(&mut self) -> Option<Seat> {
        if self.spilled || self.seats.load(Ordering::Relaxed) >= WINDOW {
            self.spilled = true;
            return None;
        }
        self.seats.fetch_add(1, Ordering::Relaxed);
        Some(Seat(self.seats.clone()))
    }

    /// A delivery that was handed over by the store.
    pub(crate) fn push(&mut self, job: Leased) {
        if is_fresh(&job) { self.fresh.push_back(job) } else { self.again.push_back(job) }
    }

    /// Something in the table is due then.
    pub(crate) fn due_at(&mut self, at: Timestamp) {
        self.backlog = Some(self.backlog.map_or(at, |b| b.min(at)));
    }

    /// What a claim found, whether first tries may be left behind, and when something is due that is.
    pub(crate) fn claimed(&mut self, jobs: Vec<Leased>, fresh_left: bool, next_due: Option<Timestamp>) {
        self.claiming = false;
        self.spilled &= fresh_left;
        // What came in while the claim ran stays due.
        self.backlog = match (self.backlog, next_due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for job in jobs {
            self.push(job);
        }
    }

    /// A claim went wrong; look again then.
    pub(crate) fn claim_failed(&mut self, look_again: Timestamp) {
        self.claiming = false;
        self.backlog = Some(look_again);
    }

    /// What to do now. The engine does it and asks again.
    pub(crate) fn next(&mut self, now: Timestamp, limits: Limits) -> Next {
        let in_memory = self.fresh.len() + self.again.len();
        let due = self.backlog.is_some_and(|at| at <= now);
        // Half a page before the end, so that the next one is there in time.
        let low = self.page / 2;
        if !self.claiming && due && (in_memory < low || (self.spilled && self.fresh.len() < low)) {
            self.claiming = true;
            self.backlog = None;
            let quickly = self.looked.replace(now).is_some_and(|before| now.since(before) < QUICKLY);
            self.page = if quickly { (2 * self.page).min(PAGE_MAX) } else { PAGE };
            return Next::Claim { fresh_only: self.again.len() >= RETRIES, limit: self.page };
        }
        let waiting = if due { None } else { self.backlog };
        if in_memory == 0 {
            return waiting.map_or(Next::Idle, Next::WakeAt);
        }
        match self.breaker.says(now) {
            Says::WaitUntil(at) => return Next::WakeAt(at),
            Says::Probe if self.in_flight > 0 => return Next::Idle,
            Says::Probe | Says::Go => {}
        }
        let width = self.width.min(limits.concurrency).max(1);
        if self.in_flight >= width {
            return Next::Idle;
        }
        // Retries never take the last place, so that first tries do not queue behind them.
        let again_may = width == 1 || self.again_in_flight < width - 1;
        let again = self.fresh.is_empty();
        if again && !again_may {
            return waiting.map_or(Next::Idle, Next::WakeAt);
        }
        // Once an answer or a page of the table is there, more may go along; nothing is awaited that is not under way.
        if (self.in_flight > 0 || self.claiming) && !self.fills_a_request(again, limits) {
            return Next::Idle;
        }
        if let Some(rate) = limits.rate
            && let Err(at) = self.rate.take(rate, now)
        {
            return Next::WakeAt(at);
        }
        let job = if again { self.again.pop_front() } else { self.fresh.pop_front() };
        match job {
            Some(job) => {
                self.in_flight += 1;
                self.again_in_flight += usize::from(again);
                Next::Send(job)
            }
            None => Next::Idle,
        }
    }

    /// Whether as much waits as one request takes, about.
    fn fills_a_request(&self, again: bool, limits: Limits) -> bool {
        let waiting = if again { &self.again } else { &self.fresh };
        waiting.len() >= limits.together
            || waiting.iter().map(|job| job.message.payload.len()).sum::<usize>() >= FULL_ENOUGH
    }

    /// Further deliveries of the same kind that travel with one that goes: they take no place of their own. At most so
    /// many, with so many bytes of payload, as far as the rates let them.
    pub(crate) fn companions(
        &mut self,
        again: bool,
        most: usize,
        bytes: usize,
        limits: Limits,
        now: Timestamp,
        mut may_go: impl FnMut() -> bool,
    ) -> Vec<Leased> {
        let mut taken = Vec::new();
        // A probe goes alone.
        if !matches!(self.breaker.says(now), Says::Go) {
            return taken;
        }
        let waiting = if again { &mut self.again } else { &mut self.fresh };
        let mut room = bytes;
        while taken.len() < most
            && let Some(next) = waiting.front()
            && next.message.payload.len() <= room
            && limits.rate.is_none_or(|rate| self.rate.take(rate, now).is_ok())
        {
            if !may_go() {
                if let Some(rate) = limits.rate {
                    self.rate.give_back(rate);
                }
                break;
            }
            room -= next.message.payload.len();
            taken.extend(waiting.pop_front());
        }
        taken
    }

    /// A job that could not go after all (its application's rate): first in line again.
    pub(crate) fn put_back(&mut self, job: Leased, limits: Limits) {
        self.in_flight -= 1;
        if let Some(rate) = limits.rate {
            self.rate.give_back(rate);
        }
        if is_fresh(&job) {
            self.fresh.push_front(job);
        } else {
            self.again_in_flight -= 1;
            self.again.push_front(job);
        }
    }

    /// A try is over.
    pub(crate) fn done(&mut self, was_again: bool, result: TryResult, limits: Limits, now: Timestamp) {
        self.in_flight -= 1;
        self.again_in_flight -= usize::from(was_again);
        match result {
            TryResult::Answered { success } => {
                if success {
                    self.breaker.succeeded();
                    self.failing_noted = false;
                    if self.width < limits.concurrency {
                        self.width += 1;
                    }
                } else {
                    self.breaker.failed(now);
                }
            }
            TryResult::NoAnswer => {
                self.width = (self.width.min(limits.concurrency) / 2).max(1);
                self.breaker.failed(now);
            }
            TryResult::Unwelcome | TryResult::NotSent => {}
        }
    }

    /// What waits here, and what for.
    pub(crate) fn in_line(&self, now: Timestamp, limits: Limits) -> InLine {
        let waits_for = match (self.breaker.says(now), limits.rate) {
            (Says::WaitUntil(at), _) => WaitsFor::Receiver(at),
            (Says::Probe, _) => WaitsFor::Receiver(now),
            // Asked of a copy: nothing goes.
            (Says::Go, Some(rate)) if self.rate.clone().take(rate, now).is_err() => WaitsFor::EndpointRate,
            (Says::Go, _) => WaitsFor::Turn,
        };
        let messages = self.fresh.iter().chain(&self.again).map(|job| job.delivery.message).collect();
        InLine { messages, waits_for: Some(waits_for) }
    }

    /// Takes everything out that is not on the wire: the endpoint is gone, or the server stops.
    pub(crate) fn clear(&mut self) -> Vec<Leased> {
        self.backlog = None;
        self.spilled = false;
        self.fresh.drain(..).chain(self.again.drain(..)).collect()
    }

    /// Whether it can be forgotten: nothing in memory, nothing known in the table, nothing to remember.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.in_flight == 0
            && self.fresh.is_empty()
            && self.again.is_empty()
            && !self.claiming
            && !self.spilled
            && self.backlog.is_none()
            && self.wake.is_none()
            && self.breaker.is_idle(now)
            && self.rate.is_idle(now)
            && self.seats.load(Ordering::Relaxed) == 0
    }
}

/// How a try ended, as far as the lane cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TryResult {
    /// The receiver answered.
    Answered {
        /// With a 2xx.
        success: bool,
    },
    /// It did not: a timeout, a refused or broken connection, no name.
    NoAnswer,
    /// It answered that it does not want this one message.
    Unwelcome,
    /// Nothing was sent.
    NotSent,
}

/// A first try by the schedule.
pub(crate) fn is_fresh(job: &Leased) -> bool {
    job.tries == 0 && job.trigger == domain::Trigger::Scheduled
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use domain::{AppKey, DeliveryRef, EndpointKey, EventTypeName, Ksuid, MessageId, MessageMeta, Trigger};
    use std::time::Duration;
    use store::Outgoing;

    const TO: EndpointRef = EndpointRef { app: AppKey(1), endpoint: EndpointKey(1) };
    const LIMITS: Limits = Limits { concurrency: 4, rate: None, together: 1 };

    fn at(s: i64) -> Timestamp {
        Timestamp::from_micros(s * 1_000_000)
    }

    fn job(n: u8, tries: u32) -> Leased {
        let id = MessageId(Ksuid([n; 20]));
        let meta = MessageMeta {
            id,
            app: TO.app,
            event_type: EventTypeName::new("x").unwrap(),
            event_id: None,
            channels: Default::default(),
            tags: Default::default(),
            order_key: None,
            created_at: at(0),
        };
        Leased {
            delivery: DeliveryRef { to: TO, message: id },
            message: Arc::new(Outgoing { meta, payload: Bytes::new(), budget: None }),
            tries,
            trigger: Trigger::Scheduled,
            ticket: None,
        }
    }

    fn sends(lane: &mut Lane, limits: Limits) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Next::Send(j) = lane.next(at(1), limits) {
            sent.push(j.delivery.message.0.0[0]);
        }
        sent
    }

    #[test]
    fn first_tries_go_before_retries_and_retries_leave_one_place_free() {
        let mut lane = Lane::new(TO);
        for n in 0..6 {
            lane.push(job(n, 1));
        }
        assert_eq!(sends(&mut lane, LIMITS), [0, 1, 2]);
        lane.push(job(9, 0));
        assert_eq!(sends(&mut lane, LIMITS), [9]);
        lane.done(true, TryResult::Answered { success: true }, LIMITS, at(1));
        assert_eq!(sends(&mut lane, LIMITS), [3]);
    }

    #[test]
    fn a_receiver_that_does_not_answer_loses_width_and_earns_it_back() {
        let mut lane = Lane::new(TO);
        for n in 0..20 {
            lane.push(job(n, 0));
        }
        assert_eq!(sends(&mut lane, LIMITS).len(), 4);
        for _ in 0..4 {
            lane.done(false, TryResult::NoAnswer, LIMITS, at(1));
        }
        assert_eq!(sends(&mut lane, LIMITS).len(), 1);
        lane.done(false, TryResult::Answered { success: true }, LIMITS, at(1));
        assert_eq!(sends(&mut lane, LIMITS).len(), 2);
    }

    #[test]
    fn it_says_what_waits_and_what_for_without_taking_a_place() {
        let mut lane = Lane::new(TO);
        let limits = Limits { concurrency: 1, rate: Some(Pace::share(1, 1)), together: 1 };
        lane.push(job(0, 0));
        lane.push(job(1, 1));
        assert_eq!(lane.in_line(at(1), limits).waits_for, Some(WaitsFor::Turn));
        assert_eq!(sends(&mut lane, limits), [0], "looking took nothing");
        let line = lane.in_line(at(1), limits);
        assert_eq!(
            line,
            InLine { messages: [MessageId(Ksuid([1; 20]))].into(), waits_for: Some(WaitsFor::EndpointRate) }
        );
        for second in 1..=11 {
            lane.breaker.failed(at(second));
        }
        assert_eq!(lane.in_line(at(11), limits).waits_for, Some(WaitsFor::Receiver(at(12))));
    }

    #[test]
    fn companions_take_no_place_and_keep_to_kind_size_and_rate() {
        let mut lane = Lane::new(TO);
        // A tenth of a second's worth at once: five.
        let limits = Limits { concurrency: 1, rate: Some(Pace::share(50, 1)), together: 10 };
        for n in 0..8 {
            lane.push(job(n, 0));
        }
        lane.push(job(9, 1));
        assert!(matches!(lane.next(at(1), limits), Next::Send(_)));
        let ids = |jobs: Vec<Leased>| jobs.iter().map(|j| j.delivery.message.0.0[0]).collect::<Vec<_>>();
        assert_eq!(ids(lane.companions(false, 2, 100, limits, at(1), || true)), [1, 2]);
        assert_eq!(ids(lane.companions(true, 9, 100, limits, at(1), || true)), [9]);
        assert_eq!(ids(lane.companions(false, 9, 100, limits, at(1), || false)), [] as [u8; 0]);
        assert_eq!(ids(lane.companions(false, 9, 100, limits, at(1), || true)), [3], "five at once");
        assert!(matches!(lane.next(at(1), limits), Next::Idle), "the one place is taken");
        lane.done(false, TryResult::Answered { success: true }, limits, at(2));
        assert!(matches!(lane.next(at(2), limits), Next::Send(_)));
    }

    #[test]
    fn what_is_less_than_a_request_waits_for_an_answer_or_a_page_that_is_under_way() {
        let mut lane = Lane::new(TO);
        let limits = Limits { concurrency: 4, rate: None, together: 3 };
        lane.push(job(0, 0));
        assert_eq!(sends(&mut lane, limits), [0], "nothing to wait for");
        lane.push(job(1, 0));
        lane.push(job(2, 0));
        assert_eq!(sends(&mut lane, limits), [] as [u8; 0]);
        lane.push(job(3, 0));
        assert!(matches!(lane.next(at(1), limits), Next::Send(_)), "a whole one does not wait");
        assert_eq!(lane.companions(false, 2, 100, limits, at(1), || true).len(), 2);
        lane.push(job(4, 0));
        lane.done(false, TryResult::Answered { success: true }, limits, at(1));
        assert_eq!(sends(&mut lane, limits), [] as [u8; 0], "the other one is still out");
        lane.done(false, TryResult::Answered { success: true }, limits, at(1));
        lane.due_at(at(1));
        assert!(matches!(lane.next(at(1), limits), Next::Claim { .. }));
        assert_eq!(sends(&mut lane, limits), [] as [u8; 0], "the table may have more");
        lane.claimed(vec![], false, None);
        assert_eq!(sends(&mut lane, limits), [4]);
    }

    #[test]
    fn a_full_window_sends_new_messages_to_the_table_until_it_is_emptied() {
        let mut lane = Lane::new(TO);
        let seats: Vec<_> = (0..WINDOW).map(|_| lane.admit().unwrap()).collect();
        assert!(lane.admit().is_none());
        drop(seats);
        assert!(lane.admit().is_none(), "what waits in the table goes first");
        lane.due_at(at(0));
        assert!(matches!(lane.next(at(1), LIMITS), Next::Claim { fresh_only: false, .. }));
        lane.claimed(vec![job(1, 0)], true, Some(at(0)));
        assert!(lane.admit().is_none(), "the claim did not take all of them");
        lane.claimed(vec![job(2, 0)], false, None);
        assert!(lane.admit().is_some());
    }

    #[test]
    fn pages_grow_while_they_are_used_up_quickly_and_begin_small_again() {
        let mut lane = Lane::new(TO);
        let mut page_at = |millis: i64| {
            lane.due_at(at(0));
            let Next::Claim { limit, .. } = lane.next(Timestamp::from_micros(millis * 1000), LIMITS) else {
                panic!("looks into the table")
            };
            lane.claimed(vec![], false, None);
            limit
        };
        assert_eq!([0, 40, 80, 120, 130].map(&mut page_at), [64, 128, 256, 256, 256]);
        assert_eq!([1_000, 1_010].map(&mut page_at), [64, 128]);
    }

    #[test]
    fn what_becomes_due_while_a_claim_runs_is_not_forgotten() {
        let mut lane = Lane::new(TO);
        lane.due_at(at(0));
        assert!(matches!(lane.next(at(1), LIMITS), Next::Claim { .. }));
        lane.due_at(at(7));
        lane.claimed(vec![], false, Some(at(7)));
        assert!(matches!(lane.next(at(1), LIMITS), Next::WakeAt(t) if t == at(7)));
        assert!(!lane.is_idle(at(1)));
    }

    #[test]
    fn a_rate_is_kept_and_a_lane_with_nothing_to_do_can_be_forgotten() {
        let mut lane = Lane::new(TO);
        let limits = Limits { concurrency: 4, rate: Some(Pace::share(2, 1)), together: 1 };
        lane.push(job(1, 0));
        lane.push(job(2, 0));
        assert!(matches!(lane.next(at(1), limits), Next::Send(_)));
        let Next::WakeAt(t) = lane.next(at(1), limits) else { panic!("the rate was not kept") };
        assert_eq!(t, at(1).plus(Duration::from_millis(500)));
        assert!(matches!(lane.next(t, limits), Next::Send(_)));
        lane.done(false, TryResult::Answered { success: true }, limits, t);
        lane.done(false, TryResult::Answered { success: true }, limits, t);
        assert!(lane.is_idle(at(9)));
    }
}
