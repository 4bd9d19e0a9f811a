//! The queue's verbs, each in the file that says how.

use super::{Sqlite, failed};
use crate::{
    error::StoreError,
    queue::{Accept, Accepted, Claimed, Purge, Purged, Queue, Record, Step},
};
use async_trait::async_trait;
use domain::{
    AppKey, DeliveryRef, Endpoint, EndpointRef, IdRange, Ksuid, OrganizationId, PageOf, Task, TaskId, Timestamp,
};
use rusqlite::OptionalExtension as _;

#[async_trait]
impl Queue for Sqlite {
    async fn accept(&self, messages: Vec<Accept>) -> Result<Vec<Accepted>, StoreError> {
        self.writer.accept(messages).await
    }
    fn record(&self, record: Record) {
        self.writer.record(record);
    }
    async fn claim(
        &self,
        to: EndpointRef,
        now: Timestamp,
        limit: usize,
        max_bytes: usize,
        fresh_only: bool,
    ) -> Result<Claimed, StoreError> {
        self.claim_due(to, now, limit, max_bytes, fresh_only).await
    }
    async fn release(&self, deliveries: Vec<DeliveryRef>, now: Timestamp) -> Result<(), StoreError> {
        self.give_back(deliveries, now).await
    }
    async fn backlog(&self) -> Result<Vec<(EndpointRef, Timestamp)>, StoreError> {
        self.endpoints_with_backlog().await
    }
    async fn open_deliveries(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.count_open().await
    }
    async fn resend(&self, delivery: DeliveryRef, now: Timestamp) -> Result<bool, StoreError> {
        self.ask_again(delivery, now).await
    }
    async fn cancel_open(&self, to: EndpointRef, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.cancel(to, before, limit).await
    }
    async fn create_task(&self, task: Task) -> Result<(), StoreError> {
        self.insert_task(task).await
    }
    async fn task(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        id: TaskId,
    ) -> Result<Option<Task>, StoreError> {
        self.one_task(organization, app, id).await
    }
    async fn tasks(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        range: IdRange,
    ) -> Result<PageOf<Task>, StoreError> {
        self.page_of_tasks(organization, app, range).await
    }
    async fn running_tasks(&self) -> Result<Vec<Task>, StoreError> {
        self.unfinished_tasks().await
    }
    async fn step_task(
        &self,
        task: TaskId,
        endpoint: &Endpoint,
        limit: usize,
        now: Timestamp,
    ) -> Result<Step, StoreError> {
        self.step(task, endpoint, limit, now).await
    }
    async fn fail_task(&self, task: TaskId, now: Timestamp) -> Result<(), StoreError> {
        self.end_task(task, now).await
    }
    async fn purge(&self, purge: Purge) -> Result<Purged, StoreError> {
        self.purge_step(purge).await
    }
    async fn last_id(&self) -> Result<Option<Ksuid>, StoreError> {
        self.read(|conn| {
            // The newest of each kind that the generator made.
            let mut last: Option<Ksuid> = None;
            for sql in [
                "SELECT key, tail FROM message ORDER BY key DESC LIMIT 1",
                "SELECT key, tail FROM attempt ORDER BY key DESC LIMIT 1",
            ] {
                let found = conn
                    .query_row(sql, [], |r| Ok(Ksuid::from_parts(r.get(0)?, r.get(1)?)))
                    .optional()
                    .map_err(failed)?;
                last = last.max(found);
            }
            for sql in [
                "SELECT max(id) FROM app",
                "SELECT max(id) FROM endpoint",
                "SELECT max(id) FROM task",
                "SELECT max(id) FROM webfilter",
            ] {
                let found: Option<[u8; 20]> = conn.query_row(sql, [], |r| r.get(0)).map_err(failed)?;
                last = last.max(found.map(Ksuid));
            }
            Ok(last)
        })
        .await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|conn| conn.query_row("SELECT 1", [], |_| Ok(())).map_err(failed)).await
    }
}
