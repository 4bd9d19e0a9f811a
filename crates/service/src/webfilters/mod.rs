//! Webfilters: keeping them, asking them, trying them out, and reading what was asked.

mod asking;
mod change;

pub use asking::{FilterInfo, GivenAnswer, Said, TryInput};
pub use change::{WebfilterChange, WebfilterInput};

use crate::{
    Service,
    access::AppScope,
    actor::{Capability, Permission},
    applications::CHANGE_TRIES,
    check::Check,
    error::{Problem, ServiceError},
    patch::Saved,
};
use domain::{
    Action, Cursor, IdOrUid, Ksuid, Order, PageOf, PageQuery, Secrets, Webfilter, WebfilterId, WebfilterKey,
    WebfilterRunId, WebfilterSettings,
    webfilter::{FilterRules, Run},
};
use std::sync::Arc;
use store::{RunFilter, StoreError};

/// Webfilters of one application at most: each of them may be asked while a person waits.
const WEBFILTERS_MAX: usize = 500;

fn uid_taken() -> ServiceError {
    ServiceError::Conflict("A webfilter with that id or uid already exists".to_owned())
}

/// The platform of the application, by name.
fn platform(scope: &AppScope) -> Option<&str> {
    scope.application().options.platform.as_deref()
}

/// The rules of a filter that somebody named in `field`.
fn rules_of(scope: &AppScope, name: &str, field: &'static str, check: &mut Check) -> Option<Arc<FilterRules>> {
    let name = match domain::FilterName::new(name) {
        Ok(name) => name,
        Err(e) => {
            check.fail(&[field], e.to_string());
            return None;
        }
    };
    let rules = platforms::webfilter::rules(platform(scope), &name);
    if rules.is_none() {
        let msg =
            format!("there is no filter {name} in the catalogue; a filter of your own has a full stop in its name");
        check.fail(&[field], msg);
    }
    rules
}

impl Service {
    /// A page of an application's webfilters, by age; of one filter if asked for.
    pub async fn webfilters(
        &self,
        scope: &AppScope,
        filter: Option<&str>,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Webfilter>, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ViewBase)?;
        let mut check = Check::at(&["query"]);
        let rules = filter.and_then(|name| rules_of(scope, name, "filter", &mut check));
        check.finish()?;
        let mut all = self.store.webfilters_of(scope.key()).await?;
        if let Some(rules) = rules {
            all.retain(|w| w.filter == rules.name);
        }
        all.iter_mut().for_each(|w| scope.hide_credentials(&mut w.url));
        Ok(cut(all, &page))
    }

    /// A webfilter by id or uid.
    pub async fn webfilter(&self, scope: &AppScope, which: &str) -> Result<Webfilter, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let mut webfilter = self.find_webfilter(scope, which).await?;
        scope.hide_credentials(&mut webfilter.url);
        Ok(webfilter)
    }

    async fn find_webfilter(&self, scope: &AppScope, which: &str) -> Result<Webfilter, ServiceError> {
        scope.must_see_whole()?;
        let which = IdOrUid::<WebfilterId>::read(which);
        self.store.webfilter(scope.key(), &which).await?.ok_or(ServiceError::NO_ENTITY)
    }

    /// Creates a webfilter, with a new secret if none is given.
    pub async fn create_webfilter(&self, scope: &AppScope, input: WebfilterInput) -> Result<Webfilter, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ManageEndpoint)?;
        let mut check = Check::body();
        let secret = input.secret.as_deref().and_then(|text| self.read_secret(text, "secret", &mut check));
        for (field, is_missing) in [("filter", input.change.filter.is_none()), ("url", input.change.url.is_none())] {
            if is_missing {
                check.fail(&[field], "field required");
            }
        }
        let checked = self.check_webfilter(scope, input.change, &mut check);
        check.finish()?;
        let has = self.store.webfilters_of(scope.key()).await?.len();
        if has >= WEBFILTERS_MAX {
            return Err(ServiceError::LimitReached(format!("An application has at most {WEBFILTERS_MAX} webfilters")));
        }
        let secret = secret.unwrap_or_else(|| self.secrets.generate(self.settings.signature));
        let (id, now) = self.next_id();
        let mut new = Webfilter {
            key: WebfilterKey(0),
            app: scope.key(),
            id: WebfilterId(id),
            uid: None,
            // Both are there, as was checked.
            filter: checked.rules.as_ref().map(|rules| rules.name.clone()).ok_or(ServiceError::Internal)?,
            url: String::new(),
            secrets: Secrets::new(secret),
            settings: WebfilterSettings::default(),
            created_at: now,
            updated_at: now,
            revision: 0,
        };
        checked.apply(scope, &mut new)?;
        let created = self.directory.create_webfilter(new).await.map_err(|e| match e {
            StoreError::UidTaken => uid_taken(),
            e => e.into(),
        })?;
        self.note_in(scope, Action::WebfilterCreated, created.id, created.filter.as_str()).await;
        Ok(created)
    }

    /// Replaces a webfilter but for its secret, or creates one if there is none under this id or uid.
    pub async fn put_webfilter(
        &self,
        scope: &AppScope,
        which: &str,
        mut input: WebfilterInput,
    ) -> Result<Saved<Webfilter>, ServiceError> {
        match self.find_webfilter(scope, which).await {
            Ok(_) => {
                let mut check = Check::body();
                for (field, is_missing) in
                    [("filter", input.change.filter.is_none()), ("url", input.change.url.is_none())]
                {
                    if is_missing {
                        check.fail(&[field], "field required");
                    }
                }
                check.finish()?;
                Ok(Saved::Existing(self.patch_webfilter(scope, which, input.change.over_defaults()).await?))
            }
            Err(ServiceError::NotFound(_)) => {
                // The name in the path is the one it is found by next time.
                if input.change.uid.value().is_none() && which.parse::<WebfilterId>().is_err() {
                    input.change.uid = crate::Patch::Set(which.to_owned());
                }
                self.create_webfilter(scope, input).await.map(Saved::Created)
            }
            Err(e) => Err(e),
        }
    }

    /// Changes a webfilter.
    pub async fn patch_webfilter(
        &self,
        scope: &AppScope,
        which: &str,
        change: WebfilterChange,
    ) -> Result<Webfilter, ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        let mut check = Check::body();
        let checked = self.check_webfilter(scope, change, &mut check);
        check.finish()?;
        let saved = self.change_webfilter(scope, which, |webfilter| checked.apply(scope, webfilter)).await?;
        self.note_in(scope, Action::WebfilterUpdated, saved.id, saved.filter.as_str()).await;
        Ok(saved)
    }

    async fn change_webfilter(
        &self,
        scope: &AppScope,
        which: &str,
        change: impl Fn(&mut Webfilter) -> Result<(), ServiceError>,
    ) -> Result<Webfilter, ServiceError> {
        let _turn = self.turns.of(scope.key()).await;
        for _ in 0..CHANGE_TRIES {
            let mut webfilter = self.find_webfilter(scope, which).await?;
            change(&mut webfilter)?;
            webfilter.updated_at = self.now();
            match self.directory.save_webfilter(webfilter).await {
                Err(StoreError::Changed) => {}
                Err(StoreError::UidTaken) => return Err(uid_taken()),
                Err(e) => return Err(e.into()),
                Ok(saved) => return Ok(saved),
            }
        }
        Err(ServiceError::TooBusy)
    }

    /// Removes a webfilter. Its runs stay in the log.
    pub async fn delete_webfilter(&self, scope: &AppScope, which: &str) -> Result<(), ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        let webfilter = self.find_webfilter(scope, which).await?;
        self.directory.delete_webfilter(scope.key(), webfilter.key).await?;
        self.note_in(scope, Action::WebfilterDeleted, webfilter.id, webfilter.filter.as_str()).await;
        Ok(())
    }

    /// What a receiver needs to verify.
    pub async fn webfilter_secret(&self, scope: &AppScope, which: &str) -> Result<String, ServiceError> {
        scope.must_have(Capability::ViewEndpointSecret)?;
        let webfilter = self.find_webfilter(scope, which).await?;
        self.note_in(scope, Action::SecretRevealed, webfilter.id, "of a webfilter").await;
        Ok(webfilter.secrets.current.for_receiver())
    }

    /// Replaces the secret, as for endpoints. Gives back what a receiver needs now, if the actor may see it.
    pub async fn rotate_webfilter_secret(
        &self,
        scope: &AppScope,
        which: &str,
        key: Option<&str>,
        grace_seconds: Option<i64>,
    ) -> Result<Option<String>, ServiceError> {
        scope.must_have(Capability::ManageEndpointSecret)?;
        let rotation = self.rotation(key, grace_seconds)?;
        let saved = self.change_webfilter(scope, which, |w| rotation.apply(&mut w.secrets)).await?;
        self.note_in(scope, Action::SecretRotated, saved.id, "of a webfilter").await;
        let may_see = scope.must_have(Capability::ViewEndpointSecret).is_ok();
        Ok(may_see.then(|| saved.secrets.current.for_receiver()))
    }

    /// A page of the log.
    pub async fn webfilter_runs(
        &self,
        scope: &AppScope,
        filter: Option<&str>,
        outcome: Option<&str>,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Run>, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ViewBase)?;
        let mut check = Check::at(&["query"]);
        let rules = filter.and_then(|name| rules_of(scope, name, "filter", &mut check));
        let outcome = outcome.and_then(|word| word.parse().map_err(|e| refuse(&mut check, "outcome", e)).ok());
        check.finish()?;
        let filter = RunFilter { filter: rules.map(|rules| rules.name.clone()), outcome };
        let mut runs = self.store.runs(scope.key(), &filter, page).await?;
        if !scope.shows_payloads(true) {
            // Both are what a receiver answered.
            for report in runs.items.iter_mut().map(|run| &mut run.report) {
                report.data.clear();
                report.exception.iter_mut().for_each(|raised| raised.arguments.clear());
            }
        }
        Ok(runs)
    }

    /// One run.
    pub async fn webfilter_run(&self, scope: &AppScope, id: &str) -> Result<Run, ServiceError> {
        scope.must_see_whole()?;
        scope.must_have(Capability::ViewBase)?;
        let id: WebfilterRunId = id.parse().map_err(|_| ServiceError::NO_ENTITY)?;
        // It holds what was asked and answered.
        scope.must(Permission::SeePayloads)?;
        let run = self.store.run(scope.key(), id).await?.ok_or(ServiceError::NO_ENTITY)?;
        self.note_look(scope, run.id, "a run of webfilters").await;
        Ok(run)
    }
}

fn refuse(check: &mut Check, field: &'static str, e: domain::webfilter::UnknownChoice) {
    check.fail(&[field], e.to_string());
}

/// A page of a list that is whole in memory, by id.
fn cut(mut all: Vec<Webfilter>, page: &PageQuery<Ksuid>) -> PageOf<Webfilter> {
    all.sort_by_key(|w| w.id);
    if page.order == Order::Descending {
        all.reverse();
    }
    let is_after = |id: Ksuid, at: Ksuid| if page.order == Order::Ascending { id > at } else { id < at };
    let mut items = match &page.cursor {
        None => all,
        Some(Cursor::After(at)) => all.into_iter().filter(|w| is_after(w.id.0, *at)).collect(),
        Some(Cursor::Before(at)) => {
            let mut before: Vec<_> = all.into_iter().filter(|w| w.id.0 != *at && !is_after(w.id.0, *at)).collect();
            let over = before.len().saturating_sub(page.limit);
            before.drain(..over);
            return PageOf { items: before, more: over > 0 };
        }
    };
    let more = items.len() > page.limit;
    items.truncate(page.limit);
    PageOf { items, more }
}

/// A rule that is broken in the body.
fn problem(field: &'static str, msg: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(&["body", field], msg)
}
