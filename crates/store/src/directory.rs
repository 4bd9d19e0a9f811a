//! What is asked at every event, kept in memory: applications with their endpoints, by key, id and uid; and the schemas
//! that payloads have to fit.
//!
//! Changes of these go through here, so that nobody can forget to forget. Bounded: entries that are seldom used leave.

use crate::{Store, error::StoreError, views::OrganizationOptions};
use domain::{
    AppKey, Application, ApplicationId, Endpoint, EndpointKey, EndpointRef, EventType, EventTypeName, IdOrUid,
    OrganizationId, Timestamp, Webfilter, WebfilterKey,
};
use quick_cache::{Weighter, sync::Cache};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Weight of all entries together: one for each application, each endpoint and each webfilter.
const CAPACITY: u64 = 60_000;

/// An application with all that is needed to match and send.
#[derive(Debug)]
pub struct AppEntry {
    /// The application.
    pub application: Application,
    /// Its endpoints that are not deleted, by key.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What its organization decided.
    pub organization: OrganizationOptions,
    /// Its webfilters, in the order in which they are combined.
    pub webfilters: Vec<Arc<Webfilter>>,
}

impl AppEntry {
    /// One of its endpoints.
    pub fn endpoint(&self, key: EndpointKey) -> Option<&Arc<Endpoint>> {
        self.endpoints.binary_search_by_key(&key, |e| e.key).ok().and_then(|i| self.endpoints.get(i))
    }
}

#[derive(Clone)]
struct ByEndpoints;
impl Weighter<AppKey, Arc<AppEntry>> for ByEndpoints {
    fn weight(&self, _: &AppKey, entry: &Arc<AppEntry>) -> u64 {
        1 + (entry.endpoints.len() + entry.webfilters.len()) as u64
    }
}

/// Bytes of schemas together, as JSON.
const SCHEMA_CAPACITY: u64 = 16 << 20;

/// The schema that payloads of an event type have to fit, as the organization wrote it.
#[derive(Clone, Debug)]
pub struct StoredSchema(Arc<(serde_json::Value, u64)>);

impl StoredSchema {
    fn of(event_type: EventType) -> Option<Self> {
        let schema = event_type.newest_schema()?.clone();
        let size = schema.to_string().len() as u64;
        Some(Self(Arc::new((schema, size))))
    }
    /// JSON Schema.
    pub fn schema(&self) -> &serde_json::Value {
        &self.0.0
    }
    /// Whether this is the very same one: not read anew since.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Clone)]
struct BySize;
impl Weighter<Box<str>, Option<StoredSchema>> for BySize {
    fn weight(&self, name: &Box<str>, schema: &Option<StoredSchema>) -> u64 {
        64 + name.len() as u64 + schema.as_ref().map_or(0, |s| s.0.1)
    }
}

/// The cache, and the door for changes of what it holds.
pub struct Directory {
    store: Arc<dyn Store>,
    entries: Cache<AppKey, Arc<AppEntry>, ByEndpoints>,
    names: Cache<Box<str>, AppKey>,
    /// By organization and event type; `None` for one without a schema.
    schemas: Cache<Box<str>, Option<StoredSchema>, BySize>,
    /// Grows with each change; what was read before a change is not kept after it.
    changes: AtomicU64,
}

impl Directory {
    /// Over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            entries: Cache::with_weighter(CAPACITY as usize / 2, CAPACITY, ByEndpoints),
            names: Cache::new(CAPACITY as usize),
            schemas: Cache::with_weighter(2_000, SCHEMA_CAPACITY, BySize),
            changes: AtomicU64::new(0),
        }
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// An application by its id or uid, as it stands in a path.
    pub async fn find(&self, organization: &OrganizationId, name: &str) -> Result<Option<Arc<AppEntry>>, StoreError> {
        let full = format!("{organization}/{name}");
        if let Some(key) = self.names.get(full.as_str())
            && let Some(entry) = self.entries.get(&key)
        {
            return Ok(Some(entry));
        }
        let seen = self.changes.load(Ordering::Acquire);
        let Some(application) = self.store.application(organization, &IdOrUid::<ApplicationId>::read(name)).await?
        else {
            return Ok(None);
        };
        let key = application.key;
        let entry = self.load(application, seen).await?;
        if self.changes.load(Ordering::Acquire) == seen {
            self.names.insert(full.into(), key);
        }
        Ok(Some(entry))
    }

    /// An application by the short key.
    pub async fn by_key(&self, key: AppKey) -> Result<Option<Arc<AppEntry>>, StoreError> {
        if let Some(entry) = self.entries.get(&key) {
            return Ok(Some(entry));
        }
        let seen = self.changes.load(Ordering::Acquire);
        match self.store.application_by_key(key).await? {
            Some(application) => self.load(application, seen).await.map(Some),
            None => Ok(None),
        }
    }

    /// An application, if it is in memory.
    pub fn cached(&self, key: AppKey) -> Option<Arc<AppEntry>> {
        self.entries.get(&key)
    }

    async fn load(&self, application: Application, seen: u64) -> Result<Arc<AppEntry>, StoreError> {
        let key = application.key;
        let organization = self.store.organization_options(&application.organization).await?;
        let mut endpoints: Vec<_> = self.store.endpoints_of(key).await?.into_iter().map(Arc::new).collect();
        endpoints.sort_by_key(|e| e.key);
        let mut webfilters: Vec<_> = self.store.webfilters_of(key).await?.into_iter().map(Arc::new).collect();
        webfilters.sort_by_key(|w| w.place());
        let entry = Arc::new(AppEntry { application, endpoints, organization, webfilters });
        if self.changes.load(Ordering::Acquire) == seen {
            self.entries.insert(key, entry.clone());
            // A change between the check and the insert would leave a stale entry for ever.
            if self.changes.load(Ordering::Acquire) != seen {
                self.entries.remove(&key);
            }
        }
        Ok(entry)
    }

    /// Forgets an application: something of it changed.
    pub fn forget(&self, key: AppKey) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.entries.remove(&key);
    }

    /// Forgets an application that changed on another node, and its names: they may belong to another one now.
    pub fn changed_elsewhere(&self, key: AppKey) {
        self.forget(key);
        self.names.clear();
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.entries.clear();
        self.names.clear();
        self.schemas.clear();
    }

    /// The newest schema of an organization's event type, if it has one.
    pub async fn schema(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<Option<StoredSchema>, StoreError> {
        let full = format!("{organization}/{name}");
        if let Some(found) = self.schemas.get(full.as_str()) {
            return Ok(found);
        }
        let seen = self.changes.load(Ordering::Acquire);
        let schema = self.store.event_type(organization, name).await?.and_then(StoredSchema::of);
        if self.changes.load(Ordering::Acquire) == seen {
            self.schemas.insert(full.as_str().into(), schema.clone());
            // As for applications: a change meanwhile would leave a stale one for ever.
            if self.changes.load(Ordering::Acquire) != seen {
                self.schemas.remove(full.as_str());
            }
        }
        Ok(schema)
    }

    /// Forgets the schemas of event types: some changed, here or on another node.
    pub fn forget_schemas(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.schemas.clear();
    }

    /// [`crate::Config::put_event_type`].
    pub async fn put_event_type(
        &self,
        organization: &OrganizationId,
        event_type: EventType,
        only_new: bool,
    ) -> Result<bool, StoreError> {
        let put = self.store.put_event_type(organization, event_type, only_new).await;
        self.forget_schemas();
        put
    }

    /// [`crate::Config::remove_event_type`].
    pub async fn remove_event_type(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<bool, StoreError> {
        let removed = self.store.remove_event_type(organization, name).await;
        self.forget_schemas();
        removed
    }

    /// [`crate::Config::save_application`].
    pub async fn save_application(&self, changed: Application) -> Result<Application, StoreError> {
        let key = changed.key;
        let saved = self.store.save_application(changed).await;
        self.forget(key);
        // Its old uid may name another application tomorrow.
        self.names.clear();
        saved
    }

    /// [`crate::Config::delete_application`].
    pub async fn delete_application(&self, key: AppKey, now: Timestamp) -> Result<(), StoreError> {
        let deleted = self.store.delete_application(key, now).await;
        self.forget(key);
        self.names.clear();
        deleted
    }

    /// [`crate::Config::create_endpoint`].
    pub async fn create_endpoint(&self, new: Endpoint) -> Result<Endpoint, StoreError> {
        let app = new.app;
        let created = self.store.create_endpoint(new).await;
        self.forget(app);
        created
    }

    /// [`crate::Config::save_endpoint`].
    pub async fn save_endpoint(&self, changed: Endpoint) -> Result<Endpoint, StoreError> {
        let app = changed.app;
        let saved = self.store.save_endpoint(changed).await;
        self.forget(app);
        saved
    }

    /// [`crate::Config::delete_endpoint`].
    pub async fn delete_endpoint(&self, to: EndpointRef, now: Timestamp) -> Result<(), StoreError> {
        let deleted = self.store.delete_endpoint(to.app, to.endpoint, now).await;
        self.forget(to.app);
        deleted
    }

    /// [`crate::Webfilters::create_webfilter`].
    pub async fn create_webfilter(&self, new: Webfilter) -> Result<Webfilter, StoreError> {
        let app = new.app;
        let created = self.store.create_webfilter(new).await;
        self.forget(app);
        created
    }

    /// [`crate::Webfilters::save_webfilter`].
    pub async fn save_webfilter(&self, changed: Webfilter) -> Result<Webfilter, StoreError> {
        let app = changed.app;
        let saved = self.store.save_webfilter(changed).await;
        self.forget(app);
        saved
    }

    /// [`crate::Webfilters::delete_webfilter`].
    pub async fn delete_webfilter(&self, app: AppKey, key: WebfilterKey) -> Result<(), StoreError> {
        let deleted = self.store.delete_webfilter(app, key).await;
        self.forget(app);
        deleted
    }

    /// [`crate::Config::save_organization_options`].
    pub async fn save_organization_options(
        &self,
        organization: &OrganizationId,
        options: &OrganizationOptions,
    ) -> Result<(), StoreError> {
        let saved = self.store.save_organization_options(organization, options).await;
        self.forget_all();
        saved
    }
}
