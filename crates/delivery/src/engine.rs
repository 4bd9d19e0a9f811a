//! The engine: takes what commits hand over and runs the lanes.
//!
//! [`Shared::deliver`] (in `deliver.rs`) is the one way of a delivery from lease to recorded result. Everything around it decides only
//! when it runs: a lane asks for the next thing to do ([`crate::lane::Next`]), [`Shared::pump`] does it.

use crate::{
    jws::Signers,
    lane::{Lane, Limits, Next, Seat, is_fresh},
    prepare::Prepared,
    rate::{Pace, Rate},
    report::Reporter,
    timers::Timers,
};
use domain::{
    AppKey, Endpoint, EndpointKey, EndpointRef, InLine, RetrySchedule, Timestamp, Trigger, WaitsFor, queue::Transport,
};
use outbound::{Client, queue::BATCH_MAX};
use quick_cache::sync::Cache;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use store::{
    AppEntry, Birth, Changed, Commit, Directory, Ids, Leased, Leases, Record, Settle, Store, StoreError,
    queue::SharedTicket,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// Payload bytes taken out of the table at once, about.
const CLAIM_BYTES: usize = 256 * 1024;
/// What a delivery in memory costs beside its payload, roughly.
const DELIVERY_BYTES: usize = 1024;
/// The unit of the memory budget.
const BUDGET_UNIT: usize = 1024;
/// The longest that the timer sleeps, so that a clock that stepped is noticed.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Between two looks for lanes with nothing to do.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// Before records that could not be written are handed in again, and failed claims repeated.
const WRITE_AGAIN: Duration = Duration::from_millis(200);
/// Deliveries cancelled in one commit.
const CANCEL_STEP: usize = 500;
/// Requests at the same time to a queue that does not say.
const QUEUE_CONCURRENCY: u16 = 4;
/// Endpoints kept ready to send.
const TARGETS: usize = 20_000;

/// What the engine is told once.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Waits between tries where neither endpoint, application nor organization says.
    pub retry_schedule: RetrySchedule,
    /// Requests at the same time to an endpoint that does not say.
    pub concurrency: u16,
    /// An endpoint that only failed for this long is switched off.
    pub disable_after: Duration,
    /// With so many requests on the wire, each lane has one place: messages to hundreds of endpoints would otherwise open as
    /// many connections as all of them are wide, and be done no sooner. One place is always there, so that nobody waits for
    /// others.
    pub crowded: usize,
    /// Bytes of messages on their way out in memory, about.
    pub memory_budget: usize,
    /// Where this server is reached from outside, without a slash at the end; for formats that link to it.
    pub public_url: Arc<str>,
}

/// What the engine is made of.
pub struct EngineParts {
    /// Applications and endpoints, and the store below.
    pub directory: Arc<Directory>,
    /// The door out.
    pub client: Arc<Client>,
    /// New ids and the time.
    pub ids: Arc<Ids>,
    /// Hears of endpoints switched off and messages given up.
    pub reporter: Arc<dyn Reporter>,
    /// Jitter: numbers in 0..1.
    pub jitter: Box<dyn Fn() -> f64 + Send + Sync>,
    /// Settings.
    pub settings: EngineSettings,
}

pub(crate) struct Figures {
    pub(crate) delivered: metrics::Counter,
    pub(crate) failed: metrics::Counter,
    pub(crate) attempts_failed: metrics::Counter,
    pub(crate) duration: metrics::Histogram,
}

/// What all tasks of an engine share.
pub(crate) struct Shared {
    pub(crate) parts: EngineParts,
    pub(crate) store: Arc<dyn Store>,
    lanes: Mutex<HashMap<EndpointKey, Lane>>,
    app_rates: Mutex<HashMap<AppKey, Rate>>,
    pub(crate) targets: Cache<EndpointKey, Arc<Prepared>>,
    pub(crate) signers: Signers,
    timers: Mutex<Timers>,
    timers_changed: Notify,
    budget: Arc<Semaphore>,
    budget_all: usize,
    stopping: AtomicBool,
    on_wire: AtomicUsize,
    off_wire: Notify,
    pub(crate) figures: Figures,
}

/// Runs deliveries until it is stopped.
pub struct Engine {
    shared: Arc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Where accepted messages get their seats: what a lane and the memory still take.
#[derive(Clone)]
pub struct Seats(Arc<Shared>);

impl Seats {
    /// How a delivery to this endpoint is to be born.
    pub fn admit(&self, to: EndpointRef) -> Birth {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Birth::Waiting;
        }
        match self.0.lane(to).admit() {
            Some(seat) => Birth::Leased(Box::new(seat)),
            None => Birth::Waiting,
        }
    }
    /// An endpoint was changed: what waits may go now, or is cancelled if it was switched off or removed.
    pub fn endpoint_changed(&self, to: EndpointRef) {
        tokio::spawn(self.0.clone().look_at(to));
    }
    /// What waits for an endpoint in memory, and what for.
    pub fn in_line(&self, to: EndpointRef) -> InLine {
        self.0.in_line(to)
    }
    /// A share of the memory for a message with this many bytes; none if there is not enough.
    pub fn budget(&self, bytes: usize) -> Option<SharedTicket> {
        self.0.take_budget(bytes).map(|permit| Box::new(permit) as SharedTicket)
    }
}

impl Engine {
    /// Takes up what was left waiting, and then what `commits` hands over.
    pub async fn start(parts: EngineParts, commits: mpsc::UnboundedReceiver<Commit>) -> Result<Self, StoreError> {
        let store = parts.directory.store().clone();
        let backlog = store.backlog().await?;
        let units = (parts.settings.memory_budget / BUDGET_UNIT).clamp(1024, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            signers: Signers::new(store.clone()),
            store,
            lanes: Mutex::default(),
            app_rates: Mutex::default(),
            targets: Cache::new(TARGETS),
            timers: Mutex::default(),
            timers_changed: Notify::new(),
            budget: Arc::new(Semaphore::new(units)),
            budget_all: units,
            stopping: AtomicBool::new(false),
            on_wire: AtomicUsize::new(0),
            off_wire: Notify::new(),
            figures: Figures {
                delivered: metrics::counter!("schoolbell_delivered_total"),
                failed: metrics::counter!("schoolbell_failed_total"),
                attempts_failed: metrics::counter!("schoolbell_attempts_failed_total"),
                duration: metrics::histogram!("schoolbell_attempt_duration_seconds"),
            },
            parts,
        });
        for (to, due) in backlog {
            shared.lane(to).due_at(due);
            shared.pump(to);
        }
        let tasks = vec![tokio::spawn(shared.clone().take_commits(commits)), tokio::spawn(shared.clone().keep_time())];
        Ok(Self { shared, tasks })
    }

    /// Where accepted messages get their seats.
    pub fn seats(&self) -> Seats {
        Seats(self.shared.clone())
    }

    /// Endpoints that have something to do, or something to remember for a while.
    pub fn lanes(&self) -> usize {
        self.shared.lock_lanes().len()
    }

    /// Looks at the clock now instead of within a second: it was moved by hand.
    pub fn look_at_the_clock(&self) {
        self.shared.timers_changed.notify_one();
    }

    /// Begins nothing new, lets what is on the wire finish for `within`, and gives back the rest.
    pub async fn stop(self, within: Duration) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let waiting: Vec<_> =
            self.shared.lock_lanes().values_mut().flat_map(Lane::clear).map(|job| job.delivery).collect();
        let finished = async {
            loop {
                let quiet = self.shared.off_wire.notified();
                if self.shared.on_wire.load(Ordering::SeqCst) == 0 {
                    return;
                }
                quiet.await;
            }
        };
        if tokio::time::timeout(within, finished).await.is_err() {
            tracing::warn!(
                deliveries = self.shared.on_wire.load(Ordering::SeqCst),
                "some receivers did not answer before the stop; these deliveries are tried again after the next start"
            );
        }
        // Also with nothing to give back: it is written after all results that were handed in before.
        if let Err(error) = self.shared.store.release(waiting, self.shared.parts.ids.now()).await {
            // They are leased to a run that is over: the next run takes them up all the same.
            tracing::warn!(%error, "failed to give waiting deliveries back before the stop");
        }
        for task in self.tasks {
            task.abort();
            // Cancelled, as asked.
            let _ = task.await;
        }
    }
}

/// A lane under its lock.
pub(crate) struct Locked<'a>(MutexGuard<'a, HashMap<EndpointKey, Lane>>, EndpointRef);

impl Locked<'_> {
    fn admit(&mut self) -> Option<Seat> {
        self.get().admit()
    }
    fn due_at(&mut self, at: Timestamp) {
        self.get().due_at(at);
    }
    pub(crate) fn get(&mut self) -> &mut Lane {
        let to = self.1;
        self.0.entry(to.endpoint).or_insert_with(|| Lane::new(to))
    }
}

impl Shared {
    fn lock_lanes(&self) -> MutexGuard<'_, HashMap<EndpointKey, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lane(&self, to: EndpointRef) -> Locked<'_> {
        Locked(self.lock_lanes(), to)
    }

    fn lock_timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_budget(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = ((bytes + DELIVERY_BYTES) / BUDGET_UNIT).min(self.budget_all);
        self.budget.clone().try_acquire_many_owned(u32::try_from(units).ok()?).ok()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.ids.now()
    }

    /// What commits hand over goes to its lanes; what could not be written is handed in again.
    async fn take_commits(self: Arc<Self>, mut commits: mpsc::UnboundedReceiver<Commit>) {
        while let Some(commit) = commits.recv().await {
            if !commit.unrecorded.is_empty() {
                let (shared, records) = (self.clone(), commit.unrecorded);
                if let Some(error) = commit.error {
                    tracing::error!(%error, results = records.len(), "failed to write results of deliveries; trying again");
                }
                tokio::spawn(async move {
                    tokio::time::sleep(WRITE_AGAIN).await;
                    for record in records {
                        shared.store.record(record);
                    }
                });
            }
            for changed in commit.changed {
                match changed {
                    Changed::Application(app) => self.parts.directory.changed_elsewhere(app),
                    Changed::EventTypes => self.parts.directory.forget_schemas(),
                    Changed::Everything => self.parts.directory.forget_all(),
                }
            }
            if let Some(leases) = commit.leases {
                self.take_heart(leases);
            }
            for delivery in commit.lost {
                tracing::warn!(message = %delivery.message, "a result came after its lease was lost; it is not recorded");
            }
            for (to, count) in commit.given_up {
                tokio::spawn(self.clone().note_given_up(to, count));
            }
            for (to, at) in commit.due {
                self.lane(to).due_at(at);
                self.pump(to);
            }
            if self.stopping.load(Ordering::Relaxed) {
                // Leased to a run that is about to end: the next one takes them up.
                continue;
            }
            let mut lanes: Vec<EndpointRef> = commit.leased.iter().map(|job| job.delivery.to).collect();
            for job in commit.leased {
                self.lane(job.delivery.to).get().push(job);
            }
            // Each lane once, however many came for it.
            lanes.sort_unstable();
            lanes.dedup();
            for to in lanes {
                self.pump(to);
            }
        }
    }

    /// After this node could not be sure of its leases: goes on, with what it holds or with what it can claim anew.
    fn take_heart(self: &Arc<Self>, leases: Leases) {
        let now = self.now();
        let lanes: Vec<EndpointRef> = {
            let mut lanes = self.lock_lanes();
            if leases == Leases::Lost {
                for lane in lanes.values_mut() {
                    // Others may have them by now; their seats come free here.
                    drop(lane.clear());
                    lane.due_at(now);
                }
            }
            lanes.values().map(|lane| lane.to).collect()
        };
        for to in lanes {
            self.pump(to);
        }
    }

    /// Wakes lanes when their time has come, and forgets those that have nothing to do any more.
    async fn keep_time(self: Arc<Self>) {
        let mut forgot_at = self.now();
        loop {
            let changed = self.timers_changed.notified();
            let now = self.now();
            let due = self.lock_timers().due(now);
            for (wake, key) in due {
                let to = match self.lock_lanes().get_mut(&key) {
                    // Planned anew since: the later plan stands.
                    Some(lane) if lane.wake != Some(wake) => continue,
                    Some(lane) => {
                        lane.wake = None;
                        lane.to
                    }
                    None => continue,
                };
                self.pump(to);
            }
            if now.since(forgot_at) >= FORGET_EVERY || now < forgot_at {
                forgot_at = now;
                self.forget_idle(now);
            }
            let sleep = self.lock_timers().next().map_or(LONGEST_SLEEP, |at| at.since(self.now()).min(LONGEST_SLEEP));
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = changed => {}
            }
        }
    }

    /// What a lane or a rate remembers is gone with time, without anything happening to it.
    fn forget_idle(&self, now: Timestamp) {
        self.lock_lanes().retain(|_, lane| !lane.is_idle(now));
        self.app_rates.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, rate| !rate.is_idle(now));
    }

    fn wake_at(&self, lane: &mut Lane, at: Timestamp) {
        if self.lock_timers().plan(lane.to.endpoint, &mut lane.wake, at, lane.turn) {
            self.timers_changed.notify_one();
        }
    }

    /// Starts all that a lane can do now.
    fn pump(self: &Arc<Self>, to: EndpointRef) {
        while let Some(job) = self.next_job(to) {
            tokio::spawn(self.clone().run(job));
        }
    }

    /// The next delivery that a lane may send now, if any. Claims and wake-ups that the lane wants are started.
    fn next_job(self: &Arc<Self>, to: EndpointRef) -> Option<Leased> {
        // What may be somebody else's by now waits until that is known.
        if self.stopping.load(Ordering::SeqCst) || !self.store.holds_leases() {
            return None;
        }
        let entry = self.parts.directory.cached(to.app);
        let endpoint = entry.as_ref().and_then(|e| e.endpoint(to.endpoint));
        let now = self.now();
        let mut lanes = self.lock_lanes();
        // An endpoint that was just changed, perhaps elsewhere, is not in memory for a moment: what held before holds on.
        let lane = lanes.get_mut(&to.endpoint)?;
        let limits = match (endpoint, lane.known_limits) {
            (None, Some(known)) => known,
            (endpoint, _) => self.limits(endpoint.map(Arc::as_ref)),
        };
        lane.known_limits = endpoint.map(|_| limits).or(lane.known_limits);
        let crowded = self.on_wire.load(Ordering::SeqCst) >= self.parts.settings.crowded;
        let limits = if crowded { Limits { concurrency: 1, ..limits } } else { limits };
        loop {
            let lane = lanes.get_mut(&to.endpoint)?;
            match lane.next(now, limits) {
                Next::Send(job) => {
                    if let Some(at) = entry.as_ref().and_then(|e| self.application_waits(e, now)) {
                        lane.put_back(job, limits);
                        lane.turn.get_or_insert_with(|| self.lock_timers().last_turn());
                        self.wake_at(lane, at);
                        return None;
                    }
                    lane.turn = None;
                    self.on_wire.fetch_add(1, Ordering::SeqCst);
                    return Some(job);
                }
                Next::Claim { fresh_only, limit } => {
                    tokio::spawn(self.clone().claim(to, fresh_only, limit));
                }
                Next::WakeAt(at) => {
                    self.wake_at(lane, at);
                    return None;
                }
                Next::Idle => {
                    if lane.is_idle(now) {
                        lanes.remove(&to.endpoint);
                    }
                    return None;
                }
            }
        }
    }

    pub(crate) fn limits(&self, endpoint: Option<&Endpoint>) -> Limits {
        let usual = match endpoint {
            // Fewer requests at the same time: what waits meanwhile travels together.
            Some(e) if e.options.transport == Transport::Sqs => self.parts.settings.concurrency.min(QUEUE_CONCURRENCY),
            _ => self.parts.settings.concurrency,
        };
        // What somebody asked for is kept by all nodes together; what is usual protects a node, and is its own.
        let nodes = self.store.nodes();
        let concurrency = endpoint.and_then(|e| e.options.concurrency).map_or(usual, |asked| asked / nodes);
        let rate = endpoint.and_then(|e| e.throttle_rate).map(|rate| Pace::share(rate, nodes));
        let together = if endpoint.is_some_and(|e| e.options.transport == Transport::Sqs) { BATCH_MAX } else { 1 };
        Limits { concurrency: usize::from(concurrency.max(1)), rate, together }
    }

    /// What waits for an endpoint in memory, and what for. Only looks: no place of a rate is taken.
    fn in_line(&self, to: EndpointRef) -> InLine {
        let entry = self.parts.directory.cached(to.app);
        let endpoint = entry.as_ref().and_then(|e| e.endpoint(to.endpoint));
        let (limits, now) = (self.limits(endpoint.map(Arc::as_ref)), self.now());
        let Some(mut found) = self.lock_lanes().get(&to.endpoint).map(|lane| lane.in_line(now, limits)) else {
            return InLine::default();
        };
        if found.waits_for == Some(WaitsFor::Turn)
            && let Some(rate) = entry.as_ref().and_then(|e| e.application.throttle_rate)
        {
            let rates = self.app_rates.lock().unwrap_or_else(PoisonError::into_inner);
            let mut known = rates.get(&to.app).copied().unwrap_or_default();
            if known.take(Pace::share(rate, self.store.nodes()), now).is_err() {
                found.waits_for = Some(WaitsFor::ApplicationRate);
            }
        }
        found
    }

    /// Until when an application's own rate holds a delivery back.
    pub(crate) fn application_waits(&self, entry: &AppEntry, now: Timestamp) -> Option<Timestamp> {
        let pace = Pace::share(entry.application.throttle_rate?, self.store.nodes());
        let mut rates = self.app_rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.entry(entry.application.key).or_default().take(pace, now).err()
    }

    /// Takes due deliveries of a lane out of the table; cancels them if the endpoint is gone.
    async fn claim(self: Arc<Self>, to: EndpointRef, fresh_only: bool, limit: usize) {
        let found = match self.parts.directory.by_key(to.app).await {
            Ok(entry) => {
                let endpoint = entry.as_ref().and_then(|e| e.endpoint(to.endpoint));
                if endpoint.is_none_or(|e| e.disabled.is_some()) {
                    return self.cancel_all(to).await;
                }
                match self.take_budget(CLAIM_BYTES + limit * DELIVERY_BYTES) {
                    Some(budget) => {
                        let claimed = self.store.claim(to, self.now(), limit, CLAIM_BYTES, fresh_only).await;
                        claimed.map(|c| Some((c, budget)))
                    }
                    // Memory is full: look again when some of it is free.
                    None => Ok(None),
                }
            }
            Err(e) => Err(e),
        };
        match found {
            Ok(Some((claimed, mut budget))) => {
                let payloads: usize = claimed.deliveries.iter().map(|j| j.message.payload.len()).sum();
                let used = payloads + claimed.deliveries.len() * DELIVERY_BYTES;
                // First tries come first: if one was a retry, and neither limit was met, none is left behind.
                let fresh = claimed.deliveries.iter().filter(|j| is_fresh(j)).count();
                let fresh_left = fresh == claimed.deliveries.len() && (fresh == limit || payloads > CLAIM_BYTES);
                // What the page does not need goes back at once, the rest when its last delivery is settled.
                let spare = budget.num_permits().saturating_sub(used / BUDGET_UNIT + 1);
                drop(budget.split(spare));
                let budget = Arc::new(budget);
                let jobs = claimed.deliveries.into_iter().map(|mut job| {
                    job.ticket = Some(Box::new(budget.clone()));
                    job
                });
                self.lane(to).get().claimed(jobs.collect(), fresh_left, claimed.next_due);
            }
            Ok(None) => self.lane(to).get().claim_failed(self.now().plus(WRITE_AGAIN)),
            Err(error) => {
                tracing::error!(%error, "failed to take due deliveries out of the database; trying again");
                self.lane(to).get().claim_failed(self.now().plus(WRITE_AGAIN));
            }
        }
        self.pump(to);
    }

    /// Sees how an endpoint stands after a change.
    pub(crate) async fn look_at(self: Arc<Self>, to: EndpointRef) {
        match self.parts.directory.by_key(to.app).await {
            Ok(entry) => {
                let endpoint = entry.as_ref().and_then(|e| e.endpoint(to.endpoint));
                if endpoint.is_none_or(|e| e.disabled.is_some()) {
                    self.cancel_all(to).await;
                } else {
                    self.pump(to);
                }
            }
            // Whatever waits is looked at again when it is due.
            Err(error) => tracing::warn!(%error, "failed to read an endpoint after its change"),
        }
    }

    /// An endpoint that is switched off or removed: what waits for it is cancelled, in small steps.
    async fn cancel_all(self: Arc<Self>, to: EndpointRef) {
        let jobs = self.lane(to).get().clear();
        for job in jobs {
            self.not_sent(job);
        }
        loop {
            // What is accepted from now on does not match it any more; what was matched before is found again when due.
            match self.store.cancel_open(to, self.now().plus(Duration::from_secs(1)), CANCEL_STEP).await {
                Ok(n) if n == CANCEL_STEP => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::error!(%error, "failed to cancel deliveries of an endpoint that is switched off; trying again");
                    tokio::time::sleep(WRITE_AGAIN).await;
                }
            }
        }
        self.lane(to).get().claimed(Vec::new(), false, None);
        self.pump(to);
    }

    /// Gives up a delivery that was not sent. A manual try of a settled one leaves it as it was.
    pub(crate) fn not_sent(&self, job: Leased) {
        let settle = if job.trigger == Trigger::Manual { Settle::AsPlanned } else { Settle::Cancelled };
        self.store.record(Record {
            delivery: job.delivery,
            attempt: None,
            settle,
            tries: job.tries,
            order_key: job.message.meta.order_key.clone(),
            given_up: None,
            now: self.now(),
            ticket: job.ticket,
        });
    }

    /// Sends one delivery after the other, as long as its lane has more.
    async fn run(self: Arc<Self>, first: Leased) {
        let to = first.delivery.to;
        let mut next = Some(first);
        while let Some(job) = next {
            let was_again = !is_fresh(&job);
            let (result, limits) = self.deliver(job).await;
            self.lane(to).get().done(was_again, result, limits, self.now());
            if self.on_wire.fetch_sub(1, Ordering::SeqCst) == 1 && self.stopping.load(Ordering::SeqCst) {
                self.off_wire.notify_waiters();
            }
            next = self.next_job(to);
            // A place came free for more than one: its lane may have grown wider.
            if next.is_some() {
                self.pump(to);
            }
        }
    }
}
