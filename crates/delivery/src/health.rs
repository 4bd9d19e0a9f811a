//! An endpoint's health: since when it fails, and when it is switched off for it.

use crate::{engine::Shared, lane::TryResult, report::Happened};
use domain::{DisabledBecause, Endpoint, EndpointRef, GivenUpCount, Timestamp, retry::Verdict};
use std::sync::Arc;
use store::{AppEntry, Directory, StoreError};

impl Shared {
    /// Keeps the endpoint's failure clock: started by the first failure after a success, stopped by a success; when a
    /// delivery is given up and the clock has run long enough, or the receiver is gone, the endpoint is switched off.
    pub(crate) fn note_health(
        self: &Arc<Self>,
        entry: &Arc<AppEntry>,
        endpoint: &Arc<Endpoint>,
        verdict: &Verdict,
        result: TryResult,
        now: Timestamp,
    ) {
        let change = match verdict {
            Verdict::Delivered if endpoint.failing_since.is_some() => Change::Healthy,
            Verdict::Delivered => return,
            Verdict::Gone => Change::Disable(DisabledBecause::Gone, None),
            Verdict::Failed | Verdict::RetryAt(_) => match endpoint.failing_since {
                Some(since) if *verdict == Verdict::Failed && now.since(since) >= self.parts.settings.disable_after => {
                    Change::Disable(DisabledBecause::Failing, None)
                }
                Some(_) => return,
                None if result == TryResult::Unwelcome => return,
                None => Change::Failing,
            },
        };
        let to = EndpointRef { app: endpoint.app, endpoint: endpoint.key };
        if matches!(change, Change::Failing) {
            // Many deliveries fail at the same time; one of them writes it down.
            let mut locked = self.lane(to);
            if std::mem::replace(&mut locked.get().failing_noted, true) {
                return;
            }
        }
        self.change_health(entry, to, change, now);
    }

    /// So many messages were given up for an endpoint within a day: switches it off where it asks for that. If this does
    /// not come about (the process stops here, the store fails), the next message that is given up asks again.
    pub(crate) async fn note_given_up(self: Arc<Self>, to: EndpointRef, count: GivenUpCount) {
        let entry = match self.parts.directory.by_key(to.app).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "failed to read an endpoint's limit of messages given up"),
        };
        let endpoint = entry.endpoint(to.endpoint).filter(|e| e.disabled.is_none());
        let limit = endpoint.and_then(|e| e.options.deactivate_after);
        if limit.is_some_and(|limit| limit.is_reached_by(count)) {
            let now = self.now();
            self.change_health(&entry, to, Change::Disable(DisabledBecause::Failing, Some(count)), now);
        }
    }

    fn change_health(self: &Arc<Self>, entry: &Arc<AppEntry>, to: EndpointRef, change: Change, now: Timestamp) {
        let shared = self.clone();
        let app = entry.clone();
        tokio::spawn(async move {
            match write_health(&shared.parts.directory, to, change, now).await {
                Ok(Some(endpoint)) => {
                    let fail_since = endpoint.failing_since.unwrap_or(now);
                    let given_up = match change {
                        Change::Disable(_, given_up) => given_up,
                        Change::Healthy | Change::Failing => None,
                    };
                    tracing::warn!(
                        endpoint = %endpoint.id, reason = ?endpoint.disabled, ?given_up, "switched an endpoint off"
                    );
                    let endpoint = Arc::new(endpoint);
                    shared.parts.reporter.report(Happened::EndpointDisabled { app, endpoint, fail_since, given_up });
                    shared.look_at(to).await;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "failed to write down an endpoint's health"),
            }
        });
    }
}

/// How an endpoint's health changed.
#[derive(Clone, Copy)]
enum Change {
    Healthy,
    Failing,
    /// Off; with how many messages were given up in a day, if that is why.
    Disable(DisabledBecause, Option<GivenUpCount>),
}

/// Writes a change of health, again if somebody else changed the endpoint meanwhile. Answers the endpoint if this
/// switched it off.
async fn write_health(
    directory: &Directory,
    to: EndpointRef,
    change: Change,
    now: Timestamp,
) -> Result<Option<Endpoint>, StoreError> {
    for _ in 0..5 {
        let endpoints = directory.store().endpoints_of(to.app).await?;
        let Some(mut endpoint) = endpoints.into_iter().find(|e| e.key == to.endpoint) else { return Ok(None) };
        match change {
            Change::Healthy if endpoint.failing_since.is_some() => endpoint.failing_since = None,
            Change::Failing if endpoint.failing_since.is_none() => endpoint.failing_since = Some(now),
            Change::Disable(because, _) if endpoint.disabled.is_none() => {
                endpoint.disabled = Some(because);
                endpoint.failing_since.get_or_insert(now);
            }
            _ => return Ok(None),
        }
        let disabled = matches!(change, Change::Disable(..));
        match directory.save_endpoint(endpoint.clone()).await {
            Ok(saved) => return Ok(disabled.then_some(saved)),
            Err(StoreError::Changed) => {}
            Err(StoreError::NotFound) => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}
