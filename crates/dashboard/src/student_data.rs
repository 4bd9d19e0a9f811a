//! What leaves about people and who agreed to that: the question in forms, the page of one endpoint, and who gets what of an
//! application.

use crate::{
    endpoint::{Head, address, frame, path},
    endpoints::listens_to,
    events::by_class,
    form::{Fields, Form},
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, show as render},
    session::Visitor,
    words::When,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{Endpoint, Timestamp};
use service::{
    AppScope, Capability, Patch, ServiceError,
    endpoints::{EndpointChange, EndpointExtras},
    student_data::{Consent, Disclosure},
};

/// What a form asks before data about people goes to an address.
pub(crate) struct Asked {
    /// Who will get it.
    pub(crate) recipient: String,
    /// What it will learn: how close to a person, and where it stands.
    pub(crate) fields: Vec<(&'static str, Vec<String>)>,
    /// Event types whose schema says nothing about people.
    pub(crate) silent: usize,
    pub(crate) warning: &'static str,
    /// Whether the form was sent without the box ticked.
    pub(crate) unticked: bool,
    /// The name that was typed before.
    pub(crate) name: String,
}

impl Asked {
    pub(crate) fn of(disclosure: Disclosure, form: &Fields) -> Self {
        Self {
            recipient: disclosure.recipient,
            fields: by_class(disclosure.fields),
            silent: disclosure.silent,
            warning: disclosure.warning.unwrap_or_default(),
            unticked: form.ticked("asked") && !form.ticked("agreed"),
            name: form.get("agreed-by").to_owned(),
        }
    }
}

/// What a form says about it: agreed, by whom; or nothing.
pub(crate) fn agreed(form: &Fields) -> Patch<String> {
    if form.ticked("agreed") { Patch::Set(form.get("agreed-by").to_owned()) } else { Patch::Keep }
}

/// Who agreed to what an endpoint sends, for its pages.
pub(crate) struct ConsentShown {
    /// `given`, `outdated`, `missing` or `none` where nobody has to.
    pub(crate) state: &'static str,
    pub(crate) by: String,
    pub(crate) recipient: String,
    pub(crate) when: Option<When>,
}

impl ConsentShown {
    fn of(disclosure: &Disclosure, endpoint: &Endpoint, now: Timestamp) -> Self {
        let (state, given) = match disclosure.consent(endpoint) {
            Consent::NotNeeded => ("none", None),
            Consent::Missing => ("missing", None),
            Consent::Outdated(given) => ("outdated", Some(given)),
            Consent::Given(given) => ("given", Some(given)),
        };
        Self {
            state,
            by: given.map(|g| g.by.clone()).unwrap_or_default(),
            recipient: given.map_or_else(|| disclosure.recipient.clone(), |g| g.recipient.clone()),
            when: given.map(|g| When::new(g.at, now)),
        }
    }
    pub(crate) async fn read(visitor: &Visitor, scope: &AppScope, endpoint: &Endpoint) -> Result<Self, ServiceError> {
        let disclosure = visitor.service().disclosure(scope, endpoint).await?;
        Ok(Self::of(&disclosure, endpoint, visitor.now()))
    }
    pub(crate) fn is(&self, state: &str) -> bool {
        self.state == state
    }
}

#[derive(Template)]
#[template(path = "student_data.html")]
struct StudentDataPage {
    frame: Frame,
    head: Head,
    consent: ConsentShown,
    asked: Asked,
    problem: String,
}

async fn page(
    visitor: &Visitor,
    scope: &AppScope,
    e: &Endpoint,
    form: &Fields,
) -> Result<StudentDataPage, ServiceError> {
    let disclosure = visitor.service().disclosure(scope, e).await?;
    let frame = frame(visitor, scope.application(), "Student data").below(address(e), path(scope.application(), e));
    Ok(StudentDataPage {
        frame,
        head: Head::read(visitor, scope, e, "").await?,
        consent: ConsentShown::of(&disclosure, e, visitor.now()),
        asked: Asked::of(disclosure, form),
        problem: String::new(),
    })
}

pub(crate) async fn show(visitor: Visitor, Path((app, endpoint)): Path<(String, String)>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    render(&page(&visitor, &scope, &e, &Fields::default()).await?)
}

pub(crate) async fn save(visitor: Visitor, Path((app, endpoint)): Path<(String, String)>, Form(form): Form) -> Answer {
    visitor.actor.must_have(Capability::ManageEndpoint)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let withdraws = form.get("go") == "withdraw";
    let wanted = if withdraws { Patch::Clear } else { agreed(&form) };
    let mut problem = String::new();
    if wanted != Patch::Keep {
        let extras = EndpointExtras { student_data: wanted, ..EndpointExtras::default() };
        match visitor
            .service()
            .patch_endpoint(&scope, &endpoint, EndpointChange { extras, ..EndpointChange::default() })
            .await
        {
            Ok(_) => {
                let stays =
                    "The confirmation was withdrawn. To stop what is sent, switch the endpoint off or delete it.";
                visitor.say(if withdraws { stays } else { "The confirmation was recorded." });
                return Ok(go(&format!("{}/student-data", path(scope.application(), &e))));
            }
            Err(error) if is_about_input(&error) => problem = in_words(&error),
            Err(error) => return Err(error.into()),
        }
    }
    let mut page = page(&visitor, &scope, &e, &form).await?;
    page.problem = problem;
    Ok(render(&page)?.into_response())
}

/// Somebody who gets something.
struct Recipient {
    host: String,
    address: String,
    path: String,
    purpose: String,
    on: bool,
    events: String,
    fields: Vec<(&'static str, Vec<String>)>,
    silent: usize,
    consent: ConsentShown,
}

#[derive(Template)]
#[template(path = "recipients.html")]
struct RecipientsPage {
    frame: Frame,
    application: String,
    may_manage: bool,
    rows: Vec<Recipient>,
}

/// Who gets what of an application: one page for whoever asks, to be read, printed or handed on.
pub(crate) async fn recipients(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let now = visitor.now();
    let found = visitor.service().disclosures(&scope).await?;
    let rows = found.into_iter().map(|(e, disclosure)| {
        let consent = ConsentShown::of(&disclosure, &e, now);
        let asked = Asked::of(disclosure, &Fields::default());
        Recipient {
            host: asked.recipient,
            address: address(&e),
            path: path(scope.application(), &e),
            purpose: e.description.clone(),
            on: e.disabled.is_none(),
            events: listens_to(&e),
            fields: asked.fields,
            silent: asked.silent,
            consent,
        }
    });
    let app = scope.application();
    render(&RecipientsPage {
        frame: Frame::of(&visitor, app, Room::Endpoints, "Who gets student data").below("Endpoints", app_path(app)),
        application: app.name.clone(),
        may_manage: visitor.can(Capability::ManageEndpoint),
        rows: rows.collect(),
    })
}
