//! The audit log, and alerts.

use super::{
    Fixture,
    world::{World, only, org},
};
use crate::AuditFilter;
use domain::{
    Action, ActorKind, Alert, AlertId, AlertKind, ApplicationId, AuditEntry, AuditId, Cursor, EndpointId, Ksuid, Order,
    PageQuery,
};
use std::time::Duration;

fn page(limit: usize, cursor: Option<Cursor<Ksuid>>) -> PageQuery<Ksuid> {
    PageQuery { limit, cursor, order: Order::Descending }
}

fn entry(w: &mut World, application: Option<ApplicationId>, actor: &str, action: Action) -> AuditEntry {
    let (id, at) = w.id();
    AuditEntry {
        id: AuditId(id),
        organization: org("a"),
        application,
        at,
        actor_kind: ActorKind::User,
        actor: actor.into(),
        action,
        object: "ep_1".into(),
        detail: "url".into(),
    }
}

pub async fn entries_are_found_by_what_is_asked_for_newest_first(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = ApplicationId(w.id().0);
    let old = entry(&mut w, None, "ada", Action::SignedIn);
    w.later(Duration::from_secs(60));
    let (one, two) =
        (entry(&mut w, Some(app), "ada", Action::SecretRevealed), entry(&mut w, Some(app), "grace", Action::SignedIn));
    w.store.add_audit(vec![old.clone(), one.clone(), two.clone()]).await.unwrap();
    let find = async |filter: AuditFilter| only(w.store.audit(&org("a"), &filter, page(10, None)).await.unwrap());
    let any = AuditFilter::default;
    assert_eq!(find(any()).await, [two.clone(), one.clone(), old.clone()]);
    assert_eq!(find(AuditFilter { application: Some(app), ..any() }).await, [two.clone(), one.clone()]);
    assert_eq!(find(AuditFilter { actor: Some("ada".into()), ..any() }).await, [one.clone(), old.clone()]);
    assert_eq!(find(AuditFilter { action: Some(Action::SignedIn), ..any() }).await, [two.clone(), old.clone()]);
    assert_eq!(find(AuditFilter { object: Some("ep_2".into()), ..any() }).await, []);
    assert_eq!(find(AuditFilter { since: Some(one.at), ..any() }).await, [two.clone(), one.clone()]);
    assert_eq!(find(AuditFilter { until: Some(old.at), ..any() }).await, std::slice::from_ref(&old));
    assert!(only(w.store.audit(&org("b"), &any(), page(10, None)).await.unwrap()).is_empty());
    let first = w.store.audit(&org("a"), &any(), page(2, None)).await.unwrap();
    assert!(first.more && first.items == [two.clone(), one.clone()]);
    let rest = w.store.audit(&org("a"), &any(), page(2, Some(Cursor::After(one.id.0)))).await.unwrap();
    assert_eq!(only(rest), [old]);
    let back = w.store.audit(&org("a"), &any(), page(1, Some(Cursor::Before(one.id.0)))).await.unwrap();
    assert_eq!(only(back), [two]);
}

pub async fn old_entries_are_removed_in_steps(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    for _ in 0..3 {
        let old = entry(&mut w, None, "ada", Action::SignedIn);
        w.store.add_audit(vec![old]).await.unwrap();
    }
    w.later(Duration::from_secs(60));
    let kept = entry(&mut w, None, "ada", Action::SignedIn);
    w.store.add_audit(vec![kept.clone()]).await.unwrap();
    assert_eq!(w.store.clear_audit(kept.at, 2).await.unwrap(), 2);
    assert_eq!(w.store.clear_audit(kept.at, 2).await.unwrap(), 1);
    let left = w.store.audit(&org("a"), &AuditFilter::default(), page(10, None)).await.unwrap();
    assert_eq!(only(left), [kept]);
}

pub async fn an_alert_is_open_once_until_it_is_put_away(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (application, endpoint) = (ApplicationId(w.id().0), EndpointId(w.id().0));
    let alert = |w: &mut World, kind| {
        let (id, at) = w.id();
        let organization = org("a");
        Alert { id: AlertId(id), organization, application, endpoint, kind, first_at: at, last_at: at }
    };
    let first = alert(&mut w, AlertKind::Exhausted);
    assert!(w.store.raise_alert(first.clone()).await.unwrap());
    w.later(Duration::from_secs(60));
    let again = alert(&mut w, AlertKind::Exhausted);
    assert!(!w.store.raise_alert(again.clone()).await.unwrap());
    let other = alert(&mut w, AlertKind::EndpointDisabled);
    assert!(w.store.raise_alert(other.clone()).await.unwrap());
    let open = only(w.store.alerts(&org("a"), page(10, None)).await.unwrap());
    assert_eq!(open, [other.clone(), Alert { last_at: again.last_at, ..first.clone() }]);
    assert_eq!(w.store.count_alerts(&org("a")).await.unwrap(), 2);
    assert_eq!(w.store.dismiss_alerts(&org("b"), None, w.now).await.unwrap(), 0);
    assert_eq!(w.store.dismiss_alerts(&org("a"), Some(first.id), w.now).await.unwrap(), 1);
    assert!(w.store.raise_alert(again.clone()).await.unwrap(), "it is open anew");
    assert_eq!(w.store.dismiss_alerts(&org("a"), None, w.now).await.unwrap(), 2);
    assert_eq!(w.store.count_alerts(&org("a")).await.unwrap(), 0);
    w.later(Duration::from_secs(60));
    assert_eq!(w.store.clear_audit(w.now, 10).await.unwrap(), 3);
}
