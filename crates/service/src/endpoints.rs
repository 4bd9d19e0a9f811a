//! Endpoints.

use crate::{
    Service,
    access::AppScope,
    actor::Capability,
    applications::CHANGE_TRIES,
    audit::place,
    check::Check,
    error::{Problem, ServiceError},
    extras, headers,
    operational::{EndpointNames, OperationalEvent},
    patch::{Patch, Saved},
    platform, queues,
    queues::QueueInput,
    seams::Handshake,
    secrets, student_data,
};
use domain::{
    Action, AppKey, Channel, DeactivateAfter, DisabledBecause, Encoding, Endpoint, EndpointId, EndpointKey,
    EndpointOptions, EventTypeName, Format, Header, Ksuid, PageOf, PageQuery, RetrySchedule, Secret, Secrets,
    Timestamp, Uid, lti::Subscription, queue::is_arn,
};
use platforms::Expression;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::StoreError;
use url::Url;

/// Bytes of an address at most.
const URL_MAX: usize = 65_536;
/// The ways in which an address can be asked.
const HANDSHAKES: [&str; 2] = ["hook-secret", "cloudevents"];
/// How much longer a window may be, because clocks differ and requests take time.
pub(crate) const SLACK: Duration = Duration::from_secs(300);

/// A whole endpoint, as it is created or put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointInput {
    /// The address.
    pub url: String,
    /// For people.
    pub description: String,
    /// The user's own name for it.
    pub uid: Option<String>,
    /// Switched off.
    pub disabled: bool,
    /// Takes only these event types.
    pub event_types: Option<Vec<String>>,
    /// Takes only messages with one of these channels.
    pub channels: Option<Vec<String>>,
    /// Deliveries per second.
    pub throttle_rate: Option<u16>,
    /// Signs; made if absent. A put does not look at it.
    pub secret: Option<String>,
    /// The user's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Only echoed.
    pub version: u16,
    /// Headers that the user adds. Left out, they stay as they are.
    pub headers: Option<BTreeMap<String, String>>,
    /// What Schoolbell adds.
    pub extras: EndpointExtras,
}

/// What Schoolbell adds to Svix's endpoint. Left out, it stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointExtras {
    /// Waits between tries.
    pub retry_schedule: Patch<RetrySchedule>,
    /// Answers after which no try follows.
    pub final_statuses: Patch<BTreeSet<u16>>,
    /// Requests at the same time.
    pub concurrency: Patch<u16>,
    /// Whether messages of one order key are sent one after the other.
    pub ordered: Patch<bool>,
    /// How the payload is put on the wire.
    pub format: Patch<String>,
    /// In which encoding the body travels.
    pub encoding: Patch<String>,
    /// A jq expression: whether a message is sent at all.
    pub filter: Patch<String>,
    /// A jq expression: makes the payload anew.
    pub transform: Patch<String>,
    /// Whether the signature headers are sent.
    pub signature_headers: Patch<bool>,
    /// Whether only `https` addresses are taken.
    pub https_only: Patch<bool>,
    /// Whether nothing is sent, instead of everything, while no event type is selected.
    pub only_selected: Patch<bool>,
    /// How the address is asked before the endpoint is saved; not stored.
    pub handshake: Patch<String>,
    /// How what it gets travels: `https` or `sqs`.
    pub transport: Patch<String>,
    /// Its queue, beside the address.
    pub queue: Patch<QueueInput>,
    /// What makes it a subscription of a tool. No door but the tools' own sets it.
    pub subscription: Patch<Subscription>,
    /// A named choice of waits, final answers and limits; not stored as such.
    pub retry_preset: Patch<String>,
    /// Switched off after so many messages given up in a day.
    pub deactivate_after: Patch<DeactivateAfter>,
    /// What is sent names this as the subscription that asked for it.
    pub subscription_id: Patch<String>,
    /// What the body is signed as: `jwt`.
    pub body_signing: Patch<String>,
    /// Somebody agrees that the address gets data about people: a name, or nothing.
    pub student_data: Patch<String>,
}

/// A change of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointChange {
    /// The address.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The user's own name for it.
    pub uid: Patch<String>,
    /// Switched off.
    pub disabled: Option<bool>,
    /// Takes only these event types.
    pub event_types: Patch<Vec<String>>,
    /// Takes only messages with one of these channels.
    pub channels: Patch<Vec<String>>,
    /// Deliveries per second.
    pub throttle_rate: Patch<u16>,
    /// The user's own notes.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Only echoed.
    pub version: Option<u16>,
    /// Headers that the user adds.
    pub headers: Option<BTreeMap<String, String>>,
    /// What Schoolbell adds.
    pub extras: EndpointExtras,
}

impl From<EndpointInput> for EndpointChange {
    fn from(i: EndpointInput) -> Self {
        Self {
            url: Some(i.url),
            description: Some(i.description),
            uid: Patch::replace(i.uid),
            disabled: Some(i.disabled),
            event_types: Patch::replace(i.event_types),
            channels: Patch::replace(i.channels),
            throttle_rate: Patch::replace(i.throttle_rate),
            metadata: Some(i.metadata),
            version: Some(i.version),
            headers: i.headers,
            extras: i.extras,
        }
    }
}

/// A change whose rules were checked.
#[derive(Clone)]
struct Checked {
    url: Option<String>,
    description: Option<String>,
    uid: Patch<Uid>,
    disabled: Option<bool>,
    event_types: Patch<BTreeSet<EventTypeName>>,
    channels: Patch<BTreeSet<Channel>>,
    throttle_rate: Patch<u16>,
    metadata: Option<BTreeMap<String, String>>,
    version: Option<u16>,
    headers: Option<Vec<Header>>,
    extras: EndpointExtras,
}

impl Checked {
    fn apply(self, endpoint: &mut Endpoint) {
        if let Some(url) = self.url {
            endpoint.url = url;
        }
        if let Some(description) = self.description {
            endpoint.description = description;
        }
        self.uid.apply(&mut endpoint.uid);
        match self.disabled {
            // Switched off already, perhaps by us: the first reason stays.
            Some(true) => endpoint.disabled = endpoint.disabled.or(Some(DisabledBecause::Asked)),
            // Whoever switches it on again has repaired it: failures before do not count any more.
            Some(false) if endpoint.disabled.is_some() => {
                endpoint.disabled = None;
                endpoint.failing_since = None;
            }
            _ => {}
        }
        self.event_types.apply(&mut endpoint.event_types);
        self.channels.apply(&mut endpoint.channels);
        self.throttle_rate.apply(&mut endpoint.throttle_rate);
        if let Some(metadata) = self.metadata {
            endpoint.metadata = metadata;
        }
        endpoint.version = self.version.unwrap_or(endpoint.version);
        if let Some(headers) = self.headers {
            endpoint.headers = headers;
        }
        queues::apply(&self.extras, endpoint);
        self.extras.apply(&mut endpoint.options);
    }
}

impl EndpointExtras {
    pub(crate) fn check(&self, check: &mut Check) {
        check.range("concurrency", self.concurrency.value().map(|n| i64::from(*n)), 1..=256);
        if let Some(statuses) = self.final_statuses.value()
            && (statuses.len() > 100 || statuses.iter().any(|s| !(300..=599).contains(s)))
        {
            check.fail(&["finalStatuses"], "must be HTTP statuses between 300 and 599");
        }
        if let Some(Err(e)) = self.format.value().map(|name| name.parse::<Format>()) {
            check.fail(&["format"], e.to_string());
        }
        if let Some(Err(e)) = self.encoding.value().map(|name| name.parse::<Encoding>()) {
            check.fail(&["encoding"], e.to_string());
        }
        if self.handshake.value().is_some_and(|how| !HANDSHAKES.contains(&how.as_str())) {
            check.fail(&["handshake"], format!("must be one of {}", HANDSHAKES.join(", ")));
        }
        queues::check(self, check);
        extras::check(self, check);
        if self.student_data.value().is_some_and(|name| name.chars().count() > student_data::NAME_MAX) {
            check.fail(&["studentDataConfirmedBy"], format!("must be at most {} characters", student_data::NAME_MAX));
        }
        for (field, expression) in [("filter", &self.filter), ("transform", &self.transform)] {
            if let Some(Err(e)) = expression.value().map(|source| Expression::compile(source)) {
                check.fail(&[field], e.to_string());
            }
        }
    }
    /// Expressions decide what leaves the application: that is a permission of its own.
    fn needs(&self) -> Option<Capability> {
        let is_kept = self.filter == Patch::Keep && self.transform == Patch::Keep;
        (!is_kept).then_some(Capability::ManageTransformations)
    }
    pub(crate) fn apply(self, options: &mut EndpointOptions) {
        extras::apply_preset(&self, options);
        extras::apply(self.clone(), options);
        self.retry_schedule.apply(&mut options.retry_schedule);
        let mut statuses = Some(std::mem::take(&mut options.final_statuses));
        self.final_statuses.apply(&mut statuses);
        options.final_statuses = statuses.unwrap_or_default();
        self.concurrency.apply(&mut options.concurrency);
        let mut ordered = Some(options.ordered);
        self.ordered.apply(&mut ordered);
        options.ordered = ordered.unwrap_or_default();
        match self.format {
            Patch::Keep => {}
            Patch::Clear => options.format = Format::Standard,
            // Checked before.
            Patch::Set(name) => options.format = name.parse().unwrap_or_default(),
        }
        match self.encoding {
            Patch::Keep => {}
            Patch::Clear => options.encoding = Encoding::Json,
            // Checked before.
            Patch::Set(name) => options.encoding = name.parse().unwrap_or_default(),
        }
        self.filter.apply(&mut options.filter);
        self.transform.apply(&mut options.transform);
        let mut signed = Some(!options.unsigned);
        self.signature_headers.apply(&mut signed);
        options.unsigned = !signed.unwrap_or(true);
        let mut https_only = Some(options.https_only);
        self.https_only.apply(&mut https_only);
        options.https_only = https_only.unwrap_or_default();
        let mut only_selected = Some(options.only_selected);
        self.only_selected.apply(&mut only_selected);
        options.only_selected = only_selected.unwrap_or_default();
        if let Some(subscription) = self.subscription.value() {
            // Formats that have a place for it name it in what is sent.
            options.subscription_id = Uid::new(subscription.id.as_str()).ok();
        }
        self.subscription.apply(&mut options.subscription);
    }
}

fn uid_taken() -> ServiceError {
    ServiceError::Conflict("An endpoint with that id or uid already exists".to_owned())
}

impl Service {
    fn check_endpoint(&self, scope: &AppScope, change: EndpointChange, check: &mut Check) -> Checked {
        let c = change;
        if let Some(description) = &c.description {
            check.text("description", description);
        }
        check.throttle_rate(c.throttle_rate.value().copied());
        if let Some(metadata) = &c.metadata {
            check.metadata(metadata);
        }
        if c.version == Some(0) {
            check.fail(&["version"], "Endpoint versions must be at least one");
        }
        c.extras.check(check);
        let headers = c.headers.and_then(|h| headers::checked(h).map_err(|msg| check.unreadable("headers", msg)).ok());
        Checked {
            url: c.url.and_then(|url| self.check_address(&url, check)),
            description: c.description,
            uid: c.uid.and_then(|uid| check.uid(&uid, EndpointId::PREFIX)),
            disabled: c.disabled,
            event_types: c.event_types.map(|types| check.event_types(&types)),
            channels: c.channels.map(|channels| check.channels_up_to(&channels, scope.channels_max())),
            throttle_rate: c.throttle_rate,
            metadata: c.metadata,
            version: c.version,
            headers,
            extras: c.extras,
        }
    }

    fn check_address(&self, text: &str, check: &mut Check) -> Option<String> {
        if is_arn(text) {
            // A queue, which is looked at when the whole endpoint is known.
            return Some(text.to_owned());
        }
        self.check_http_address(text, check)
    }

    /// An address that something may be asked at, normalised: no queue.
    pub(crate) fn check_http_address(&self, text: &str, check: &mut Check) -> Option<String> {
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(e) => {
                check.unreadable("url", e.to_string());
                return None;
            }
        };
        if !matches!(url.scheme(), "http" | "https") {
            check.fail(&["url"], "Endpoint URL schemes must be http or https");
        } else if self.settings.https_only && url.scheme() != "https" {
            check.fail(&["url"], "Endpoint URL schemes must be https");
        } else if url.as_str().len() > URL_MAX {
            check.fail(&["url"], "String too long");
        } else if let Err(reason) = self.guard.check_url(&url) {
            check.fail(&["url"], reason);
        }
        Some(url.into())
    }

    async fn event_types_must_exist(&self, scope: &AppScope, checked: &Checked) -> Result<(), ServiceError> {
        let Patch::Set(types) = &checked.event_types else { return Ok(()) };
        // What a tool may name was decided by what it was given.
        if checked.extras.subscription.value().is_some() {
            return Ok(());
        }
        let unknown = self.store.unknown_event_types(&scope.application().organization, types).await?;
        if unknown.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = unknown.iter().map(EventTypeName::as_str).collect();
        let msg = format!("The following type names don't exist: {}", names.join(", "));
        Err(ServiceError::Invalid(vec![Problem::new(&["body", "eventTypes"], msg)]))
    }

    /// Whether a new endpoint may have this address, before there is one.
    pub async fn may_have_address(&self, scope: &AppScope, url: &str) -> Result<(), ServiceError> {
        let change = EndpointChange { url: Some(url.to_owned()), ..EndpointChange::default() };
        complete(&mut self.draft(scope, None, change).await?)
    }

    /// A page of an application's endpoints.
    pub async fn endpoints(&self, scope: &AppScope, page: PageQuery<Ksuid>) -> Result<PageOf<Endpoint>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let mut found = if scope.confines().is_none() {
            self.store.endpoints(scope.key(), page).await?
        } else {
            let mut all = self.store.endpoints_of(scope.key()).await?;
            all.retain(|e| scope.sees_endpoint(e));
            page.of_sorted(all, |e| e.id.0)
        };
        found.items.iter_mut().for_each(|e| scope.hide_credentials(&mut e.url));
        Ok(found)
    }

    /// Creates an endpoint, with a new secret if none is given.
    pub async fn create_endpoint(&self, scope: &AppScope, mut input: EndpointInput) -> Result<Endpoint, ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        input.extras.needs().map_or(Ok(()), |capability| scope.must_have(capability))?;
        let mut check = Check::body();
        let secret = input.secret.take().and_then(|text| self.read_secret(&text, "secret", &mut check));
        let mut checked = self.check_endpoint(scope, input.into(), &mut check);
        check.finish()?;
        checked.channels = scope.confine(checked.channels, true)?;
        self.event_types_must_exist(scope, &checked).await?;
        let secret = secret.unwrap_or_else(|| self.secrets.generate(self.settings.signature));
        let (id, now) = self.next_id();
        let mut endpoint = blank(scope.key(), EndpointId(id), secret, now);
        let defaults = platform::defaults(scope.application());
        endpoint.options = defaults.options;
        let (handshake, agreed) = (checked.extras.handshake.clone(), checked.extras.student_data.clone());
        checked.apply(&mut endpoint);
        scope.mark(&mut endpoint);
        student_data::settle(None, &mut endpoint, &agreed, scope.actor(), now);
        if defaults.body_secret {
            endpoint.secrets.body = Some(secrets::new_body_secret());
        }
        complete(&mut endpoint)?;
        self.must_be_sendable(&endpoint)?;
        self.shake_hands(&endpoint, handshake).await?;
        if endpoint.options.body_signing.is_some() {
            self.make_sure_of_body_keys(scope.key()).await?;
        }
        let created = self.directory.create_endpoint(endpoint).await.map_err(|e| match e {
            StoreError::UidTaken => uid_taken(),
            e => e.into(),
        })?;
        self.note_in(scope, Action::EndpointCreated, created.id, place(&created)).await;
        self.announce(scope, &created, OperationalEvent::EndpointCreated).await;
        Ok(created)
    }

    /// Replaces an endpoint but for its secret, or creates one if there is none under this id or uid.
    pub async fn put_endpoint(
        &self,
        scope: &AppScope,
        which: &str,
        input: EndpointInput,
    ) -> Result<Saved<Endpoint>, ServiceError> {
        let input = EndpointInput { secret: None, ..input };
        match self.find_endpoint(scope, which).await {
            Ok(_) => Ok(Saved::Existing(self.patch_endpoint(scope, which, input.into()).await?)),
            Err(ServiceError::NotFound(_)) => self.create_endpoint(scope, input).await.map(Saved::Created),
            Err(e) => Err(e),
        }
    }

    /// Changes an endpoint.
    pub async fn patch_endpoint(
        &self,
        scope: &AppScope,
        which: &str,
        change: EndpointChange,
    ) -> Result<Endpoint, ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        change.extras.needs().map_or(Ok(()), |capability| scope.must_have(capability))?;
        let mut check = Check::body();
        let what = change.in_words();
        let mut checked = self.check_endpoint(scope, change, &mut check);
        check.finish()?;
        checked.channels = scope.confine(checked.channels, false)?;
        self.event_types_must_exist(scope, &checked).await?;
        let switches_off = checked.disabled == Some(true);
        if checked.extras.body_signing.value().is_some() {
            self.make_sure_of_body_keys(scope.key()).await?;
        }
        let (now, agreed) = (self.now(), checked.extras.student_data.clone());
        let apply = |endpoint: &mut Endpoint| {
            let before = endpoint.clone();
            checked.clone().apply(endpoint);
            student_data::settle(Some(&before), endpoint, &agreed, scope.actor(), now);
            complete(endpoint)?;
            self.must_be_sendable(endpoint)
        };
        if let handshake @ Patch::Set(_) = checked.extras.handshake.clone() {
            let mut draft = self.find_endpoint(scope, which).await?;
            apply(&mut draft)?;
            self.shake_hands(&draft, handshake).await?;
        }
        let saved = self.change_endpoint(scope, which, apply).await?;
        if switches_off {
            // Or what waits now would be sent if it is switched on again before that is due.
            self.cancel_all(scope.endpoint_ref(&saved), self.now().plus(SLACK)).await?;
        }
        self.note_in(scope, Action::EndpointUpdated, saved.id, what).await;
        self.announce(scope, &saved, OperationalEvent::EndpointUpdated).await;
        Ok(saved)
    }

    /// An endpoint as it would be after a change, or a new one of this application; nothing is saved.
    pub(crate) async fn draft(
        &self,
        scope: &AppScope,
        which: Option<&str>,
        change: EndpointChange,
    ) -> Result<Endpoint, ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        let mut check = Check::body();
        let mut checked = self.check_endpoint(scope, change, &mut check);
        check.finish()?;
        checked.channels = scope.confine(checked.channels, which.is_none())?;
        let now = self.now();
        let mut draft = match which {
            Some(which) => self.find_endpoint(scope, which).await?,
            None => {
                let secret = self.secrets.generate(self.settings.signature);
                let mut new = blank(scope.key(), EndpointId(Ksuid::MIN), secret, now);
                new.options = platform::defaults(scope.application()).options;
                new
            }
        };
        let (before, agreed) = (draft.clone(), checked.extras.student_data.clone());
        checked.apply(&mut draft);
        student_data::settle(which.map(|_| &before), &mut draft, &agreed, scope.actor(), now);
        Ok(draft)
    }

    /// Asks an address before its endpoint is saved, if that is wanted.
    async fn shake_hands(&self, endpoint: &Endpoint, how: Patch<String>) -> Result<(), ServiceError> {
        let how = match how.value().map(String::as_str) {
            Some("hook-secret") => Handshake::HookSecret,
            Some("cloudevents") => {
                let url = Url::parse(&self.settings.public_url).ok();
                Handshake::CloudEvents(url.and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default())
            }
            _ => return Ok(()),
        };
        let agreed = self.guard.shake_hands(endpoint, how).await;
        agreed.map_err(|why| ServiceError::invalid(&["body", "url"], why))
    }

    /// Deletes an endpoint; what it was sent stays readable through the messages.
    pub async fn delete_endpoint(&self, scope: &AppScope, which: &str) -> Result<(), ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        let to = scope.endpoint_ref(&endpoint);
        self.directory.delete_endpoint(to, self.now()).await?;
        self.admission.endpoint_changed(to);
        self.note_in(scope, Action::EndpointDeleted, endpoint.id, place(&endpoint)).await;
        self.announce(scope, &endpoint, OperationalEvent::EndpointDeleted).await;
        Ok(())
    }

    /// Reads an endpoint, changes it and saves it; again if somebody else saved it meanwhile.
    pub(crate) async fn change_endpoint(
        &self,
        scope: &AppScope,
        which: &str,
        change: impl Fn(&mut Endpoint) -> Result<(), ServiceError>,
    ) -> Result<Endpoint, ServiceError> {
        let _turn = self.turns.of(scope.key()).await;
        for _ in 0..CHANGE_TRIES {
            let mut endpoint = self.find_endpoint(scope, which).await?;
            change(&mut endpoint)?;
            scope.mark(&mut endpoint);
            endpoint.updated_at = self.now();
            match self.directory.save_endpoint(endpoint).await {
                Err(StoreError::Changed) => {}
                Err(StoreError::UidTaken) => return Err(uid_taken()),
                Err(e) => return Err(e.into()),
                Ok(saved) => {
                    self.admission.endpoint_changed(scope.endpoint_ref(&saved));
                    return Ok(saved);
                }
            }
        }
        Err(ServiceError::TooBusy)
    }

    pub(crate) async fn announce(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        event: fn(EndpointNames) -> OperationalEvent,
    ) {
        let app = scope.application();
        self.operational(&app.organization, event(EndpointNames::of(app, endpoint))).await;
    }
}

/// What has to hold of the whole endpoint, whatever was changed of it.
fn complete(endpoint: &mut Endpoint) -> Result<(), ServiceError> {
    if endpoint.options.format.needs_body_secret() && endpoint.secrets.body.is_none() {
        endpoint.secrets.body = Some(secrets::new_body_secret());
    }
    extras::format_carries_selection(endpoint)?;
    extras::body_can_be_signed(endpoint)?;
    let queue = queues::url_of(endpoint)?;
    if endpoint.options.https_only && !is_private(queue.as_ref().unwrap_or(&endpoint.url)) {
        let msg = "must begin with https:// (the endpoint's httpsOnly asks for it)";
        return Err(ServiceError::invalid(&["body", "url"], msg));
    }
    Ok(())
}

/// Whether what is sent to an address cannot be read on the way: it is `https`, or a literal address of a private
/// network. Of these only the ones that the operator allowed get as far as here.
fn is_private(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    url.scheme() == "https"
        || match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
            _ => false,
        }
}

fn blank(app: AppKey, id: EndpointId, secret: Secret, now: Timestamp) -> Endpoint {
    Endpoint {
        key: EndpointKey(0),
        app,
        id,
        uid: None,
        url: String::new(),
        description: String::new(),
        disabled: None,
        event_types: None,
        channels: None,
        throttle_rate: None,
        version: 1,
        metadata: BTreeMap::new(),
        headers: Vec::new(),
        secrets: Secrets::new(secret),
        options: EndpointOptions::default(),
        failing_since: None,
        created_at: now,
        updated_at: now,
        revision: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let now = Timestamp::from_micros(0);
        blank(AppKey(1), EndpointId(Ksuid::MIN), Secret::Hmac(vec![0; 24]), now)
    }
    fn nothing() -> Checked {
        Checked {
            url: None,
            description: None,
            uid: Patch::Keep,
            disabled: None,
            event_types: Patch::Keep,
            channels: Patch::Keep,
            throttle_rate: Patch::Keep,
            metadata: None,
            version: None,
            headers: None,
            extras: EndpointExtras::default(),
        }
    }

    #[test]
    fn switching_on_again_forgets_the_failures() {
        let mut e = endpoint();
        e.disabled = Some(DisabledBecause::Failing);
        e.failing_since = Some(Timestamp::from_micros(1));
        Checked { disabled: Some(true), ..nothing() }.apply(&mut e);
        assert_eq!(e.disabled, Some(DisabledBecause::Failing), "the first reason stays");
        Checked { disabled: Some(false), ..nothing() }.apply(&mut e);
        assert_eq!((e.disabled, e.failing_since), (None, None));
    }

    #[test]
    fn a_put_keeps_what_svix_does_not_know() {
        let mut e = endpoint();
        e.options = EndpointOptions { concurrency: Some(3), ordered: true, ..EndpointOptions::default() };
        e.headers = vec![Header { name: "X-A".into(), value: "1".into() }];
        let before = e.clone();
        nothing().apply(&mut e);
        assert_eq!(e, before);
        let extras = EndpointExtras { concurrency: Patch::Clear, ordered: Patch::Clear, ..EndpointExtras::default() };
        Checked { extras, ..nothing() }.apply(&mut e);
        assert_eq!(e.options, EndpointOptions::default());
    }

    #[test]
    fn https_is_not_asked_of_addresses_inside_of_private_networks() {
        let mut e = endpoint();
        e.options.https_only = true;
        for (url, fine) in [
            ("https://example.com/", true),
            ("http://127.0.0.1:9000/", true),
            ("http://[::1]/", true),
            ("http://10.1.2.3/", true),
            ("http://example.com/", false),
            ("http://localhost/", false),
            ("http://203.0.113.7/", false),
        ] {
            e.url = url.to_owned();
            assert_eq!(complete(&mut e).is_ok(), fine, "{url}");
        }
        e.options.https_only = false;
        assert!(complete(&mut e).is_ok());
    }

    #[test]
    fn a_format_that_carries_a_secret_gets_one_and_keeps_it() {
        let mut e = endpoint();
        complete(&mut e).unwrap();
        assert_eq!(e.secrets.body, None);
        e.options.format = Format::Replit;
        complete(&mut e).unwrap();
        let secret = e.secrets.body.clone().unwrap();
        assert!(platforms::replit::is_body_secret(secret.expose()));
        complete(&mut e).unwrap();
        assert_eq!(e.secrets.body, Some(secret));
    }
}
