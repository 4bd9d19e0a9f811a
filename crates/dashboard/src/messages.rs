//! Messages: finding one, reading it, and what became of it everywhere.

use crate::{
    endpoint::{AnswerShown, address, path},
    events::catalogue,
    form::{Form, Query, link},
    logs::cursor,
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, show as render},
    period::{Period, beside},
    session::Visitor,
    standing::Ahead,
    words::{Mark, When},
};
use askama::Template;
use axum::extract::Path;
use domain::{DeliveryState, Ksuid, MessageId, json::pretty};
use service::{
    Capability, Permission, ServiceError, Window, attempts::AttemptsLike, desk::Looked, messages::MessagesOf,
};

const PAGE: usize = 25;

struct Row {
    id: String,
    path: String,
    event_type: String,
    event_id: String,
    channels: Vec<String>,
    tags: Vec<String>,
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
    tag: String,
    find: String,
    problem: String,
    channel_problem: String,
    types: Vec<String>,
    period: Period,
    filtered: bool,
    newer: String,
    older: String,
    /// The page ended because enough was looked at, not because it is full.
    partial: bool,
    /// The application's id.
    app: String,
}

pub(crate) async fn list(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let here = format!("{}/messages", app_path(app));
    let (mut problem, mut channel_problem) = (String::new(), String::new());
    let find = query.get("find");
    if !find.is_empty() {
        visitor.actor.must_have(Capability::ViewBase)?;
        match visitor.service().message(&scope, find, false).await {
            Ok(found) => return Ok(go(&format!("{here}/{}", found.meta.id))),
            Err(ServiceError::NotFound(_)) => problem = "No message has this id or event id.".to_owned(),
            Err(e) => return Err(e.into()),
        }
    }
    let now = visitor.now();
    let cursor = cursor(&query);
    let period = Period::read(&query, now);
    if problem.is_empty() {
        problem = period.problem.to_owned();
    }
    let text = |name| query.get(name).to_owned();
    let (event, channel, tag) = (text("event"), text("channel"), text("tag"));
    let of = MessagesOf {
        event_types: query.some("event").into_iter().collect(),
        channel: query.some("channel"),
        tag: query.some("tag"),
    };
    let window = period.window(PAGE, cursor.clone(), now);
    let messages = match visitor.service().search_messages(&scope, &window, &of).await {
        Err(e) if is_about_input(&e) => {
            channel_problem = if query.get("channel").is_empty() || !query.get("tag").is_empty() {
                String::new()
            } else {
                in_words(&e)
            };
            problem = in_words(&e);
            Looked { items: Vec::new(), next: None }
        }
        other => other?,
    };
    let rows: Vec<Row> = messages
        .items
        .iter()
        .map(|m| Row {
            id: m.meta.id.to_string(),
            path: format!("{here}/{}", m.meta.id),
            event_type: m.meta.event_type.to_string(),
            event_id: m.meta.event_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            channels: m.meta.channels.iter().map(ToString::to_string).collect(),
            tags: m.meta.tags.iter().map(ToString::to_string).collect(),
            when: When::new(m.meta.created_at, now),
        })
        .collect();
    let ends = messages.items.first().zip(messages.items.last()).map(|(a, b)| (a.meta.id.0, b.meta.id.0));
    let (newer, older) = beside(&cursor, ends, messages.next);
    let times = period.fields();
    let [when, from, until] = times.each_ref().map(|(name, value)| (*name, value.as_str()));
    let to = |name, at: Option<Ksuid>| {
        let Some(at) = at else { return String::new() };
        let at = MessageId(at).to_string();
        link(&here, &[("event", &event), ("channel", &channel), ("tag", &tag), when, from, until, (name, &at)])
    };
    let page = ListPage {
        frame: Frame::of(&visitor, app, Room::Messages, "Messages"),
        newer: to("newer", newer),
        older: to("older", older),
        partial: messages.next.is_some() && rows.len() < PAGE,
        rows,
        find: find.to_owned(),
        problem,
        channel_problem,
        types: catalogue(&visitor, &scope, false).await?.iter().map(|t| t.name.to_string()).collect(),
        path: here.clone(),
        filtered: !event.is_empty() || !channel.is_empty() || !tag.is_empty() || !period.is_any() || cursor.is_some(),
        event: event.clone(),
        channel: channel.clone(),
        tag: tag.clone(),
        period: period.clone(),
        app: app.id.to_string(),
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
    /// Whether it failed or was given up.
    ended_badly: bool,
    /// What it waits for.
    waits: String,
    /// When its endpoint, which is paused, is tested next.
    tested: Option<When>,
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
    /// With where all that have it are listed.
    tags: Vec<(String, String)>,
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
    let window = Window::newest(200);
    let attempts = service.attempts_of_message(&scope, &id, None, &window, &AttemptsLike::default(), true).await?;
    let may_see = visitor.may(Permission::SeePayloads);
    let mut deliveries = Vec::new();
    for (e, d) in service.deliveries_of(&scope, &m).await? {
        let exists = scope.endpoints().any(|known| known.key == e.key);
        let ahead = Ahead::new(&e, exists, service.in_line(&scope, &e)?, app.throttle_rate);
        let standing = ahead.of(m.meta.id, d.state, d.latest.is_some(), now);
        let sent = if exists { Some(service.sent_headers(&scope, &e, &m).await?) } else { None };
        let of_this = attempts.items.iter().filter(|a| a.endpoint == e.id);
        deliveries.push(Delivery {
            endpoint: e.id.to_string(),
            address: address(&e),
            path: if exists { path(app, &e) } else { String::new() },
            mark: standing.mark,
            word: standing.word,
            waits: standing.waits,
            next: standing.next,
            tested: standing.tested,
            open: exists && e.disabled.is_none(),
            ended_badly: matches!(d.state, DeliveryState::Failed | DeliveryState::Cancelled),
            attempts: of_this.map(|a| AnswerShown::with_request(may_see, a, now, &e, sent.as_ref())).collect(),
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
        tags: m.meta.tags.iter().map(|t| (t.to_string(), link(&here, &[("tag", t.as_str())]))).collect(),
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
