//! What an endpoint is set to: each fact with its own form, the secret, the switch, the end.

use crate::{
    applications::ConfirmPage,
    endpoint::{Head, OverviewPage, address, frame, path},
    events::{Group, catalogue, grouped},
    form::{Fields, Form},
    page::{Answer, Frame, Page, PageError, app_path, go, in_words, is_about_input, show},
    queue,
    session::Visitor,
    student_data::{Asked, agreed},
    typed::{self, HIDDEN, list},
    words::thousands,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{DeactivateAfter, Endpoint, RetrySchedule};
use service::{
    AppScope, Capability, Patch, ServiceError,
    endpoints::{EndpointChange, EndpointExtras},
    headers::ShownHeaders,
    platform::retry_presets,
};
use std::{collections::BTreeMap, fmt::Display};

type At = Path<(String, String)>;

#[derive(Template)]
#[template(path = "endpoint_advanced.html")]
struct AdvancedPage {
    frame: Frame,
    head: Head,
    rate: String,
    concurrency: String,
    retry: String,
    statuses: String,
    ordered: bool,
    queue: String,
    format: &'static str,
    format_words: &'static str,
    encoding: &'static str,
    encoding_words: &'static str,
    filter: String,
    transform: String,
    signed: bool,
    /// Where receivers find the keys of signed bodies; empty if bodies are not signed.
    key_set: String,
    deactivate: String,
    https_only: bool,
    only_selected: bool,
    has_body_secret: bool,
    may_transform: bool,
    headers: Vec<(String, String)>,
}

fn or_default(value: Option<impl Display>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |v| v.to_string())
}

/// A schedule for reading.
fn waits(schedule: &RetrySchedule) -> String {
    if schedule.waits().is_empty() { "one try only".to_owned() } else { typed::waits_in_field(schedule) }
}

pub(crate) async fn advanced(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let ShownHeaders { headers, sensitive } = visitor.service().endpoint_headers(&scope, &endpoint).await?;
    let hidden = sensitive.into_iter().map(|name| (name, "••••••".to_owned()));
    let app = scope.application();
    let from_above = app.options.retry_schedule.as_ref().map(waits);
    show(&AdvancedPage {
        frame: frame(&visitor, app, format!("Settings of {}", address(&e))),
        head: Head::read(&visitor, &scope, &e, "advanced").await?,
        rate: e.throttle_rate.map_or_else(|| "no limit".to_owned(), |r| format!("{r} per second")),
        concurrency: or_default(e.options.concurrency, "as the server decides"),
        retry: match (&e.options.retry_schedule, from_above) {
            (Some(own), _) => waits(own),
            (None, Some(above)) => format!("as the application decides: {above}"),
            (None, None) => "as the server decides".to_owned(),
        },
        statuses: if e.options.final_statuses.is_empty() { "none".to_owned() } else { list(&e.options.final_statuses) },
        ordered: e.options.ordered,
        queue: queue::in_words(&e),
        format: e.options.format.name(),
        format_words: e.options.format.description(),
        encoding: e.options.encoding.name(),
        encoding_words: e.options.encoding.description(),
        filter: e.options.filter.clone().unwrap_or_default(),
        transform: e.options.transform.clone().unwrap_or_default(),
        signed: !e.options.unsigned,
        key_set: e.options.body_signing.map(|_| visitor.service().jwks_url(app.id)).unwrap_or_default(),
        deactivate: e.options.deactivate_after.map_or_else(
            || "as the server decides".to_owned(),
            |d| {
                format!(
                    "switched off after {} timeouts or {} other errors in 24 hours",
                    thousands(d.timeouts.into()),
                    thousands(d.errors.into())
                )
            },
        ),
        https_only: e.options.https_only,
        only_selected: e.options.only_selected,
        has_body_secret: e.secrets.body.is_some(),
        may_transform: visitor.can(Capability::ManageEndpoint) && visitor.can(Capability::ManageTransformations),
        headers: headers.into_iter().chain(hidden).collect(),
    })
}

/// A fact that has its own form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    Url,
    Description,
    Events,
    Channels,
    Rate,
    Concurrency,
    Retry,
    Statuses,
    Ordered,
    Queue,
    Headers,
    Format,
    Encoding,
    Signature,
    BodySigning,
    Deactivate,
    HttpsOnly,
    OnlySelected,
}

impl Fact {
    fn read(text: &str) -> Result<Self, PageError> {
        Ok(match text {
            "url" => Self::Url,
            "description" => Self::Description,
            "events" => Self::Events,
            "channels" => Self::Channels,
            "rate" => Self::Rate,
            "concurrency" => Self::Concurrency,
            "retry" => Self::Retry,
            "statuses" => Self::Statuses,
            "ordered" => Self::Ordered,
            "queue" => Self::Queue,
            "headers" => Self::Headers,
            "format" => Self::Format,
            "encoding" => Self::Encoding,
            "signature" => Self::Signature,
            "body-signing" => Self::BodySigning,
            "deactivate" => Self::Deactivate,
            "https-only" => Self::HttpsOnly,
            "only-selected" => Self::OnlySelected,
            _ => return Err(PageError::NotFound),
        })
    }
    /// Its label, and what to know about it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Url => ("Address", "Where messages go. The next try of what waits uses the new address."),
            Self::Description => ("Description", "For people, such as who runs the receiver."),
            Self::Events => ("Events", "Tick the events that the receiver should get."),
            Self::Channels => {
                ("Channels", "Only messages with one of these labels, separated by commas. Empty means all messages.")
            }
            Self::Rate => ("Rate limit", "Deliveries per second at most. Empty means no limit."),
            Self::Concurrency => {
                ("Parallel requests", "Requests at the same time, 1 to 256. Empty: the server decides.")
            }
            Self::Retry => (
                "Waits between tries",
                "Such as 5s, 5m, 30m, 2h; none: one try only. Empty: the application or the server decides.",
            ),
            Self::Statuses => ("Final answers", "HTTP statuses after which no try follows, such as 404, 422."),
            Self::Ordered => ("Keep order", "Messages with the same order key go one after the other."),
            Self::Queue => ("Transport", queue::HINT),
            Self::Headers => (
                "Headers",
                "One per line, as name: value. A line with dots for a value keeps the value that is stored; a line \
                 that is left out removes the header.",
            ),
            Self::Format => ("Format", "How the payload is put on the wire."),
            Self::Encoding => ("Encoding", "As JSON, or flat as a web form."),
            Self::Signature => (
                "Signature headers",
                "Send the headers by which a receiver can check that an event comes from here. Receivers that do not \
                 know them do not mind.",
            ),
            Self::BodySigning => (
                "Signed body",
                "Send the body as a signed JSON Web Token (RS256). Receivers need the application's published keys; those that \
                 do not know of it cannot read what they get.",
            ),
            Self::Deactivate => (
                "Failure limit",
                "Messages given up within 24 hours, because of timeouts and because of other errors, such as 9500, 28000. \
                 Empty: only as the server decides.",
            ),
            Self::HttpsOnly => ("HTTPS only", "Take only addresses that begin with https://."),
            Self::OnlySelected => (
                "Nothing ticked means nothing",
                "While no event is ticked, send nothing. Otherwise all events are sent.",
            ),
        }
    }
    /// The tab it is shown on.
    fn tab(self) -> &'static str {
        match self {
            Self::Url | Self::Description | Self::Events | Self::Channels => "",
            _ => "/advanced",
        }
    }
    /// Whether it decides what leaves about people, and to whom.
    fn is_about_disclosure(self) -> bool {
        matches!(self, Self::Url | Self::Events | Self::Channels | Self::Format | Self::OnlySelected)
    }
    fn is_switch(self) -> bool {
        matches!(self, Self::Ordered | Self::Signature | Self::BodySigning | Self::HttpsOnly | Self::OnlySelected)
    }
}

#[derive(Template)]
#[template(path = "endpoint_edit.html")]
struct EditPage {
    frame: Frame,
    fact: Fact,
    label: &'static str,
    hint: &'static str,
    value: String,
    groups: Vec<Group>,
    formats: Vec<(&'static str, &'static str)>,
    /// Ready-made waits, each one click: name, words.
    presets: Vec<(&'static str, &'static str)>,
    /// Whether nothing is sent while nothing is ticked.
    only_selected: bool,
    /// What is asked before more leaves about people.
    asked: Option<Asked>,
    action: String,
    back: String,
    problem: String,
}

impl EditPage {
    fn is(&self, kind: &str) -> bool {
        kind == match self.fact {
            Fact::Events => "events",
            fact if fact.is_switch() => "switch",
            Fact::Queue | Fact::Headers => "lines",
            Fact::Format | Fact::Encoding => "format",
            _ => "line",
        }
    }
}

async fn edit_page(
    visitor: &Visitor,
    scope: &AppScope,
    e: &Endpoint,
    fact: Fact,
    word: &str,
    form: Option<&Fields>,
) -> Result<EditPage, ServiceError> {
    let on = |is: bool| if is { "on" } else { "" }.to_owned();
    let value = match fact {
        Fact::Url => e.url.clone(),
        Fact::Description => e.description.clone(),
        Fact::Events => String::new(),
        Fact::Channels => list(e.channels.iter().flatten()),
        Fact::Rate => or_default(e.throttle_rate, ""),
        Fact::Concurrency => or_default(e.options.concurrency, ""),
        Fact::Retry => e.options.retry_schedule.as_ref().map(typed::waits_in_field).unwrap_or_default(),
        Fact::Statuses => list(&e.options.final_statuses),
        Fact::Ordered => on(e.options.ordered),
        Fact::Signature => on(!e.options.unsigned),
        Fact::BodySigning => on(e.options.body_signing.is_some()),
        Fact::Deactivate => {
            e.options.deactivate_after.map(|d| format!("{}, {}", d.timeouts, d.errors)).unwrap_or_default()
        }
        Fact::HttpsOnly => on(e.options.https_only),
        Fact::OnlySelected => on(e.options.only_selected),
        Fact::Queue => queue::lines(e),
        Fact::Headers => {
            let shown = visitor.service().endpoint_headers(scope, &e.id.to_string()).await?;
            let open = shown.headers.iter().map(|(n, v)| format!("{n}: {v}"));
            let lines: Vec<_> = open.chain(shown.sensitive.iter().map(|n| format!("{n}: {HIDDEN}"))).collect();
            lines.join("\n")
        }
        Fact::Format => e.options.format.name().to_owned(),
        Fact::Encoding => e.options.encoding.name().to_owned(),
    };
    let value = form.map_or(value, |form| form.get("value").to_owned());
    let groups = if fact == Fact::Events {
        let stored = || e.event_types.iter().flatten().map(ToString::to_string).collect();
        let chosen: Vec<_> = form.map_or_else(stored, |form| form.all("event"));
        grouped(&catalogue(visitor, scope, false).await?, &chosen, &app_path(scope.application()))
    } else {
        Vec::new()
    };
    let (label, hint) = fact.words();
    let here = path(scope.application(), e);
    Ok(EditPage {
        frame: frame(visitor, scope.application(), format!("Edit: {label}")).below(address(e), here.clone()),
        fact,
        label,
        hint,
        value,
        groups,
        formats: match fact {
            Fact::Encoding => typed::encodings(),
            _ => typed::formats(),
        },
        presets: if fact == Fact::Retry { retry_presets().map(|p| (p.name, p.title)).collect() } else { Vec::new() },
        only_selected: e.options.only_selected,
        asked: None,
        action: format!("{here}/edit/{word}"),
        back: format!("{here}{}", fact.tab()),
        problem: String::new(),
    })
}

pub(crate) async fn edit(visitor: Visitor, Path((app, endpoint, word)): Path<(String, String, String)>) -> Page {
    visitor.actor.must_have(Capability::ManageEndpoint)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    show(&edit_page(&visitor, &scope, &e, Fact::read(&word)?, &word, None).await?)
}

/// Two numbers, nothing, or a complaint.
fn limits(text: &str) -> Result<Patch<DeactivateAfter>, String> {
    let words = typed::words(text);
    let odd = || format!("'{text}' are not two whole numbers, such as 9500, 28000");
    match words.as_slice() {
        [] => Ok(Patch::Clear),
        [timeouts, errors] => match (timeouts.parse(), errors.parse()) {
            (Ok(timeouts), Ok(errors)) => Ok(Patch::Set(DeactivateAfter { timeouts, errors })),
            _ => Err(odd()),
        },
        _ => Err(odd()),
    }
}

/// What a form says, as a change. Whether it is allowed, the operation decides.
fn change(fact: Fact, form: &Fields) -> Result<EndpointChange, String> {
    let text = form.get("value");
    let mut change = EndpointChange::default();
    let some = |list: Vec<String>| if list.is_empty() { Patch::Clear } else { Patch::Set(list) };
    match fact {
        Fact::Url => change.url = Some(text.to_owned()),
        Fact::Description => change.description = Some(text.to_owned()),
        Fact::Events => change.event_types = some(form.all("event")),
        Fact::Channels => change.channels = some(typed::words(text)),
        Fact::Rate => change.throttle_rate = typed::number(text)?,
        Fact::Concurrency => change.extras.concurrency = typed::number(text)?,
        Fact::Retry if form.ticked("preset") => change.extras = preset(form.get("preset")),
        Fact::Retry => change.extras.retry_schedule = typed::waits(text)?,
        Fact::Statuses => change.extras.final_statuses = Patch::Set(typed::statuses(text)?),
        Fact::Ordered => change.extras.ordered = Patch::Set(form.ticked("value")),
        Fact::Format => change.extras.format = Patch::Set(text.to_owned()),
        Fact::Encoding => change.extras.encoding = Patch::Set(text.to_owned()),
        Fact::Signature => change.extras.signature_headers = Patch::Set(form.ticked("value")),
        Fact::BodySigning if form.ticked("value") => change.extras.body_signing = Patch::Set("jwt".to_owned()),
        Fact::BodySigning => change.extras.body_signing = Patch::Clear,
        Fact::Deactivate => change.extras.deactivate_after = limits(text)?,
        Fact::HttpsOnly => change.extras.https_only = Patch::Set(form.ticked("value")),
        Fact::OnlySelected => change.extras.only_selected = Patch::Set(form.ticked("value")),
        Fact::Queue => change = queue::change(text)?,
        Fact::Headers => {}
    }
    Ok(change)
}

/// A ready-made choice of waits, with all that belongs to it.
pub(crate) fn preset(name: &str) -> EndpointExtras {
    EndpointExtras { retry_preset: Patch::Set(name.to_owned()), ..EndpointExtras::default() }
}

/// Headers as lines: those that were left out are removed, hidden values stay.
fn header_changes(text: &str, now: &ShownHeaders) -> Result<BTreeMap<String, Option<String>>, String> {
    let mut changes: BTreeMap<String, Option<String>> =
        now.headers.keys().chain(&now.sensitive).map(|name| (name.clone(), None)).collect();
    for (name, value) in typed::headers(text)? {
        changes.retain(|n, v| v.is_some() || !n.eq_ignore_ascii_case(&name));
        if value != HIDDEN {
            changes.insert(name, Some(value));
        }
    }
    Ok(changes)
}

pub(crate) async fn save(
    visitor: Visitor,
    Path((app, endpoint, word)): Path<(String, String, String)>,
    Form(form): Form,
) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let fact = Fact::read(&word)?;
    let done = match fact {
        Fact::Headers => {
            let now = visitor.service().endpoint_headers(&scope, &endpoint).await?;
            match header_changes(form.get("value"), &now) {
                Ok(changes) => Ok(visitor.service().patch_endpoint_headers(&scope, &endpoint, changes).await),
                Err(problem) => Err(problem),
            }
        }
        fact => match change(fact, &form) {
            Ok(mut change) => {
                change.extras.student_data = agreed(&form);
                if fact.is_about_disclosure() && change.extras.student_data == Patch::Keep {
                    match visitor.service().disclosure_after(&scope, &endpoint, change.clone()).await {
                        Ok(None) => {}
                        Ok(Some(disclosure)) => {
                            let mut page = edit_page(&visitor, &scope, &e, fact, &word, Some(&form)).await?;
                            page.asked = Some(Asked::of(disclosure, &form));
                            return Ok(show(&page)?.into_response());
                        }
                        // Saving says the same, beside the field.
                        Err(error) if is_about_input(&error) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(visitor.service().patch_endpoint(&scope, &endpoint, change).await.map(|_| ()))
            }
            Err(problem) => Err(problem),
        },
    };
    let problem = match done {
        Ok(Ok(())) => {
            visitor.say(format!("{} was saved.", fact.words().0));
            return Ok(go(&format!("{}{}", path(scope.application(), &e), fact.tab())));
        }
        Ok(Err(e)) if is_about_input(&e) => in_words(&e),
        Ok(Err(e)) => return Err(e.into()),
        Err(problem) => problem,
    };
    let mut page = edit_page(&visitor, &scope, &e, fact, &word, Some(&form)).await?;
    page.problem = problem;
    Ok(show(&page)?.into_response())
}

pub(crate) async fn switch(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let on = form.get("enabled") == "true";
    let change = EndpointChange { disabled: Some(!on), ..EndpointChange::default() };
    let e = visitor.service().patch_endpoint(&scope, &endpoint, change).await?;
    visitor.say(if on {
        "The endpoint is switched on. What it missed can be sent with recover and replay missing."
    } else {
        "The endpoint is switched off. What waited for it was cancelled."
    });
    Ok(go(&path(scope.application(), &e)))
}

/// Shows the page with the secret on it, once: the next look at the page hides it again.
pub(crate) async fn reveal(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let secret = visitor.service().endpoint_secret(&scope, &endpoint).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    show(&OverviewPage::read(&visitor, &scope, &e, secret).await?)
}

pub(crate) async fn confirm_rotate(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    visitor.actor.must_have(Capability::ManageEndpointSecret)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let here = path(scope.application(), &e);
    show(&ConfirmPage {
        frame: frame(&visitor, scope.application(), "Rotate the signing secret?").below(address(&e), here.clone()),
        text: vec![
            format!("{} gets a new secret.", address(&e)),
            "For 24 hours messages are signed with the old one and the new one, so that the receiver can be changed \
             without a gap."
                .to_owned(),
        ],
        action: format!("{here}/rotate"),
        button: "Rotate secret".to_owned(),
        back: here,
        dangerous: false,
    })
}

pub(crate) async fn rotate(visitor: Visitor, Path((app, endpoint)): At) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    match visitor.service().rotate_secret(&scope, &endpoint, None, None).await {
        Ok(_) => visitor.say("There is a new secret. The old one goes on signing beside it for 24 hours."),
        Err(e) if is_about_input(&e) => visitor.complain(in_words(&e)),
        Err(e) => return Err(e.into()),
    }
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    Ok(go(&path(scope.application(), &e)))
}

pub(crate) async fn confirm_delete(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    visitor.actor.must_have(Capability::ManageEndpoint)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let here = path(scope.application(), &e);
    show(&ConfirmPage {
        frame: frame(&visitor, scope.application(), "Delete this endpoint?").below(address(&e), here.clone()),
        text: vec![
            format!("Nothing more is sent to {}.", address(&e)),
            "What waits for it is cancelled. What was sent stays in the messages' logs.".to_owned(),
        ],
        action: format!("{here}/delete"),
        button: "Delete endpoint".to_owned(),
        back: here,
        dangerous: true,
    })
}

pub(crate) async fn delete(visitor: Visitor, Path((app, endpoint)): At) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.service().delete_endpoint(&scope, &endpoint).await?;
    visitor.say("The endpoint was deleted.");
    Ok(go(&app_path(scope.application())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_two_numbers_or_none() {
        assert_eq!(limits(" "), Ok(Patch::Clear));
        let both = Patch::Set(DeactivateAfter { timeouts: 9500, errors: 28000 });
        assert_eq!((limits("9500, 28000"), limits("9500 28000")), (Ok(both), Ok(both)));
        for odd in ["9500", "1,2,3", "a,b", "-1,2", "1,99999999999"] {
            assert!(limits(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn hidden_header_values_stay_and_lines_left_out_are_removed() {
        let now = ShownHeaders {
            headers: [("X-A".to_owned(), "1".to_owned()), ("X-B".to_owned(), "2".to_owned())].into(),
            sensitive: vec!["Authorization".to_owned()],
        };
        let changes = header_changes(&format!("x-a: 3\nAuthorization: {HIDDEN}\n"), &now).unwrap();
        let expected = [("x-a".to_owned(), Some("3".to_owned())), ("X-B".to_owned(), None)];
        assert_eq!(changes, expected.into());
        assert!(header_changes("no colon", &now).is_err());
    }
}
