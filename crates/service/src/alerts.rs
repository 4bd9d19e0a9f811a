//! What the operator should look at: a list in the dashboard, kept from the same events that become operational
//! webhooks, and the addresses that these go to.

use crate::{
    Service, access::AppScope, actor::Actor, applications::ApplicationInput, audit::place, check::Check,
    endpoints::EndpointInput, error::ServiceError, operational::OperationalEvent, people::read_email,
};
use domain::{
    Action, Alert, AlertId, AlertKind, ApplicationId, Endpoint, EndpointId, Ksuid, Order, OrganizationId, PageOf,
    PageQuery,
};
use std::time::Duration;
use store::OrganizationOptions;

/// An alert that is seen again is written down this often.
const SAME_ALERT: Duration = Duration::from_secs(60);
/// Addresses for mail at most.
const EMAILS_MAX: usize = 10;
/// Alerts of an organization that are mailed within…
const MAILS_PER_HOUR: u32 = 20;
/// …this time.
const MAIL_HOUR: Duration = Duration::from_secs(3600);
/// Addresses for operational webhooks at most.
const WEBHOOKS_MAX: usize = 20;

fn about(event: &OperationalEvent) -> Option<(ApplicationId, EndpointId, AlertKind)> {
    match event {
        OperationalEvent::EndpointDisabled { endpoint, .. } => {
            Some((endpoint.app_id, endpoint.endpoint_id, AlertKind::EndpointDisabled))
        }
        OperationalEvent::AttemptFailing(a) => Some((a.app_id, a.endpoint_id, AlertKind::Failing)),
        OperationalEvent::AttemptExhausted(a) => Some((a.app_id, a.endpoint_id, AlertKind::Exhausted)),
        _ => None,
    }
}

/// What a mail says beyond the kind of alert: a line, or nothing.
fn numbers(event: &OperationalEvent) -> String {
    match event {
        OperationalEvent::EndpointDisabled { given_up: Some(given_up), .. } => format!(
            "Given up within 24 hours: {} for timeouts, {} for other errors.\n",
            given_up.timeouts, given_up.errors
        ),
        _ => String::new(),
    }
}

impl Service {
    /// Puts an event on the list, if it is one that somebody should look at.
    pub(crate) async fn alert(&self, organization: &OrganizationId, event: &OperationalEvent) {
        let Some((application, endpoint, kind)) = about(event) else { return };
        let (name, now) = (format!("{endpoint} {kind}"), self.now());
        if self.alerted.get(name.as_str()).is_some_and(|at| now.since(at) < SAME_ALERT) {
            return;
        }
        self.alerted.insert(name.into(), now);
        let (id, at) = self.next_id();
        let organization = organization.clone();
        let alert = Alert { id: AlertId(id), organization, application, endpoint, kind, first_at: at, last_at: at };
        match self.store.raise_alert(alert.clone()).await {
            Ok(true) => self.mail_alert(alert, numbers(event)).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, ?alert, "an alert got lost"),
        }
    }

    /// Mails an alert that is new, aside: nobody waits for a mail server.
    async fn mail_alert(&self, alert: Alert, numbers: String) {
        let Some(mail) = self.mail.clone() else { return };
        let found = self.directory.find(&alert.organization, &alert.application.to_string()).await;
        let Ok(Some(entry)) = found else { return };
        let emails = entry.organization.alert_emails.clone();
        if emails.is_empty() || !self.may_mail(&alert.organization) {
            return;
        }
        let endpoint = entry.endpoints.iter().find(|e| e.id == alert.endpoint);
        let subject = format!("{}: {}", entry.application.name, alert.kind.sentence());
        let text = format!(
            "{}\n{numbers}\nApplication: {}\nEndpoint:    {}\n\n{url}/applications/{}/endpoints/{}\n\n\
             Nothing more is mailed about this until somebody puts the alert away:\n{url}/settings/alerts\n",
            alert.kind.sentence(),
            entry.application.name,
            endpoint.map(|e| place(e)).unwrap_or_default(),
            alert.application,
            alert.endpoint,
            url = self.settings.public_url,
        );
        tokio::spawn(async move {
            for to in &emails {
                if let Err(error) = mail.send(to, &subject, text.clone()).await {
                    tracing::warn!(%error, "an alert could not be mailed");
                }
            }
        });
    }

    /// A bad day of a whole school must not become a thousand mails.
    fn may_mail(&self, organization: &OrganizationId) -> bool {
        let now = self.now();
        let hour = self.mailed.get(organization).filter(|(since, _)| now.since(*since) < MAIL_HOUR);
        let (since, n) = hour.unwrap_or((now, 0));
        self.mailed.insert(organization.clone(), (since, n + 1));
        if n == MAILS_PER_HOUR {
            tracing::warn!(%organization, "no more alerts are mailed within this hour");
        }
        n < MAILS_PER_HOUR
    }

    /// Whether the server has a way for mail.
    pub fn can_mail(&self) -> bool {
        self.mail.is_some()
    }

    /// Where alerts are mailed to.
    pub async fn alert_emails(&self, actor: &Actor) -> Result<Vec<String>, ServiceError> {
        Ok(self.organization_options(actor).await?.alert_emails)
    }

    /// Changes that.
    pub async fn put_alert_emails(&self, actor: &Actor, emails: &[String]) -> Result<(), ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut check = Check::body();
        let mut read: Vec<String> = emails.iter().map(|text| read_email(text, &mut check)).collect();
        if read.len() > EMAILS_MAX {
            check.fail(&["email"], format!("Give at most {EMAILS_MAX} addresses"));
        }
        check.finish()?;
        read.dedup();
        let options = self.store.organization_options(organization).await?;
        let options = OrganizationOptions { alert_emails: read, ..options };
        self.directory.save_organization_options(organization, &options).await?;
        self.note(actor, None, Action::OrganizationUpdated, organization, "addresses that alerts are mailed to").await;
        Ok(())
    }

    /// A page of the alerts that are open.
    pub async fn alerts(&self, actor: &Actor, page: PageQuery<Ksuid>) -> Result<PageOf<Alert>, ServiceError> {
        let organization = actor.must_be_organization()?;
        Ok(self.store.alerts(organization, page).await?)
    }

    /// How many are open, for who may see them.
    pub async fn count_alerts(&self, actor: &Actor) -> Result<u64, ServiceError> {
        match actor.must_be_organization() {
            Ok(organization) => Ok(self.store.count_alerts(organization).await?),
            Err(_) => Ok(0),
        }
    }

    /// Puts one away, or all of them.
    pub async fn dismiss_alerts(&self, actor: &Actor, which: Option<&str>) -> Result<u64, ServiceError> {
        let organization = actor.must_be_organization()?;
        let id = which.map(|id| id.parse::<AlertId>().map_err(|_| ServiceError::NO_ENTITY)).transpose()?;
        let dismissed = self.store.dismiss_alerts(organization, id, self.now()).await?;
        // Whatever goes on is an alert again at once.
        self.alerted.clear();
        self.note(actor, None, Action::AlertDismissed, which.unwrap_or("all"), format!("{dismissed}")).await;
        Ok(dismissed)
    }

    /// The application that gets the organization's operational webhooks, if there is one.
    async fn ear(&self, actor: &Actor) -> Result<Option<AppScope>, ServiceError> {
        let organization = actor.must_be_organization()?;
        let management = Actor::Organization(OrganizationId::management());
        match self.open(&management, organization.as_str()).await {
            Ok(scope) => Ok(Some(scope)),
            Err(ServiceError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Where operational webhooks go.
    pub async fn alert_webhooks(&self, actor: &Actor) -> Result<Vec<Endpoint>, ServiceError> {
        let Some(scope) = self.ear(actor).await? else { return Ok(Vec::new()) };
        let page = PageQuery { limit: WEBHOOKS_MAX, cursor: None, order: Order::Ascending };
        Ok(self.endpoints(&scope, page).await?.items)
    }

    /// Sends operational webhooks to one more address.
    pub async fn add_alert_webhook(&self, actor: &Actor, url: &str) -> Result<Endpoint, ServiceError> {
        let organization = actor.must_be_organization()?.clone();
        if self.alert_webhooks(actor).await?.len() >= WEBHOOKS_MAX {
            return Err(ServiceError::LimitReached(format!("At most {WEBHOOKS_MAX} addresses are possible")));
        }
        let scope = match self.ear(actor).await? {
            Some(scope) => scope,
            None => {
                let management = Actor::Organization(OrganizationId::management());
                let input = ApplicationInput {
                    name: format!("Operator of {organization}"),
                    uid: Some(organization.to_string()),
                    ..ApplicationInput::default()
                };
                self.create_application(&management, input, true).await?;
                self.open(&management, organization.as_str()).await?
            }
        };
        let endpoint = self.create_endpoint(&scope, EndpointInput::of(url)).await?;
        self.note(actor, None, Action::OrganizationUpdated, endpoint.id, "added an address for alerts").await;
        Ok(endpoint)
    }

    /// What verifies them.
    pub async fn alert_webhook_secret(&self, actor: &Actor, which: &str) -> Result<String, ServiceError> {
        let scope = self.ear(actor).await?.ok_or(ServiceError::NO_ENDPOINT)?;
        let secret = self.endpoint_secret(&scope, which).await?;
        self.note(actor, None, Action::SecretRevealed, which, "of an address for alerts").await;
        Ok(secret)
    }

    /// Ends that.
    pub async fn remove_alert_webhook(&self, actor: &Actor, which: &str) -> Result<(), ServiceError> {
        let scope = self.ear(actor).await?.ok_or(ServiceError::NO_ENDPOINT)?;
        self.delete_endpoint(&scope, which).await?;
        self.note(actor, None, Action::OrganizationUpdated, which, "removed an address for alerts").await;
        Ok(())
    }
}

impl EndpointInput {
    /// An endpoint of which nothing but the address is decided.
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            description: String::new(),
            uid: None,
            disabled: false,
            event_types: None,
            channels: None,
            throttle_rate: None,
            secret: None,
            metadata: Default::default(),
            version: 1,
            headers: None,
            extras: Default::default(),
        }
    }
}
