//! Users, invitations, sessions.

use super::{
    Fixture,
    world::{World, only, org},
};
use crate::{Guest, Notice, Reset, Session, StoreError, UserChange};
use domain::{
    ApplicationId, Cursor, Grant, Invitation, InvitationId, Ksuid, Order, PageQuery, Role, Subject, User, UserId,
};
use std::time::Duration;

fn whole() -> PageQuery<Ksuid> {
    PageQuery { limit: 100, cursor: None, order: Order::Ascending }
}

fn new_user(w: &mut World, email: &str) -> User {
    let (id, created_at) = w.id();
    User {
        id: UserId(id),
        organization: org("a"),
        email: email.into(),
        name: "Ada Lovelace".into(),
        password: Some("$argon2id$…".into()),
        subject: None,
        operator: false,
        disabled: false,
        roles: Default::default(),
        created_at,
    }
}

async fn user(w: &mut World, email: &str) -> User {
    let new = new_user(w, email);
    w.store.create_user(new.clone()).await.unwrap();
    new
}

fn application(w: &mut World) -> ApplicationId {
    ApplicationId(w.id().0)
}

fn new_invitation(w: &mut World, grant: Grant) -> Invitation {
    let (id, created_at) = w.id();
    Invitation {
        id: InvitationId(id),
        organization: org("a"),
        grant,
        for_whom: "grace@example.edu".into(),
        invited_by: "Ada".into(),
        created_at,
        expires_at: created_at.plus(Duration::from_secs(60)),
    }
}

pub async fn a_user_reads_back_as_it_was_stored(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (a, b) = (application(&mut w), application(&mut w));
    let mut new = new_user(&mut w, "ada@example.edu");
    new.roles = [(a, Role::Owner), (b, Role::Viewer)].into();
    let subject = Subject { issuer: "https://id.example.edu".into(), subject: "7".into() };
    new.subject = Some(subject.clone());
    new.operator = true;
    w.store.create_user(new.clone()).await.unwrap();
    assert_eq!(w.store.user(new.id).await.unwrap().as_ref(), Some(&new));
    assert_eq!(w.store.user_by_email("ada@example.edu").await.unwrap().as_ref(), Some(&new));
    assert_eq!(w.store.user_by_subject(&subject).await.unwrap(), Some(new));
    assert_eq!(w.store.user_by_email("grace@example.edu").await.unwrap(), None);
}

pub async fn an_email_address_and_a_subject_belong_to_one_user(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let subject = Subject { issuer: "https://id.example.edu".into(), subject: "7".into() };
    let first = user(&mut w, "ada@example.edu").await;
    w.store.change_user(first.id, UserChange::Subject(subject.clone())).await.unwrap();
    let mut same = new_user(&mut w, "ada@example.edu");
    same.organization = org("b");
    assert!(matches!(w.store.create_user(same).await, Err(StoreError::UidTaken)));
    let other = user(&mut w, "grace@example.edu").await;
    assert!(matches!(w.store.change_user(other.id, UserChange::Subject(subject)).await, Err(StoreError::UidTaken)));
}

pub async fn each_change_of_a_user_leaves_the_rest_as_it_was(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = application(&mut w);
    let mut expected = user(&mut w, "ada@example.edu").await;
    let id = expected.id;
    for change in [
        UserChange::Name("Grace".into()),
        UserChange::Password("other".into()),
        UserChange::Operator(true),
        UserChange::Disabled(true),
        UserChange::Role(app, Some(Role::Viewer)),
        UserChange::Role(app, Some(Role::Assistant)),
    ] {
        w.store.change_user(id, change.clone()).await.unwrap();
        match change {
            UserChange::Name(name) => expected.name = name,
            UserChange::Password(hash) => expected.password = Some(hash),
            UserChange::Operator(on) => expected.operator = on,
            UserChange::Disabled(on) => expected.disabled = on,
            UserChange::Role(app, Some(role)) => drop(expected.roles.insert(app, role)),
            UserChange::Role(..) | UserChange::Subject(_) => unreachable!(),
        }
        assert_eq!(w.store.user(id).await.unwrap().as_ref(), Some(&expected));
    }
    w.store.change_user(id, UserChange::Role(app, None)).await.unwrap();
    assert!(w.store.user(id).await.unwrap().unwrap().roles.is_empty());
    let nobody = UserId(Ksuid::MIN);
    for change in [UserChange::Operator(true), UserChange::Role(app, Some(Role::Owner))] {
        assert!(matches!(w.store.change_user(nobody, change).await, Err(StoreError::NotFound)));
    }
}

pub async fn users_are_listed_by_organization_and_by_application(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = application(&mut w);
    let (ada, grace) = (user(&mut w, "ada@example.edu").await, user(&mut w, "grace@example.edu").await);
    w.store.change_user(grace.id, UserChange::Role(app, Some(Role::Owner))).await.unwrap();
    let ids = |users: Vec<User>| users.iter().map(|u| u.id).collect::<Vec<_>>();
    assert_eq!(ids(only(w.store.users(&org("a"), None, whole()).await.unwrap())), [ada.id, grace.id]);
    assert_eq!(ids(only(w.store.users(&org("a"), Some(app), whole()).await.unwrap())), [grace.id]);
    assert!(only(w.store.users(&org("b"), Some(app), whole()).await.unwrap()).is_empty());
    let second = PageQuery { limit: 1, cursor: Some(Cursor::After(ada.id.0)), order: Order::Ascending };
    assert_eq!(ids(w.store.users(&org("a"), None, second).await.unwrap().items), [grace.id]);
}

pub async fn operators_that_can_sign_in_are_counted(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let user = user(&mut w, "ada@example.edu").await;
    let count = async |w: &World| w.store.count_operators(&org("a")).await.unwrap();
    assert_eq!(count(&w).await, 0);
    w.store.change_user(user.id, UserChange::Operator(true)).await.unwrap();
    assert_eq!(count(&w).await, 1);
    w.store.change_user(user.id, UserChange::Disabled(true)).await.unwrap();
    assert_eq!(count(&w).await, 0);
}

pub async fn a_removed_user_leaves_no_role_and_no_session(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = application(&mut w);
    let user = user(&mut w, "ada@example.edu").await;
    w.store.change_user(user.id, UserChange::Role(app, Some(Role::Owner))).await.unwrap();
    let session = new_session(&w, 1, Some(user.id));
    w.store.begin_session(session.clone()).await.unwrap();
    assert!(w.store.delete_user(user.id).await.unwrap());
    assert!(!w.store.delete_user(user.id).await.unwrap());
    assert_eq!(w.store.session(session.hash).await.unwrap(), None);
    assert!(only(w.store.users(&org("a"), Some(app), whole()).await.unwrap()).is_empty());
}

pub async fn an_invitation_works_once_and_in_its_time(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let app = application(&mut w);
    let (hash, late) = ([1; 32], [2; 32]);
    let invitation = new_invitation(&mut w, Grant::In(app, Role::Assistant));
    w.store.create_invitation(hash, invitation.clone()).await.unwrap();
    let operator = new_invitation(&mut w, Grant::Operator);
    w.store.create_invitation(late, operator.clone()).await.unwrap();
    assert_eq!(w.store.invitation(hash, w.now).await.unwrap().as_ref(), Some(&invitation));
    assert_eq!(w.store.invitations(&org("a"), None, w.now).await.unwrap(), [invitation.clone(), operator.clone()]);
    assert_eq!(w.store.invitations(&org("a"), Some(app), w.now).await.unwrap(), std::slice::from_ref(&invitation));

    let taken = user(&mut w, "taken@example.edu").await;
    let mut twin = new_user(&mut w, "taken@example.edu");
    let used = w.store.use_invitation(hash, w.now, Guest::New(twin.clone())).await;
    assert!(matches!(used, Err(StoreError::UidTaken)), "and the invitation can be used again");
    twin.email = "ada@example.edu".into();
    let used = w.store.use_invitation(hash, w.now, Guest::New(twin.clone())).await.unwrap();
    assert_eq!(used, Some(invitation));
    let roles = w.store.user(twin.id).await.unwrap().unwrap().roles;
    assert_eq!(roles, [(app, Role::Assistant)].into());
    assert_eq!(w.store.use_invitation(hash, w.now, Guest::Existing(twin.id)).await.unwrap(), None);

    w.later(Duration::from_secs(61));
    assert_eq!(w.store.invitation(late, w.now).await.unwrap(), None);
    assert_eq!(w.store.use_invitation(late, w.now, Guest::Existing(taken.id)).await.unwrap(), None);
}

pub async fn roles_and_invitations_go_with_their_application(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (app, other) = (w.application().await, w.application().await);
    let ada = user(&mut w, "ada@example.edu").await;
    for (hash, app) in [(1, &app), (2, &other)] {
        w.store.change_user(ada.id, UserChange::Role(app.id, Some(Role::Owner))).await.unwrap();
        let invitation = new_invitation(&mut w, Grant::In(app.id, Role::Viewer));
        w.store.create_invitation([hash; 32], invitation).await.unwrap();
    }
    w.store.delete_application(app.key, w.now).await.unwrap();
    assert_eq!(w.store.user(ada.id).await.unwrap().unwrap().roles, [(other.id, Role::Owner)].into());
    assert_eq!(w.store.invitation([1; 32], w.now).await.unwrap(), None);
    assert!(w.store.invitation([2; 32], w.now).await.unwrap().is_some());
}

pub async fn a_link_to_a_new_password_works_once_in_its_time_and_ends_all_sessions(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (ada, grace) = (user(&mut w, "ada@example.edu").await, user(&mut w, "grace@example.edu").await);
    let end = w.now.plus(Duration::from_secs(60));
    let reset = |user: &User| Reset { user: user.id, expires_at: end };
    for (hash, to) in [([1; 32], &ada), ([2; 32], &ada), ([3; 32], &grace)] {
        w.store.create_reset(hash, reset(to)).await.unwrap();
    }
    for (n, of) in [(1, &ada), (2, &grace)] {
        w.store.begin_session(new_session(&w, n, Some(of.id))).await.unwrap();
    }
    assert_eq!(w.store.reset([1; 32], w.now).await.unwrap(), None, "there is a newer one");
    assert_eq!(w.store.reset([2; 32], w.now).await.unwrap(), Some(reset(&ada)));
    assert_eq!(w.store.reset([2; 32], end).await.unwrap(), None);
    assert_eq!(w.store.use_reset([2; 32], end, "late".into()).await.unwrap(), None);
    assert_eq!(w.store.use_reset([2; 32], w.now, "$argon2id$new".into()).await.unwrap(), Some(ada.id));
    assert_eq!(w.store.use_reset([2; 32], w.now, "again".into()).await.unwrap(), None);
    assert_eq!(w.store.user(ada.id).await.unwrap().unwrap().password.as_deref(), Some("$argon2id$new"));
    assert_eq!(w.store.count_sessions_of(ada.id, w.now).await.unwrap(), 0);
    assert_eq!(w.store.count_sessions_of(grace.id, w.now).await.unwrap(), 1);
    // It goes with its user, and nobody else gets one.
    assert!(w.store.delete_user(grace.id).await.unwrap());
    assert_eq!(w.store.reset([3; 32], w.now).await.unwrap(), None);
    assert!(matches!(w.store.create_reset([4; 32], reset(&grace)).await, Err(StoreError::NotFound)));
    // What has ended is cleared away.
    w.store.create_reset([5; 32], reset(&ada)).await.unwrap();
    assert_eq!(w.store.clear_ended(end, 10).await.unwrap(), 1);
}

pub async fn a_withdrawn_invitation_is_gone(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let invitation = new_invitation(&mut w, Grant::Operator);
    w.store.create_invitation([1; 32], invitation.clone()).await.unwrap();
    assert!(!w.store.withdraw_invitation(&org("b"), invitation.id).await.unwrap());
    assert!(w.store.withdraw_invitation(&org("a"), invitation.id).await.unwrap());
    let user = user(&mut w, "ada@example.edu").await;
    assert_eq!(w.store.use_invitation([1; 32], w.now, Guest::Existing(user.id)).await.unwrap(), None);
    assert!(!w.store.user(user.id).await.unwrap().unwrap().operator);
}

fn new_session(w: &World, n: u8, user: Option<UserId>) -> Session {
    Session {
        hash: [n; 32],
        organization: org("a"),
        user,
        standing: "{}".into(),
        since: w.now,
        seen: w.now,
        expires_at: w.now.plus(Duration::from_secs(60)),
        notice: None,
    }
}

pub async fn a_session_is_there_in_the_next_run_with_what_is_to_be_said(fixture: &dyn Fixture) {
    let w = World::open(fixture).await;
    let mut session = new_session(&w, 1, Some(UserId(Ksuid::MIN)));
    w.store.begin_session(session.clone()).await.unwrap();
    let w = w.reopen(fixture).await;
    assert_eq!(w.store.session(session.hash).await.unwrap().as_ref(), Some(&session));
    session.seen = w.now.plus(Duration::from_secs(5));
    session.notice = Some(Notice { text: "Saved.".into(), bad: true });
    w.store.touch_session(session.hash, session.seen).await.unwrap();
    w.store.put_notice(session.hash, session.notice.clone()).await.unwrap();
    assert_eq!(w.store.session(session.hash).await.unwrap(), Some(session.clone()));
    w.store.put_notice(session.hash, None).await.unwrap();
    assert_eq!(w.store.session(session.hash).await.unwrap().unwrap().notice, None);
    w.store.end_session(session.hash).await.unwrap();
    assert_eq!(w.store.session(session.hash).await.unwrap(), None);
}

pub async fn all_sessions_of_a_user_end_at_once(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    let (ada, grace) = (UserId(w.id().0), UserId(w.id().0));
    for (n, user) in [(1, Some(ada)), (2, Some(ada)), (3, Some(grace)), (4, None)] {
        w.store.begin_session(new_session(&w, n, user)).await.unwrap();
    }
    assert_eq!(w.store.count_sessions_of(ada, w.now).await.unwrap(), 2);
    assert_eq!(w.store.end_sessions_of(ada, Some([1; 32])).await.unwrap(), 1);
    assert!(w.store.session([1; 32]).await.unwrap().is_some());
    assert_eq!(w.store.end_sessions_of(ada, None).await.unwrap(), 1);
    for n in [3, 4] {
        assert!(w.store.session([n; 32]).await.unwrap().is_some());
    }
}

pub async fn what_has_ended_is_removed_in_steps(fixture: &dyn Fixture) {
    let mut w = World::open(fixture).await;
    for n in 1..=3 {
        w.store.begin_session(new_session(&w, n, None)).await.unwrap();
    }
    let invitation = new_invitation(&mut w, Grant::Operator);
    w.store.create_invitation([1; 32], invitation).await.unwrap();
    assert_eq!(w.store.clear_ended(w.now, 2).await.unwrap(), 0);
    w.later(Duration::from_secs(61));
    w.store.begin_session(new_session(&w, 4, None)).await.unwrap();
    assert_eq!(w.store.clear_ended(w.now, 2).await.unwrap(), 3);
    assert_eq!(w.store.clear_ended(w.now, 2).await.unwrap(), 1);
    assert!(w.store.session([4; 32]).await.unwrap().is_some());
}
