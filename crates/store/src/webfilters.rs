//! Webfilters and the log of their runs, as the other rooms see them.

use crate::error::StoreError;
use async_trait::async_trait;
use domain::{
    AppKey, FilterName, IdOrUid, Ksuid, PageOf, PageQuery, Timestamp, Webfilter, WebfilterId, WebfilterKey,
    WebfilterRunId,
    webfilter::{Outcome, Run},
};

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this filter.
    pub filter: Option<FilterName>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
}

/// Webfilters, and what was asked. Everything is found only below the application that is named, and nothing below one
/// that is deleted.
#[async_trait]
pub trait Webfilters: Send + Sync {
    /// Stores a new webfilter; the result has its key. [`StoreError::UidTaken`] if another one has its uid.
    async fn create_webfilter(&self, new: Webfilter) -> Result<Webfilter, StoreError>;
    /// By id or uid.
    async fn webfilter(&self, app: AppKey, which: &IdOrUid<WebfilterId>) -> Result<Option<Webfilter>, StoreError>;
    /// All of an application, by id.
    async fn webfilters_of(&self, app: AppKey) -> Result<Vec<Webfilter>, StoreError>;
    /// Replaces a webfilter. [`StoreError::Changed`] if somebody else changed it since it was read.
    async fn save_webfilter(&self, changed: Webfilter) -> Result<Webfilter, StoreError>;
    /// Deletes one; its runs stay readable, its uid is free.
    async fn delete_webfilter(&self, app: AppKey, key: WebfilterKey) -> Result<(), StoreError>;

    /// Adds runs to the log, all in one commit. One that is there already stays as it is.
    async fn log_runs(&self, runs: Vec<Run>) -> Result<(), StoreError>;
    /// A page of the log, by id.
    async fn runs(&self, app: AppKey, filter: &RunFilter, page: PageQuery<Ksuid>) -> Result<PageOf<Run>, StoreError>;
    /// One run.
    async fn run(&self, app: AppKey, id: WebfilterRunId) -> Result<Option<Run>, StoreError>;
    /// Removes up to `limit` runs that began before `before`, and of each application of `apps` up to `limit` beyond its
    /// latest `keep`. Says how many.
    async fn purge_runs(
        &self,
        before: Timestamp,
        apps: Vec<AppKey>,
        keep: usize,
        limit: usize,
    ) -> Result<usize, StoreError>;
}
