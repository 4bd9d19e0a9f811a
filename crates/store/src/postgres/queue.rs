//! The queue's verbs, each in the file that says how.

use super::{Postgres, claim, rows};
use crate::{
    error::StoreError,
    queue::{Accept, Accepted, Claimed, Purge, Purged, Queue, Record, Step},
};
use async_trait::async_trait;
use domain::{
    AppKey, DeliveryRef, Endpoint, EndpointRef, IdRange, Ksuid, OrganizationId, PageOf, Task, TaskId, Timestamp,
};

/// The newest of each kind that a generator made: key and tail, or the whole id.
const LAST_KEYED: [&str; 2] = [
    "SELECT key, tail FROM message m ORDER BY key DESC LIMIT 1",
    "SELECT key, tail FROM attempt a ORDER BY key DESC LIMIT 1",
];
const LAST_IDS: &str = "SELECT (SELECT id FROM app ORDER BY id DESC LIMIT 1),
    (SELECT id FROM endpoint ORDER BY id DESC LIMIT 1), (SELECT id FROM task ORDER BY id DESC LIMIT 1),
    (SELECT id FROM webfilter ORDER BY id DESC LIMIT 1)";

#[async_trait]
impl Queue for Postgres {
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
        claim::endpoints_with_backlog(&self.pool).await
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
        let mut last: Option<Ksuid> = None;
        for sql in LAST_KEYED {
            let found = self.pool.read_first(sql, &[]).await?;
            last = last.max(found.map(|row| rows::keyed_ksuid(&row, 0, 1, "message")).transpose()?);
        }
        if let Some(row) = self.pool.read_first(LAST_IDS, &[]).await? {
            for column in 0..4 {
                if rows::col::<Option<&[u8]>>(&row, column)?.is_some() {
                    last = last.max(Some(rows::ksuid(&row, column, "app")?));
                }
            }
        }
        Ok(last)
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.pool.read("SELECT 1", &[]).await.map(|_| ())
    }
    fn holds_leases(&self) -> bool {
        self.node.is_sure()
    }
    fn id_slot(&self) -> Option<u8> {
        Some(self.node.slot)
    }
    fn nodes(&self) -> u16 {
        self.node.company()
    }
    async fn leave(&self) -> Result<(), StoreError> {
        self.writer.flush().await?;
        self.life.abort();
        self.node.leave(&self.pool).await
    }
}
