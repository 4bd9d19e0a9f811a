//! Asking: for real, and for a try.

use super::{platform, rules_of};
use crate::{Service, access::AppScope, actor::Capability, check::Check, error::ServiceError};
use domain::{
    FailureReason, FilterName, Json, Webfilter,
    json::Members,
    webfilter::{Asking, Change, FilterRules, Heard, Question, Run, changes},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The longest that a run may be asked to take.
const DEADLINE_MAX: i64 = 60_000;

/// A filter, and who is asked about it.
#[derive(Clone, PartialEq, Debug)]
pub struct FilterInfo {
    /// What is known of it.
    pub rules: Arc<FilterRules>,
    /// How many enabled webfilters it has.
    pub webfilters: usize,
}

/// What a webfilter is taken to say in a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// This.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Nothing in time.
    Silent,
    /// The call fails.
    Failed,
}

/// An answer that is taken as given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenAnswer {
    /// Whose, by id or uid.
    pub webfilter: String,
    /// What.
    pub said: Said,
}

/// What to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TryInput {
    /// The filter.
    pub filter: String,
    /// A JSON object; the catalogue's example if absent.
    pub payload: Option<String>,
    /// Answers that are taken as given.
    pub answers: Vec<GivenAnswer>,
    /// These webfilters, by id or uid, enabled or not; the enabled ones if absent.
    pub webfilters: Option<Vec<String>>,
    /// Whether those without a given answer are really asked.
    pub call: bool,
    /// How long it may take.
    pub deadline_ms: Option<i64>,
}

/// Whether an actor's platform may ask: whoever may do everything in the application.
fn may_run(scope: &AppScope) -> Result<(), ServiceError> {
    scope.must_see_whole()?;
    Capability::ALL.into_iter().try_for_each(|capability| scope.must_have(capability))
}

fn read_payload(text: &[u8], check: &mut Check) -> Option<Members> {
    match Json::parse(text) {
        Ok(Json::Object(payload)) => return Some(payload),
        Ok(_) => check.fail(&["payload"], "must be an object"),
        Err(e) => check.fail(&["payload"], e.to_string()),
    }
    None
}

impl Service {
    /// Asks the enabled webfilters of a filter. Reads no database.
    pub async fn run_webfilters(
        &self,
        scope: &AppScope,
        filter: &str,
        payload: &str,
        deadline_ms: Option<i64>,
    ) -> Result<Run, ServiceError> {
        may_run(scope)?;
        let mut check = Check::body();
        check.range("deadlineMs", deadline_ms, 1..=DEADLINE_MAX);
        let rules = rules_of(scope, filter, "filter", &mut check);
        let payload = read_payload(payload.as_bytes(), &mut check);
        let (Some(rules), Some(payload)) = (rules, payload) else { return Err(check.into_error()) };
        check.finish()?;
        let question = Question {
            app: scope.key(),
            webfilters: enabled(scope, &rules).cloned().collect(),
            rules,
            payload,
            deadline: milliseconds(deadline_ms),
            given: Vec::new(),
            test: None,
        };
        Ok(self.asker.run(question).await)
    }

    /// Tries webfilters: with answers that are given, or by really asking. Says what would change.
    pub async fn try_webfilters(&self, scope: &AppScope, input: TryInput) -> Result<(Run, Vec<Change>), ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ViewBase)?;
        if input.call {
            scope.must_have(Capability::CreateAttempts)?;
        }
        let mut check = Check::body();
        check.range("deadlineMs", input.deadline_ms, 1..=DEADLINE_MAX);
        let rules = rules_of(scope, &input.filter, "filter", &mut check);
        let payload = input.payload.as_ref().map(|text| read_payload(text.as_bytes(), &mut check));
        let Some(rules) = rules else { return Err(check.into_error()) };
        let payload = match payload {
            Some(given) => given.unwrap_or_default(),
            None => rules.example.as_ref().and_then(Json::as_object).cloned().unwrap_or_default(),
        };
        let find = |which: &str| {
            let fits = |w: &&Arc<Webfilter>| {
                w.filter == rules.name
                    && (w.id.to_string() == which || w.uid.as_ref().is_some_and(|uid| uid.as_str() == which))
            };
            scope.entry().webfilters.iter().find(fits).cloned()
        };
        let mut webfilters: Vec<Arc<Webfilter>> = match &input.webfilters {
            None => enabled(scope, &rules).cloned().collect(),
            Some(named) => {
                let found: Vec<_> = named.iter().filter_map(|which| find(which)).collect();
                if found.len() < named.len() {
                    check.fail(&["webfilters"], format!("not all of these are webfilters of {}", rules.name));
                }
                found
            }
        };
        let mut given = Vec::new();
        for answer in input.answers {
            let Some(webfilter) = find(&answer.webfilter) else {
                check.fail(&["answers"], format!("{} is no webfilter of {}", answer.webfilter, rules.name));
                continue;
            };
            given.push((webfilter.id, heard(answer.said)));
            webfilters.push(webfilter);
        }
        check.finish()?;
        webfilters.sort_by_key(|w| w.place());
        webfilters.dedup_by_key(|w| w.key);
        let question = Question {
            app: scope.key(),
            rules: rules.clone(),
            payload: payload.clone(),
            webfilters,
            deadline: milliseconds(input.deadline_ms),
            given,
            test: Some(if input.call { Asking::Really } else { Asking::Not }),
        };
        let run = self.asker.run(question).await;
        let changes = changes(&rules, &payload, &run.report.data, &run.report.effects);
        Ok((run, changes))
    }

    /// The filters that there are: those of the platform's catalogue, then those of the application's own.
    pub fn filters(&self, scope: &AppScope) -> Result<Vec<FilterInfo>, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ViewBase)?;
        let mut enabled: BTreeMap<FilterName, usize> = BTreeMap::new();
        for webfilter in &scope.entry().webfilters {
            *enabled.entry(webfilter.filter.clone()).or_default() += usize::from(webfilter.settings.enabled);
        }
        let known = platforms::webfilter::catalogue(platform(scope)).map(|c| c.filters()).unwrap_or_default();
        let mut filters: Vec<FilterInfo> = known
            .iter()
            .map(|rules| FilterInfo { rules: rules.clone(), webfilters: enabled.remove(&rules.name).unwrap_or(0) })
            .collect();
        let own = |(name, webfilters)| FilterInfo { rules: Arc::new(FilterRules::own(name)), webfilters };
        filters.extend(enabled.into_iter().map(own));
        Ok(filters)
    }

    /// One of them.
    pub fn filter(&self, scope: &AppScope, name: &str) -> Result<FilterInfo, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ViewBase)?;
        let no_such = |_| ServiceError::NO_ENTITY;
        let rules = rules_of(scope, name, "filter", &mut Check::body()).ok_or(()).map_err(no_such)?;
        let webfilters = enabled(scope, &rules).count();
        Ok(FilterInfo { rules, webfilters })
    }
}

/// The enabled webfilters of a filter, in the order in which they are combined.
fn enabled<'a>(scope: &'a AppScope, rules: &'a FilterRules) -> impl Iterator<Item = &'a Arc<Webfilter>> {
    scope.entry().webfilters.iter().filter(|w| w.settings.enabled && w.filter == rules.name)
}

fn milliseconds(ms: Option<i64>) -> Option<Duration> {
    ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis)
}

fn heard(said: Said) -> Heard {
    let failed = |reason: FailureReason| Heard::Failed { reason, status: None, detail: String::new() };
    match said {
        Said::Answer { status, body } => Heard::Answered { status, body: body.into() },
        Said::Silent => failed(FailureReason::ResponseTimeout),
        Said::Failed => failed(FailureReason::ConnectionRefused),
    }
}
