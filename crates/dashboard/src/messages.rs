//! Messages: finding one, reading it, and what became of it everywhere.

use crate::{
    applications::around,
    endpoint::{AnswerShown, address, path},
    events::catalogue,
    form::{Form, Query, link},
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, show as render},
    session::Visitor,
    words::{Mark, When, pretty},
};
use askama::Template;
use axum::extract::Path;
use domain::{Cursor, MessageId, Order, PageQuery};
use service::{Capability, Permission, ServiceError, Window, attempts::AttemptsLike, messages::MessagesOf};

const PAGE: usize = 25;

struct Row {
    id: String,
    path: String,
    event_type: String,
    event_id: String,
    channels: Vec<String>,
    when: When,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct ListPage {
    frame: Frame,
    path: String,
    rows: Vec<Row>,
    event: String,
    channel: String,
    find: String,
    problem: String,
    types: Vec<String>,
    newer: String,
    older: String,
}

pub(crate) async fn list(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let here = format!("{}/messages", app_path(app));
    let mut problem = String::new();
    let find = query.get("find");
    if !find.is_empty() {
        visitor.actor.must_have(Capability::ViewBase)?;
        match visitor.service().message(&scope, find, false).await {
            Ok(found) => return Ok(go(&format!("{here}/{}", found.meta.id))),
            Err(ServiceError::NotFound(_)) => problem = "No message has this id or event id.".to_owned(),
            Err(e) => return Err(e.into()),
        }
    }
    let id = |text: &str| text.parse::<MessageId>().ok().map(|id| id.0);
    let cursor = id(query.get("older")).map(Cursor::After).or_else(|| id(query.get("newer")).map(Cursor::Before));
    let (event, channel) = (query.get("event").to_owned(), query.get("channel").to_owned());
    let of = MessagesOf { event_types: query.some("event").into_iter().collect(), channel: query.some("channel") };
    let window = Window { cursor: cursor.clone(), ..Window::newest(PAGE) };
    let messages = match visitor.service().messages(&scope, &window, &of, false).await {
        Err(e) if is_about_input(&e) => {
            problem = in_words(&e);
            domain::PageOf::empty()
        }
        other => other?,
    };
    let now = visitor.now();
    let rows: Vec<Row> = messages
        .items
        .iter()
        .map(|m| Row {
            id: m.meta.id.to_string(),
            path: format!("{here}/{}", m.meta.id),
            event_type: m.meta.event_type.to_string(),
            event_id: m.meta.event_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            channels: m.meta.channels.iter().map(ToString::to_string).collect(),
            when: When::new(m.meta.created_at, now),
        })
        .collect();
    let (newer, older) = around(&cursor, messages.more);
    let to = |name, row: Option<&Row>| {
        let id = row.map(|r| r.id.clone()).unwrap_or_default();
        link(&here, &[("event", &event), ("channel", &channel), (name, &id)])
    };
    let page = ListPage {
        frame: Frame::of(&visitor, app, Room::Messages, "Messages"),
        newer: if newer { to("newer", rows.first()) } else { String::new() },
        older: if older { to("older", rows.last()) } else { String::new() },
        rows,
        find: find.to_owned(),
        problem,
        types: catalogue(&visitor, &scope, false).await?.iter().map(|t| t.name.to_string()).collect(),
        path: here.clone(),
        event: event.clone(),
        channel: channel.clone(),
    };
    Ok(axum::response::IntoResponse::into_response(render(&page)?))
}

/// A message's way to one endpoint.
struct Delivery {
    endpoint: String,
    address: String,
    path: String,
    mark: Mark,
    word: &'static str,
    next: Option<When>,
    /// Whether the endpoint can be sent to.
    open: bool,
    attempts: Vec<AnswerShown>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct ShowPage {
    frame: Frame,
    path: String,
    id: String,
    event_type: String,
    event_id: String,
    order_key: String,
    channels: Vec<String>,
    when: When,
    payload: Option<String>,
    deliveries: Vec<Delivery>,
    may_send: bool,
    /// Whether payloads, and answers that may repeat them, are shown.
    may_see: bool,
}

pub(crate) async fn show(visitor: Visitor, Path((app, message)): Path<(String, String)>) -> Page {
    visitor.actor.must_have(Capability::ViewBase)?;
    let (service, now) = (visitor.service(), visitor.now());
    let scope = service.open(&visitor.actor, &app).await?;
    let app = scope.application();
    let m = service.message(&scope, &message, true).await?;
    let id = m.meta.id.to_string();
    let page = PageQuery { limit: 100, cursor: None, order: Order::Ascending };
    let destinations = service.attempted_destinations(&scope, &id, page).await?;
    let window = Window::newest(200);
    let attempts = service.attempts_of_message(&scope, &id, None, &window, &AttemptsLike::default(), true).await?;
    let may_see = visitor.may(Permission::SeePayloads);
    let mut deliveries = Vec::new();
    for to in &destinations.items {
        let (mark, word) = Mark::of(to.latest);
        let e = &to.endpoint;
        let exists = scope.entry().endpoint(e.key).is_some();
        deliveries.push(Delivery {
            endpoint: e.id.to_string(),
            address: address(e),
            path: if exists { path(app, e) } else { String::new() },
            mark,
            word,
            next: to.next_attempt.map(|at| When::new(at, now)),
            open: exists && e.disabled.is_none(),
            attempts: attempts
                .items
                .iter()
                .filter(|a| a.endpoint == e.id)
                .map(|a| AnswerShown::to(may_see, a, now))
                .collect(),
        });
    }
    let here = format!("{}/messages", app_path(app));
    render(&ShowPage {
        frame: Frame::of(&visitor, app, Room::Messages, m.meta.event_type.as_str()).below("Messages", here.clone()),
        path: format!("{here}/{id}"),
        event_type: m.meta.event_type.to_string(),
        event_id: m.meta.event_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        order_key: m.meta.order_key.as_ref().map(ToString::to_string).unwrap_or_default(),
        channels: m.meta.channels.iter().map(ToString::to_string).collect(),
        when: When::new(m.meta.created_at, now),
        payload: m.payload.as_deref().map(pretty),
        deliveries,
        may_send: visitor.can(Capability::CreateAttempts),
        may_see,
        id,
    })
}

pub(crate) async fn resend(visitor: Visitor, Path((app, message)): Path<(String, String)>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    match visitor.service().resend(&scope, &message, form.get("endpoint")).await {
        Ok(()) => visitor.say("It is being sent again. The new attempt shows up below, marked as by hand."),
        Err(ServiceError::MissingPayload) => {
            visitor.complain("It cannot be sent again: its payload was removed or is past its time.");
        }
        Err(e) => return Err(e.into()),
    }
    Ok(go(&format!("{}/messages/{message}", app_path(scope.application()))))
}
