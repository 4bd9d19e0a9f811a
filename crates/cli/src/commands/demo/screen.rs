//! What the demo prints: a line for each delivery as it lands, and a summary at the end.

use super::tenants::Tenant;
use crate::{
    client::ApiClient,
    clock::SystemClock,
    commands::{
        listen::{event_type, time_of_day},
        say,
    },
};
use axum::http::StatusCode;
use domain::Clock as _;
use hyper::Method;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, interval},
};

/// How long a delivery may land before the answer to its publishing; then somebody else published it.
const AHEAD: Duration = Duration::from_millis(500);

/// Something to tell.
#[derive(Debug)]
pub(crate) enum Note {
    /// The demo published an event.
    Published {
        /// The message.
        id: String,
        /// What happened.
        event_type: &'static str,
        /// When the call began.
        began: Instant,
    },
    /// The server did not take an event.
    Refused {
        /// Whose.
        tenant: &'static Tenant,
        /// What happened.
        event_type: &'static str,
        /// Why not.
        error: String,
    },
    /// A delivery reached the receiver.
    Landed {
        /// The message.
        id: String,
        /// Whose.
        tenant: &'static Tenant,
        /// The answer.
        status: StatusCode,
        /// What is wrong with it.
        problem: Option<String>,
        /// When.
        at: Instant,
    },
}

struct Landed {
    id: String,
    tenant: &'static Tenant,
    status: StatusCode,
    problem: Option<String>,
    at: Instant,
}

struct Published {
    event_type: Cow<'static, str>,
    began: Option<Instant>,
}

/// Prints, and remembers what is needed for that.
pub(crate) struct Screen {
    client: ApiClient,
    published: HashMap<String, Published>,
    tries: HashMap<String, u32>,
    early: Vec<Landed>,
    open: HashSet<String>,
    accepted: u64,
    delivered: u64,
    failed_tries: u64,
    delivered_later: u64,
}

impl Screen {
    /// The client is asked about messages that others published.
    pub(crate) fn new(client: ApiClient) -> Self {
        Self {
            client,
            published: HashMap::new(),
            tries: HashMap::new(),
            early: Vec::new(),
            open: HashSet::new(),
            accepted: 0,
            delivered: 0,
            failed_tries: 0,
            delivered_later: 0,
        }
    }

    /// Prints notes until nobody can send any more; answers the summary.
    pub(crate) async fn run(mut self, mut notes: mpsc::UnboundedReceiver<Note>) -> String {
        let mut ticks = interval(AHEAD / 2);
        loop {
            tokio::select! {
                note = notes.recv() => match note {
                    Some(note) => self.take(note),
                    None => break,
                },
                _ = ticks.tick() => self.look_up_strangers().await,
            }
        }
        self.summary()
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Published { id, event_type, began } => {
                self.accepted += 1;
                self.open.insert(id.clone());
                self.know(id, Published { event_type: event_type.into(), began: Some(began) });
            }
            Note::Refused { tenant, event_type, error } => self.print(tenant, event_type, &format!("✗ {error}")),
            Note::Landed { id, tenant, status, problem, at } => {
                let landed = Landed { id, tenant, status, problem, at };
                match self.published.contains_key(&landed.id) {
                    true => self.tell(landed),
                    false => self.early.push(landed),
                }
            }
        }
    }

    /// From now on it is known what this message is: tells what landed before that.
    fn know(&mut self, id: String, published: Published) {
        let (now, later) = std::mem::take(&mut self.early).into_iter().partition(|l| l.id == id);
        self.early = later;
        self.published.insert(id, published);
        let now: Vec<Landed> = now;
        now.into_iter().for_each(|landed| self.tell(landed));
    }

    /// Asks the server about messages that landed and that the demo did not publish.
    async fn look_up_strangers(&mut self) {
        let strangers: Vec<_> =
            self.early.iter().filter(|l| l.at.elapsed() > AHEAD).map(|l| (l.id.clone(), l.tenant.uid)).collect();
        for (id, app) in strangers {
            let message = self.client.call(Method::GET, &format!("/app/{app}/msg/{id}/"), None).await.ok();
            let name = message.as_ref().and_then(|m| m["eventType"].as_str().or_else(|| event_type(&m["payload"])));
            self.accepted += 1;
            self.open.insert(id.clone());
            let event_type = name.unwrap_or("an event").to_owned().into();
            self.know(id, Published { event_type, began: None });
        }
    }

    fn tell(&mut self, landed: Landed) {
        let Landed { id, tenant, status, problem, at } = landed;
        let Some(published) = self.published.get(&id) else { return };
        let tries = self.tries.entry(id.clone()).or_default();
        *tries += 1;
        let (try_number, event_type) = (*tries, published.event_type.clone());
        let took = published.began.map(|began| readable(at.duration_since(began))).unwrap_or_default();
        let again = if try_number > 1 { format!("  try {try_number}") } else { String::new() };
        if status.is_success() {
            self.print(tenant, &event_type, &format!("✓ {} {took:>8}{again}", status.as_u16()));
            self.delivered += 1;
            self.delivered_later += u64::from(try_number > 1);
            // Nothing more is expected of it.
            self.open.remove(&id);
            self.published.remove(&id);
            self.tries.remove(&id);
        } else {
            let problem = problem.unwrap_or_else(|| "will be tried again".into());
            self.print(tenant, &event_type, &format!("✗ {} {took:>8}{again}  {problem}", status.as_u16()));
            self.failed_tries += 1;
        }
    }

    fn print(&self, tenant: &Tenant, event_type: &str, result: &str) {
        // All of Open edX's types begin like this, which would only push the columns apart.
        let short = event_type.trim_start_matches("org.openedx.learning.");
        let time = time_of_day(SystemClock.now());
        say(format_args!("{time}  {:<10}  {:<21}  {short:<42}  {result}", tenant.platform, tenant.name));
    }

    fn summary(&self) -> String {
        format!(
            "Published {}. Delivered {}, {} of these after a failed try. Failed tries: {}. Still open: {}.",
            self.accepted,
            self.delivered,
            self.delivered_later,
            self.failed_tries,
            self.open.len(),
        )
    }
}

fn readable(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{commands::demo::tenants::TENANTS, settings::Hidden};

    fn landed(id: &str, status: u16) -> Note {
        Note::Landed {
            id: id.into(),
            tenant: &TENANTS[0],
            status: StatusCode::from_u16(status).unwrap(),
            problem: None,
            at: Instant::now(),
        }
    }

    #[tokio::test]
    async fn deliveries_are_counted_once_also_when_they_land_before_they_are_known() {
        let client = ApiClient::new("http://127.0.0.1:1", Hidden::new(String::new())).unwrap();
        let mut screen = Screen::new(client);
        let published = |id: &str| Note::Published { id: id.into(), event_type: "x", began: Instant::now() };
        screen.take(landed("a", 503));
        assert_eq!((screen.failed_tries, screen.early.len()), (0, 1));
        screen.take(published("a"));
        screen.take(landed("a", 204));
        screen.take(published("b"));
        let summary = screen.summary();
        assert!(
            summary.starts_with(
                "Published 2. Delivered 1, 1 of these after a failed try. Failed tries: 1. Still open: 1."
            )
        );
        assert!(screen.early.is_empty());
    }

    #[test]
    fn times_are_short() {
        assert_eq!(readable(Duration::from_micros(900)), "0 ms");
        assert_eq!(readable(Duration::from_millis(2_345)), "2.3 s");
    }
}
