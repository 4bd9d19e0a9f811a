//! What may be said about a webfilter, and which of it holds: what its filter cannot do is refused, with the field.

use super::{problem, rules_of};
use crate::{Service, access::AppScope, check::Check, error::ServiceError, patch::Patch};
use domain::{
    Uid, Webfilter, WebfilterId,
    webfilter::{
        Because, DEADLINE_MAX, Encoding, FilterRules, HaltRule, OnSilence, UnknownChoice, WebfilterSettings,
        WireVersion,
    },
};
use std::{str::FromStr, sync::Arc};
use url::Url;

/// Bytes of a redirect at most.
const REDIRECT_MAX: usize = 2048;
/// Characters of an exception's name at most.
const EXCEPTION_MAX: usize = 100;

/// A webfilter to create or to put.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebfilterInput {
    /// All but the secret; what it leaves out is the default.
    pub change: WebfilterChange,
    /// Signs; made if absent.
    pub secret: Option<String>,
}

/// A change of a webfilter. Clearing sets the default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebfilterChange {
    /// Which filter asks it.
    pub filter: Option<String>,
    /// The address.
    pub url: Option<String>,
    /// The user's own name for it.
    pub uid: Patch<String>,
    /// For people.
    pub description: Patch<String>,
    /// Whether it is asked.
    pub enabled: Patch<bool>,
    /// Its place.
    pub order: Patch<i32>,
    /// `json` or `form`.
    pub encoding: Patch<String>,
    /// `v22` or `v21`.
    pub wire_version: Patch<String>,
    /// Whether its data is left unused.
    pub disable_filtering: Patch<bool>,
    /// Whether its exceptions are left unused.
    pub disable_halting: Patch<bool>,
    /// Whether a 4xx halts.
    pub halt_on_4xx: Patch<bool>,
    /// Where to then.
    pub redirect_on_4xx: Patch<String>,
    /// Whether a 5xx halts.
    pub halt_on_5xx: Patch<bool>,
    /// Where to then.
    pub redirect_on_5xx: Patch<String>,
    /// Whether a failed call halts.
    pub halt_on_request_exception: Patch<bool>,
    /// Where to then.
    pub redirect_on_request_exception: Patch<String>,
    /// `pass` or `halt`.
    pub on_silence: Patch<String>,
    /// What its halts raise.
    pub halt_exception: Patch<String>,
    /// Milliseconds it may take.
    pub deadline_ms: Patch<u32>,
}

impl WebfilterChange {
    /// The same, with the default for whatever it leaves out. Filter and address stay.
    #[must_use]
    pub fn over_defaults(self) -> Self {
        fn or_default<T>(patch: Patch<T>) -> Patch<T> {
            match patch {
                Patch::Keep => Patch::Clear,
                said => said,
            }
        }
        Self {
            filter: self.filter,
            url: self.url,
            // A uid that a PUT leaves out is the one in its path.
            uid: self.uid,
            description: or_default(self.description),
            enabled: or_default(self.enabled),
            order: or_default(self.order),
            encoding: or_default(self.encoding),
            wire_version: or_default(self.wire_version),
            disable_filtering: or_default(self.disable_filtering),
            disable_halting: or_default(self.disable_halting),
            halt_on_4xx: or_default(self.halt_on_4xx),
            redirect_on_4xx: or_default(self.redirect_on_4xx),
            halt_on_5xx: or_default(self.halt_on_5xx),
            redirect_on_5xx: or_default(self.redirect_on_5xx),
            halt_on_request_exception: or_default(self.halt_on_request_exception),
            redirect_on_request_exception: or_default(self.redirect_on_request_exception),
            on_silence: or_default(self.on_silence),
            halt_exception: or_default(self.halt_exception),
            deadline_ms: or_default(self.deadline_ms),
        }
    }
}

/// A change each field of which can be read. Whether they fit together is found when it is applied.
pub(super) struct Checked {
    pub(super) rules: Option<Arc<FilterRules>>,
    url: Option<String>,
    uid: Patch<Uid>,
    encoding: Patch<Encoding>,
    wire_version: Patch<WireVersion>,
    on_silence: Patch<OnSilence>,
    rest: WebfilterChange,
}

fn choice<T: FromStr<Err = UnknownChoice>>(
    check: &mut Check,
    field: &'static str,
    word: &mut Patch<String>,
) -> Patch<T> {
    std::mem::take(word).and_then(|word| word.parse().map_err(|e| super::refuse(check, field, e)).ok())
}

fn set<T>(said: &Patch<T>, place: &mut T, default: T)
where
    T: Clone,
{
    match said {
        Patch::Keep => {}
        Patch::Clear => *place = default,
        Patch::Set(value) => *place = value.clone(),
    }
}

impl Service {
    pub(super) fn check_webfilter(&self, scope: &AppScope, change: WebfilterChange, check: &mut Check) -> Checked {
        let mut rest = change;
        if let Some(description) = rest.description.value() {
            check.text("description", description);
        }
        check.range("deadlineMs", rest.deadline_ms.value().map(|ms| i64::from(*ms)), 1..=i64::from(DEADLINE_MAX));
        for (field, redirect) in [
            ("redirectOn4xx", &mut rest.redirect_on_4xx),
            ("redirectOn5xx", &mut rest.redirect_on_5xx),
            ("redirectOnRequestException", &mut rest.redirect_on_request_exception),
        ] {
            // As forms say it: nothing.
            if redirect.value().is_some_and(String::is_empty) {
                *redirect = Patch::Clear;
            }
            if let Some(Err(why)) = redirect.value().map(|text| check_redirect(text)) {
                check.fail(&[field], why);
            }
        }
        if rest.halt_exception.value().is_some_and(String::is_empty) {
            rest.halt_exception = Patch::Clear;
        }
        let is_name = |name: &String| {
            name.len() <= EXCEPTION_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
        };
        if rest.halt_exception.value().is_some_and(|name| !is_name(name)) {
            check.fail(&["haltException"], "must be at most 100 letters, digits, underscores and full stops");
        }
        Checked {
            rules: rest.filter.as_ref().and_then(|name| rules_of(scope, name, "filter", check)),
            url: rest.url.take().and_then(|url| self.check_http_address(&url, check)),
            uid: std::mem::take(&mut rest.uid).and_then(|uid| check.uid(&uid, WebfilterId::PREFIX)),
            encoding: choice(check, "encoding", &mut rest.encoding),
            wire_version: choice(check, "wireVersion", &mut rest.wire_version),
            on_silence: choice(check, "onSilence", &mut rest.on_silence),
            rest,
        }
    }
}

fn check_redirect(text: &str) -> Result<(), &'static str> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && text.len() <= REDIRECT_MAX => Ok(()),
        Ok(url) if matches!(url.scheme(), "http" | "https") => Err("String too long"),
        _ => Err("must be an absolute http or https address"),
    }
}

impl Checked {
    /// Changes a webfilter, if the result is one that its filter can have.
    pub(super) fn apply(&self, scope: &AppScope, webfilter: &mut Webfilter) -> Result<(), ServiceError> {
        let default = WebfilterSettings::default();
        let (rest, s) = (&self.rest, &mut webfilter.settings);
        if let Some(rules) = &self.rules {
            webfilter.filter = rules.name.clone();
        }
        if let Some(url) = &self.url {
            webfilter.url.clone_from(url);
        }
        self.uid.clone().apply(&mut webfilter.uid);
        set(&rest.description, &mut s.description, default.description);
        set(&rest.enabled, &mut s.enabled, default.enabled);
        set(&rest.order, &mut s.order, default.order);
        set(&self.encoding, &mut s.encoding, default.encoding);
        set(&self.wire_version, &mut s.wire_version, default.wire_version);
        set(&rest.disable_filtering, &mut s.disable_filtering, default.disable_filtering);
        set(&rest.disable_halting, &mut s.disable_halting, default.disable_halting);
        for (rule, halts, redirect) in [
            (&mut s.on_4xx, &rest.halt_on_4xx, &rest.redirect_on_4xx),
            (&mut s.on_5xx, &rest.halt_on_5xx, &rest.redirect_on_5xx),
            (&mut s.on_request_exception, &rest.halt_on_request_exception, &rest.redirect_on_request_exception),
        ] {
            set(halts, &mut rule.halts, false);
            redirect.clone().apply(&mut rule.redirect);
        }
        set(&self.on_silence, &mut s.on_silence, default.on_silence);
        rest.halt_exception.clone().apply(&mut s.halt_exception);
        rest.deadline_ms.apply(&mut s.deadline_ms);
        let problems = misfits(&*self.rules_now(scope, webfilter)?, &webfilter.settings);
        if problems.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(problems)) }
    }

    fn rules_now(&self, scope: &AppScope, webfilter: &Webfilter) -> Result<Arc<FilterRules>, ServiceError> {
        if let Some(rules) = &self.rules {
            return Ok(rules.clone());
        }
        let mut check = Check::body();
        let rules = rules_of(scope, webfilter.filter.as_str(), "filter", &mut check);
        rules.ok_or_else(|| check.into_error())
    }
}

/// What these settings ask for that the filter cannot do.
fn misfits(rules: &FilterRules, settings: &WebfilterSettings) -> Vec<crate::Problem> {
    let mut problems = Vec::new();
    let exception = settings.halt_exception.as_deref();
    if let Some(name) = exception
        && !rules.has_exception(name)
    {
        let known: Vec<_> = rules.exceptions.iter().flatten().map(|e| e.name.as_str()).collect();
        let msg = match known.as_slice() {
            [] => format!("{} has no exceptions", rules.name),
            known => format!("{} has no exception {name}: use one of {}", rules.name, known.join(", ")),
        };
        problems.push(problem("haltException", msg));
        return problems;
    }
    for (because, HaltRule { halts, redirect }) in settings.halts() {
        let (halt_field, redirect_field) = match because {
            Because::Status4xx => ("haltOn4xx", "redirectOn4xx"),
            Because::Status5xx => ("haltOn5xx", "redirectOn5xx"),
            Because::RequestException | Because::Silence => ("haltOnRequestException", "redirectOnRequestException"),
        };
        if *halts && !rules.can_halt() {
            problems.push(problem(halt_field, cannot_halt(rules)));
        }
        if redirect.is_some() && !rules.can_redirect(exception) {
            let msg = match exception.or(rules.halt_exception.as_deref()) {
                Some(name) => format!("{name} of {} cannot redirect: leave this empty", rules.name),
                None => cannot_halt(rules),
            };
            problems.push(problem(redirect_field, msg));
        }
    }
    if settings.on_silence == OnSilence::Halt && !rules.can_halt() {
        problems.push(problem("onSilence", cannot_halt(rules)));
    }
    problems
}

fn cannot_halt(rules: &FilterRules) -> String {
    format!("{} cannot be halted: it has no exception to raise", rules.name)
}
