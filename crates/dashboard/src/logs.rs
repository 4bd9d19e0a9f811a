//! An endpoint's log: its deliveries, tried or not.

use crate::{
    endpoint::{Head, frame},
    events::catalogue,
    form::{Query, link},
    page::{Frame, Page, app_path, in_words, is_about_input, show},
    period::{Period, beside},
    session::Visitor,
    standing::Ahead,
    words::{Mark, When, millis, status_code},
};
use askama::Template;
use axum::extract::Path;
use domain::{Cursor, DeliveryState, Ksuid, MessageId, Timestamp, Trigger};
use service::{
    desk::{DeliveryView, Looked, Standing},
    messages::MessagesOf,
};

const PAGE: usize = 25;

/// A delivery in a table.
struct Row {
    mark: Mark,
    word: &'static str,
    event_type: String,
    message: String,
    path: String,
    code: String,
    duration: String,
    why: &'static str,
    waits: String,
    manual: bool,
    accepted: When,
    /// The latest try, or the next one.
    tried: Option<When>,
    next: Option<When>,
}

impl Row {
    fn of(d: &DeliveryView, ahead: &Ahead, app: &str, now: Timestamp) -> Self {
        let latest = d.latest.as_ref();
        let standing = ahead.of(d.meta.id, d.state, latest.is_some(), now);
        let why = match (latest.and_then(|a| a.reason), d.state) {
            (_, DeliveryState::Delivered) => "",
            (Some(reason), _) => reason.sentence(),
            (None, DeliveryState::Cancelled) => "Given up before it was tried: by a person, or with its endpoint.",
            (None, _) => "",
        };
        Self {
            mark: standing.mark,
            word: standing.word,
            waits: standing.waits,
            event_type: d.meta.event_type.to_string(),
            message: d.meta.id.to_string(),
            path: format!("{app}/messages/{}", d.meta.id),
            code: latest.map(|a| status_code(a.response_status)).unwrap_or_default(),
            duration: latest.map(|a| millis(a.duration_ms)).unwrap_or_default(),
            why,
            manual: latest.is_some_and(|a| a.trigger == Trigger::Manual),
            accepted: When::new(d.meta.created_at, now),
            tried: latest.map(|a| When::new(a.at, now)),
            next: standing.next,
        }
    }
}

#[derive(Template)]
#[template(path = "endpoint_logs.html")]
struct LogsPage {
    frame: Frame,
    head: Head,
    rows: Vec<Row>,
    status: String,
    event: String,
    channel: String,
    tag: String,
    types: Vec<String>,
    period: Period,
    problem: String,
    filtered: bool,
    newer: String,
    older: String,
    /// The page ended because enough was looked at, not because it is full.
    partial: bool,
}

pub(crate) async fn show_logs(
    visitor: Visitor,
    Path((app, endpoint)): Path<(String, String)>,
    Query(query): Query,
) -> Page {
    let (service, now) = (visitor.service(), visitor.now());
    let scope = service.open(&visitor.actor, &app).await?;
    let e = service.endpoint(&scope, &endpoint).await?;
    let cursor = cursor(&query);
    let text = |name| query.get(name).to_owned();
    let (status, event, channel, tag) = (text("status"), text("event"), text("channel"), text("tag"));
    let standing = match status.as_str() {
        "waiting" => Some(Standing::Open),
        "delivered" => Some(Standing::Delivered),
        "failed" => Some(Standing::Failed),
        "cancelled" => Some(Standing::Cancelled),
        _ => None,
    };
    let period = Period::read(&query, now);
    let of = MessagesOf {
        event_types: query.some("event").into_iter().collect(),
        channel: query.some("channel"),
        tag: query.some("tag"),
    };
    let window = period.window(PAGE, cursor.clone(), now);
    let mut problem = period.problem.to_owned();
    let found = match service.deliveries_to(&scope, &e, &window, standing, &of).await {
        Err(e) if is_about_input(&e) => {
            problem = in_words(&e);
            Looked { items: Vec::new(), next: None }
        }
        found => found?,
    };
    let head = Head::read(&visitor, &scope, &e, "logs").await?;
    let here = format!("{}/logs", head.path);
    let ends = found.items.first().zip(found.items.last()).map(|(a, b)| (a.meta.id.0, b.meta.id.0));
    let (newer, older) = beside(&cursor, ends, found.next);
    let times = period.fields();
    let [when, from, until] = times.each_ref().map(|(name, value)| (*name, value.as_str()));
    let to = |name, at: Option<Ksuid>| {
        let Some(at) = at else { return String::new() };
        let at = MessageId(at).to_string();
        let (event, channel, tag) = (("event", event.as_str()), ("channel", channel.as_str()), ("tag", tag.as_str()));
        link(&here, &[("status", &status), event, channel, tag, when, from, until, (name, &at)])
    };
    let app = app_path(scope.application());
    let ahead = Ahead::new(&e, true, service.in_line(&scope, &e)?, scope.application().throttle_rate);
    show(&LogsPage {
        frame: frame(&visitor, scope.application(), format!("Log of {}", head.address)),
        newer: to("newer", newer),
        older: to("older", older),
        partial: found.next.is_some() && found.items.len() < PAGE,
        rows: found.items.iter().map(|d| Row::of(d, &ahead, &app, now)).collect(),
        types: catalogue(&visitor, &scope, false).await?.iter().map(|t| t.name.to_string()).collect(),
        filtered: standing.is_some() || !of.is_all() || !period.is_any() || cursor.is_some(),
        status,
        event,
        channel,
        tag,
        problem,
        period,
        head,
    })
}

/// Where a list of messages goes on.
pub(crate) fn cursor(query: &crate::form::Fields) -> Option<Cursor<Ksuid>> {
    let id = |text: &str| text.parse::<MessageId>().ok().map(|id| id.0);
    id(query.get("older")).map(Cursor::After).or_else(|| id(query.get("newer")).map(Cursor::Before))
}
