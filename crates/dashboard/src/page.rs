//! The frame around every page, and pages about what did not work.

use crate::{
    assets,
    session::{Notice, Visitor},
    theme,
};
use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::Application;
use http::StatusCode;
use service::{Permission, Problem, ServiceError};

/// The frame around a page.
#[derive(Default)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) crumbs: Vec<(String, String)>,
    pub(crate) app: Option<Rail>,
    pub(crate) notice: Option<Notice>,
    pub(crate) signed_in: bool,
    pub(crate) operator: bool,
    /// Somebody with a place above applications: not a portal.
    pub(crate) person: bool,
    /// Whether they have a password and sessions of their own.
    pub(crate) account: bool,
    pub(crate) alerts: u64,
    pub(crate) look: Look,
    pub(crate) style: &'static str,
    pub(crate) script: &'static str,
}

/// How the frame looks, as an organization or the link of a portal decided.
#[derive(Default)]
pub(crate) struct Look {
    /// At the top.
    pub(crate) name: String,
    /// In the place of the bell.
    pub(crate) mark: String,
    /// `dark`, `light`, or as the browser prefers.
    pub(crate) scheme: &'static str,
    /// One more style sheet.
    pub(crate) sheet: String,
    pub(crate) no_gutters: bool,
    pub(crate) no_navigation: bool,
}

impl Look {
    fn of(visitor: &Visitor) -> Self {
        let brand = &visitor.found.branding;
        let mut accent = Some(brand.accent.as_str()).filter(|a| !a.is_empty());
        let mut look = Self { name: brand.name.clone(), mark: brand.mark.clone(), ..Self::default() };
        let mut font = None;
        if let Some(portal) = &visitor.session().portal {
            accent = portal.accent.as_deref().or(accent);
            font = portal.font.as_deref();
            look.scheme = portal.dark.map_or("", |dark| if dark { "dark" } else { "light" });
            look.no_gutters = portal.no_gutters || portal.no_navigation;
            look.no_navigation = portal.no_navigation;
        }
        look.sheet = theme::sheet(accent, font);
        look
    }
}

/// The rooms of an application, at the side.
pub(crate) struct Rail {
    pub(crate) name: String,
    /// Its platform's name for people.
    pub(crate) platform: String,
    /// `/applications/app_…`.
    pub(crate) path: String,
    pub(crate) room: Room,
    /// Whether it may have tools of Canvas.
    pub(crate) tools: bool,
    /// Whether the secret travels in the body there: then there is a page for that.
    pub(crate) has_webhook_settings: bool,
    pub(crate) has_submissions: bool,
    /// Whether what belongs to the application as a whole is shown.
    pub(crate) whole: bool,
    pub(crate) may_manage: bool,
    pub(crate) may_invite: bool,
    pub(crate) may_audit: bool,
}

/// A room of an application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    Endpoints,
    Messages,
    Events,
    Tools,
    WebhookSettings,
    Submissions,
    Webfilters,
    People,
    Audit,
    Settings,
}

impl Rail {
    pub(crate) fn is(&self, name: &str) -> bool {
        name == match self.room {
            Room::Endpoints => "endpoints",
            Room::Messages => "messages",
            Room::Events => "events",
            Room::Tools => "tools",
            Room::WebhookSettings => "webhook",
            Room::Submissions => "submissions",
            Room::Webfilters => "webfilters",
            Room::People => "people",
            Room::Audit => "audit",
            Room::Settings => "settings",
        }
    }
}

impl Frame {
    /// Of a page before signing in.
    pub(crate) fn outside(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            crumbs: Vec::new(),
            app: None,
            notice: None,
            signed_in: false,
            operator: false,
            person: false,
            account: false,
            alerts: 0,
            look: Look::default(),
            style: assets::style(),
            script: assets::script(),
        }
    }
    /// Of a page above applications.
    pub(crate) fn new(visitor: &Visitor, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            notice: visitor.take_notice(),
            signed_in: true,
            operator: visitor.is_operator(),
            person: visitor.is_person(),
            account: visitor.session().user.is_some(),
            alerts: visitor.found.alerts,
            look: Look::of(visitor),
            ..Self::outside("")
        }
    }
    /// Of a page in an application.
    pub(crate) fn of(visitor: &Visitor, app: &Application, room: Room, title: impl Into<String>) -> Self {
        let about = service::platform::about(app);
        let rail = Rail {
            name: app.name.clone(),
            platform: about.title.to_owned(),
            path: app_path(app),
            room,
            tools: service::lti::has_tools(app),
            has_webhook_settings: about.has_body_secrets,
            has_submissions: about.has_submissions && visitor.may(Permission::SeePayloads),
            whole: visitor.may(Permission::SeeWhole),
            may_manage: visitor.may(Permission::ManageApplication),
            may_invite: visitor.may(Permission::ManagePeople),
            may_audit: visitor.may(Permission::SeeAudit),
        };
        let mut frame = Self::new(visitor, title);
        if visitor.is_person() {
            frame.crumbs.push(("Applications".to_owned(), "/applications".to_owned()));
        }
        frame.crumbs.push((app.name.clone(), rail.path.clone()));
        frame.app = Some(rail);
        frame
    }
    /// With one more step on the way here.
    pub(crate) fn below(mut self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.crumbs.push((name.into(), path.into()));
        self
    }
}

/// The address of an application's first page.
pub(crate) fn app_path(app: &Application) -> String {
    format!("/applications/{}", app.id)
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum PageError {
    /// Nobody is signed in.
    SignedOut,
    /// The session of a portal in a frame has ended.
    PortalClosed,
    /// An invitation that does not work any more.
    NoInvitation,
    /// A link to a new password that does not work any more.
    NoReset,
    /// Another site sent the form.
    Foreign,
    /// More than a form may hold.
    TooLarge,
    /// An address that leads nowhere.
    NotFound,
    /// Too many tries to sign in.
    TooOften,
    /// The operation did not happen.
    Service(ServiceError),
    /// The page could not be made.
    Template(askama::Error),
}

impl From<ServiceError> for PageError {
    fn from(e: ServiceError) -> Self {
        Self::Service(e)
    }
}
impl From<askama::Error> for PageError {
    fn from(e: askama::Error) -> Self {
        Self::Template(e)
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    text: String,
    advice: &'static str,
}

impl PageError {
    /// The page that says so.
    pub(crate) fn page(self) -> Response {
        let (status, title, text, advice) = match self {
            Self::SignedOut => return Redirect::to("/sign-in").into_response(),
            Self::PortalClosed => return Redirect::to("/portal").into_response(),
            Self::NoInvitation => (
                StatusCode::NOT_FOUND,
                "This invitation does not work any more",
                "It was used already, has ended, or was withdrawn.".to_owned(),
                "Ask whoever invited you for a new one.",
            ),
            Self::NoReset => (
                StatusCode::NOT_FOUND,
                "This link does not work any more",
                "It was used already, has ended, or there is a newer one.".to_owned(),
                "Ask whoever runs this server for a new one.",
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "Not from here",
                "This form was sent from another site, so nothing was done.".to_owned(),
                "Open the dashboard itself and try again.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Too large",
                "The form holds more than the server takes.".to_owned(),
                "Send less at once.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "There is nothing at this address.".to_owned(),
                "It may have been deleted, or the link was cut short.",
            ),
            Self::TooOften => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many tries",
                "Somebody tried to sign in too often.".to_owned(),
                "Wait for a minute, then open the link again.",
            ),
            Self::Service(e) => of_service(&e),
            Self::Template(e) => {
                tracing::error!(error = %e, "a page could not be made");
                of_service(&ServiceError::Internal)
            }
        };
        let page = ErrorPage { frame: Frame::outside(title), text, advice };
        let html = page.render().unwrap_or_else(|_| title.to_owned());
        (status, Html(html)).into_response()
    }
}

fn of_service(e: &ServiceError) -> (StatusCode, &'static str, String, &'static str) {
    match e {
        ServiceError::NotFound(what) => (
            StatusCode::NOT_FOUND,
            "Not found",
            format!("{what}."),
            "It may have been deleted, or it is not yours to see.",
        ),
        ServiceError::Forbidden => (
            StatusCode::FORBIDDEN,
            "Not allowed",
            "Your role, or your link, does not allow this.".to_owned(),
            "Ask whoever invited you, or gave you the link.",
        ),
        ServiceError::StorageFull | ServiceError::TooBusy | ServiceError::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "Not now", e.to_string(), "Nothing was changed.")
        }
        ServiceError::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something is wrong on our side",
            e.to_string(),
            "The server's log says more.",
        ),
        e => (StatusCode::BAD_REQUEST, "This did not work", in_words(e), "Go back and change it."),
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        self.page()
    }
}

/// A page.
pub(crate) type Page = Result<Html<String>, PageError>;
/// What came of a form: a page again, or another address.
pub(crate) type Answer = Result<Response, PageError>;

/// Renders a page.
pub(crate) fn show(template: &impl Template) -> Page {
    Ok(Html(template.render()?))
}

/// Goes to another page after a form was sent.
pub(crate) fn go(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// A broken rule beside its field.
pub(crate) fn problem_of(error: &ServiceError, field: &str) -> String {
    let ServiceError::Invalid(problems) = error else { return String::new() };
    let of = |p: &&Problem| p.loc.iter().any(|l| l == field);
    problems.iter().filter(of).map(|p| plain(&p.msg)).collect::<Vec<_>>().join(" ")
}

/// Everything that an operation complained about.
pub(crate) fn in_words(error: &ServiceError) -> String {
    match error {
        ServiceError::Invalid(problems) => problems.iter().map(|p| plain(&p.msg)).collect::<Vec<_>>().join(" "),
        e => e.to_string(),
    }
}

/// What the API says about a name in the words of other servers, in plain ones.
fn plain(msg: &str) -> &str {
    match msg {
        r"String must match the following pattern: [a-zA-Z0-9\-_.]." => "Only letters, digits and - _ . can be in it.",
        r"String must match the following pattern: [a-zA-Z0-9\-_.:+]." => {
            "Only letters, digits and - _ . : + can be in it."
        }
        "String must be at least one character" => "This cannot be empty.",
        "String too long" => "This is too long.",
        "Uids are not allowed to have the same prefix as the ID. Prefix with _?" => {
            "An id of your own cannot begin like ours. Put something before it."
        }
        other => other,
    }
}

/// Whether a form is shown again with what was wrong, rather than a page about the error.
pub(crate) fn is_about_input(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Invalid(_)
            | ServiceError::Conflict(_)
            | ServiceError::InvalidScheme
            | ServiceError::LimitReached(_)
            | ServiceError::InvalidRange(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{applications::ConfirmPage, endpoint::AnswerShown};
    use domain::{Attempt, AttemptStatus, Ksuid, Timestamp, Trigger};

    const HOSTILE: &str = r#"<script>alert(1)</script>"'><img src=x onerror=alert(1)>"#;

    fn shows_no_markup_of(html: &str) {
        assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
        assert!(!html.contains(r#""'>"#), "an attribute ends early: {html}");
    }

    #[test]
    fn what_others_wrote_is_text_in_titles_crumbs_notices_attributes_and_bodies() {
        let rail = Rail {
            name: HOSTILE.into(),
            platform: HOSTILE.into(),
            path: HOSTILE.into(),
            room: Room::Events,
            tools: true,
            has_webhook_settings: true,
            has_submissions: true,
            whole: true,
            may_manage: true,
            may_invite: true,
            may_audit: true,
        };
        let page = ConfirmPage {
            frame: Frame {
                title: HOSTILE.into(),
                crumbs: vec![(HOSTILE.into(), HOSTILE.into())],
                app: Some(rail),
                notice: Some(Notice { text: HOSTILE.into(), bad: true }),
                look: Look { name: HOSTILE.into(), mark: HOSTILE.into(), sheet: HOSTILE.into(), ..Look::default() },
                ..Frame::outside("")
            },
            text: vec![HOSTILE.into()],
            action: HOSTILE.into(),
            button: HOSTILE.into(),
            back: HOSTILE.into(),
            dangerous: true,
        };
        shows_no_markup_of(&page.render().unwrap());
    }

    #[test]
    fn what_a_receiver_answered_is_text() {
        #[derive(Template)]
        #[template(source = r#"{% import "macros.html" as m %}{% call m::answers(list) %}{% endcall %}"#, ext = "html")]
        struct Answers {
            list: Vec<AnswerShown>,
        }
        let attempt = Attempt {
            id: domain::AttemptId(Ksuid::MIN),
            message: domain::MessageId(Ksuid::MIN),
            endpoint: domain::EndpointId(Ksuid::MIN),
            url: HOSTILE.into(),
            at: Timestamp::from_micros(0),
            status: AttemptStatus::Fail,
            trigger: Trigger::Manual,
            response: HOSTILE.into(),
            response_status: 500,
            duration_ms: 1,
            reason: domain::FailureReason::of_status(500),
        };
        let list = vec![AnswerShown::of(&attempt, Timestamp::from_micros(0))];
        let html = Answers { list }.render().unwrap();
        assert!(html.contains("The receiver failed.") && html.contains("Look into the receiver"), "{html}");
        shows_no_markup_of(&html);
    }

    #[test]
    fn errors_say_what_to_do_and_have_their_status() {
        let of = |e: ServiceError| PageError::from(e).page().status();
        assert_eq!(of(ServiceError::Forbidden), StatusCode::FORBIDDEN);
        assert_eq!(of(ServiceError::NotFound("x")), StatusCode::NOT_FOUND);
        assert_eq!(of(ServiceError::TooBusy), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of(ServiceError::Internal), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(PageError::SignedOut.page().status(), StatusCode::SEE_OTHER);
    }
}
