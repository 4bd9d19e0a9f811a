//! Users, invitations and sessions.

use super::{
    Postgres,
    connect::Conn,
    pool::Tx,
    resets,
    rows::{self, col, corrupt, ksuid},
};
use crate::{
    error::StoreError,
    pages::Way,
    people::{Guest, KeyHash, Notice, People, Session, UserChange},
};
use async_trait::async_trait;
use domain::{
    ApplicationId, Grant, Invitation, InvitationId, Ksuid, OrganizationId, PageOf, PageQuery, Role, Subject, Timestamp,
    User, UserId,
};
use std::collections::BTreeMap;
use tokio_postgres::Row;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.org, p.email, p.name, p.password, p.issuer, p.subject, p.operator, p.disabled, p.created_at
             FROM person p ",
            $rest
        )
    };
}

const BY_ID: &str = select!("WHERE p.id = $1");
const BY_EMAIL: &str = select!("WHERE p.email = $1");
const BY_SUBJECT: &str = select!("WHERE p.issuer = $1 AND p.subject = $2 AND p.subject IS NOT NULL");
const ASCENDING: &str = select!("WHERE p.org = $1 AND p.id > $2 ORDER BY p.id LIMIT $3");
const DESCENDING: &str = select!("WHERE p.org = $1 AND p.id < $2 ORDER BY p.id DESC LIMIT $3");
const OF_APP_ASCENDING: &str = select!(
    "JOIN membership m ON m.person = p.id WHERE m.app = $4 AND m.person > $2 AND p.org = $1 ORDER BY m.person LIMIT $3"
);
const OF_APP_DESCENDING: &str = select!(
    "JOIN membership m ON m.person = p.id WHERE m.app = $4 AND m.person < $2 AND p.org = $1 ORDER BY m.person DESC
     LIMIT $3"
);
const ROLES: &str = "SELECT app, role, person FROM membership WHERE person = ANY ($1::bytea[])";
const INSERT: &str =
    "INSERT INTO person (id, org, email, name, password, issuer, subject, operator, disabled, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const PUT_ROLE: &str = "INSERT INTO membership (person, app, role) VALUES ($1, $2, $3)
    ON CONFLICT (person, app) DO UPDATE SET role = $3";
const TAKE_ROLE: &str = "DELETE FROM membership WHERE person = $1 AND app = $2";
const REMOVE: [&str; 3] = [
    "DELETE FROM membership WHERE person = $1",
    "DELETE FROM session WHERE person = $1 AND person IS NOT NULL",
    resets::REMOVE,
];
const COUNT_OPERATORS: &str = "SELECT count(*) FROM person WHERE org = $1 AND operator AND NOT disabled";
const INSERT_INVITATION: &str = "INSERT INTO invitation
    (hash, id, org, app, role, for_whom, invited_by, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const INVITATION: &str = "SELECT id, org, app, role, for_whom, invited_by, created_at, expires_at FROM invitation
    WHERE hash = $1 AND expires_at > $2";
/// Two who use it at the same time: the second finds nothing.
const USE_INVITATION: &str = "DELETE FROM invitation WHERE hash = $1 AND expires_at > $2
    RETURNING id, org, app, role, for_whom, invited_by, created_at, expires_at";
const INVITATIONS: &str = "SELECT id, org, app, role, for_whom, invited_by, created_at, expires_at FROM invitation
    WHERE org = $1 AND expires_at > $2 AND ($3::bytea IS NULL OR app = $3) ORDER BY id LIMIT 1000";
const WITHDRAW: &str = "DELETE FROM invitation WHERE id = $1 AND org = $2";
const BEGIN_SESSION: &str = "INSERT INTO session
    (hash, org, person, standing, since, seen, expires_at, notice, notice_bad) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const SESSION: &str =
    "SELECT org, person, standing, since, seen, expires_at, notice, notice_bad FROM session WHERE hash = $1";
const TOUCH: &str = "UPDATE session SET seen = $2 WHERE hash = $1";
const PUT_NOTICE: &str = "UPDATE session SET notice = $2, notice_bad = $3 WHERE hash = $1";
const END: &str = "DELETE FROM session WHERE hash = $1";
const END_OF: &str = "DELETE FROM session WHERE person = $1 AND person IS NOT NULL
    AND ($2::bytea IS NULL OR hash <> $2)";
const COUNT_SESSIONS: &str =
    "SELECT count(*) FROM session WHERE person = $1 AND person IS NOT NULL AND expires_at > $2";
const CLEAR: [&str; 3] = [
    "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE expires_at <= $1 LIMIT $2)",
    "DELETE FROM invitation WHERE hash IN (SELECT hash FROM invitation WHERE expires_at <= $1 LIMIT $2)",
    resets::CLEAR,
];

fn user(row: &Row, roles: BTreeMap<ApplicationId, Role>) -> Result<User, StoreError> {
    let id = UserId(ksuid(row, 0, "person")?);
    let (issuer, subject): (Option<String>, Option<String>) = (col(row, 5)?, col(row, 6)?);
    Ok(User {
        id,
        organization: col::<&str>(row, 1)?.parse().map_err(|e| corrupt("person", "org", id, e))?,
        email: col(row, 2)?,
        name: col(row, 3)?,
        password: col(row, 4)?,
        subject: issuer.zip(subject).map(|(issuer, subject)| Subject { issuer, subject }),
        operator: col(row, 7)?,
        disabled: col(row, 8)?,
        roles: roles.into_iter().collect(),
        created_at: Timestamp::from_micros(col(row, 9)?),
    })
}

fn id_or_none(row: &Row, index: usize, table: &'static str) -> Result<Option<Ksuid>, StoreError> {
    col::<Option<&[u8]>>(row, index)?.map(|_| ksuid(row, index, table)).transpose()
}

fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    let id = InvitationId(ksuid(row, 0, "invitation")?);
    let role: Option<&str> = col(row, 3)?;
    let grant = match id_or_none(row, 2, "invitation")?.zip(role) {
        Some((app, role)) => {
            Grant::In(ApplicationId(app), role.parse().map_err(|e| corrupt("invitation", "role", id, e))?)
        }
        None => Grant::Operator,
    };
    Ok(Invitation {
        id,
        organization: col::<&str>(row, 1)?.parse().map_err(|e| corrupt("invitation", "org", id, e))?,
        grant,
        for_whom: col(row, 4)?,
        invited_by: col(row, 5)?,
        created_at: Timestamp::from_micros(col(row, 6)?),
        expires_at: Timestamp::from_micros(col(row, 7)?),
    })
}

async fn create(tx: &Conn, new: &User) -> Result<(), StoreError> {
    let subject = new.subject.as_ref();
    tx.execute(
        INSERT,
        &[
            &&new.id.0.0[..],
            &rows::text(new.organization.as_str()),
            &rows::text(&new.email),
            &rows::text(&new.name),
            &new.password,
            &subject.map(|s| rows::text(&s.issuer)),
            &subject.map(|s| rows::text(&s.subject)),
            &new.operator,
            &new.disabled,
            &new.created_at.as_micros(),
        ],
    )
    .await?;
    for (app, role) in &new.roles {
        set_role(tx, new.id, *app, Some(*role)).await?;
    }
    Ok(())
}

async fn set_role(tx: &Conn, id: UserId, app: ApplicationId, role: Option<Role>) -> Result<(), StoreError> {
    let (person, app) = (&id.0.0[..], &app.0.0[..]);
    match role {
        Some(role) => tx.execute(PUT_ROLE, &[&person, &app, &role.text()]).await?,
        None => tx.execute(TAKE_ROLE, &[&person, &app]).await?,
    };
    Ok(())
}

async fn change(tx: &Conn, id: UserId, change: &UserChange) -> Result<(), StoreError> {
    let person = &id.0.0[..];
    let changed = match change {
        UserChange::Name(name) => {
            tx.execute("UPDATE person SET name = $2 WHERE id = $1", &[&person, &rows::text(name)]).await?
        }
        UserChange::Password(hash) => {
            tx.execute("UPDATE person SET password = $2 WHERE id = $1", &[&person, hash]).await?
        }
        UserChange::Subject(s) => {
            let sql = "UPDATE person SET issuer = $2, subject = $3 WHERE id = $1";
            tx.execute(sql, &[&person, &rows::text(&s.issuer), &rows::text(&s.subject)]).await?
        }
        UserChange::Operator(on) => tx.execute("UPDATE person SET operator = $2 WHERE id = $1", &[&person, on]).await?,
        UserChange::Disabled(on) => tx.execute("UPDATE person SET disabled = $2 WHERE id = $1", &[&person, on]).await?,
        UserChange::Role(app, role) => {
            tx.first(BY_ID, &[&person]).await?.ok_or(StoreError::NotFound)?;
            return set_role(tx, id, *app, *role).await;
        }
    };
    if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

impl Postgres {
    /// Rows of people with their roles.
    async fn with_roles(&self, found: &[Row]) -> Result<Vec<User>, StoreError> {
        let ids: Vec<&[u8]> = found.iter().map(|row| col(row, 0)).collect::<Result<_, _>>()?;
        let mut roles: BTreeMap<Ksuid, BTreeMap<ApplicationId, Role>> = BTreeMap::new();
        if !ids.is_empty() {
            for row in &self.pool.read(ROLES, &[&ids]).await? {
                let person = ksuid(row, 2, "membership")?;
                let role: &str = col(row, 1)?;
                let role = role.parse().map_err(|e| corrupt("membership", "role", UserId(person), e))?;
                roles.entry(person).or_default().insert(ApplicationId(ksuid(row, 0, "membership")?), role);
            }
        }
        found.iter().map(|row| user(row, roles.remove(&ksuid(row, 0, "person")?).unwrap_or_default())).collect()
    }

    async fn one_user(&self, found: Option<Row>) -> Result<Option<User>, StoreError> {
        match found {
            Some(row) => Ok(self.with_roles(&[row]).await?.pop()),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl People for Postgres {
    async fn create_user(&self, new: User) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        create(&tx, &new).await?;
        tx.commit().await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.one_user(self.pool.read_first(BY_ID, &[&&id.0.0[..]]).await?).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        self.one_user(self.pool.read_first(BY_EMAIL, &[&rows::text(email)]).await?).await
    }

    async fn user_by_subject(&self, subject: &Subject) -> Result<Option<User>, StoreError> {
        let (issuer, subject) = (rows::text(&subject.issuer), rows::text(&subject.subject));
        self.one_user(self.pool.read_first(BY_SUBJECT, &[&issuer, &subject]).await?).await
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        app: Option<ApplicationId>,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<User>, StoreError> {
        let way = Way::by_id(page);
        let org = rows::text(organization.as_str());
        let found = match app {
            None => {
                let sql = if way.ascending { ASCENDING } else { DESCENDING };
                self.pool.read(sql, &[&org, &way.bound, &way.rows()]).await?
            }
            Some(app) => {
                let sql = if way.ascending { OF_APP_ASCENDING } else { OF_APP_DESCENDING };
                self.pool.read(sql, &[&org, &way.bound, &way.rows(), &&app.0.0[..]]).await?
            }
        };
        Ok(way.cut(self.with_roles(&found).await?))
    }

    async fn change_user(&self, id: UserId, it: UserChange) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        change(&tx, id, &it).await?;
        tx.commit().await
    }

    async fn delete_user(&self, id: UserId) -> Result<bool, StoreError> {
        let tx = self.pool.begin().await?;
        for sql in REMOVE {
            tx.execute(sql, &[&&id.0.0[..]]).await?;
        }
        let removed = tx.execute("DELETE FROM person WHERE id = $1", &[&&id.0.0[..]]).await?;
        tx.commit().await?;
        Ok(removed > 0)
    }

    async fn count_operators(&self, organization: &OrganizationId) -> Result<u64, StoreError> {
        self.count(COUNT_OPERATORS, &[&rows::text(organization.as_str())]).await
    }

    async fn create_invitation(&self, hash: KeyHash, new: Invitation) -> Result<(), StoreError> {
        let (app, role) = match new.grant {
            Grant::Operator => (None, None),
            Grant::In(app, role) => (Some(app.0.0.to_vec()), Some(role.text())),
        };
        let conn = self.pool.lend().await?;
        conn.execute(
            INSERT_INVITATION,
            &[
                &&hash[..],
                &&new.id.0.0[..],
                &rows::text(new.organization.as_str()),
                &app,
                &role,
                &rows::text(&new.for_whom),
                &rows::text(&new.invited_by),
                &new.created_at.as_micros(),
                &new.expires_at.as_micros(),
            ],
        )
        .await
        .map(|_| ())
    }

    async fn invitation(&self, hash: KeyHash, now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        let found = self.pool.read_first(INVITATION, &[&&hash[..], &now.as_micros()]).await?;
        found.map(|row| invitation(&row)).transpose()
    }

    async fn invitations(
        &self,
        organization: &OrganizationId,
        app: Option<ApplicationId>,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, StoreError> {
        let app = app.map(|a| a.0.0.to_vec());
        let org = rows::text(organization.as_str());
        let found = self.pool.read(INVITATIONS, &[&org, &now.as_micros(), &app]).await?;
        found.iter().map(invitation).collect()
    }

    async fn use_invitation(
        &self,
        hash: KeyHash,
        now: Timestamp,
        guest: Guest,
    ) -> Result<Option<Invitation>, StoreError> {
        let tx: Tx = self.pool.begin().await?;
        let found = tx.first(USE_INVITATION, &[&&hash[..], &now.as_micros()]).await?;
        let Some(invitation) = found.map(|row| invitation(&row)).transpose()? else { return Ok(None) };
        let id = match guest {
            Guest::New(new) => {
                create(&tx, &new).await?;
                new.id
            }
            Guest::Existing(id) => id,
        };
        let grant = match invitation.grant {
            Grant::Operator => UserChange::Operator(true),
            Grant::In(app, role) => UserChange::Role(app, Some(role)),
        };
        change(&tx, id, &grant).await?;
        tx.commit().await?;
        Ok(Some(invitation))
    }

    async fn withdraw_invitation(&self, organization: &OrganizationId, id: InvitationId) -> Result<bool, StoreError> {
        Ok(self.pool.execute(WITHDRAW, &[&&id.0.0[..], &rows::text(organization.as_str())]).await? > 0)
    }

    async fn begin_session(&self, new: Session) -> Result<(), StoreError> {
        let conn = self.pool.lend().await?;
        conn.execute(
            BEGIN_SESSION,
            &[
                &&new.hash[..],
                &rows::text(new.organization.as_str()),
                &new.user.map(|u| u.0.0.to_vec()),
                &rows::text(&new.standing),
                &new.since.as_micros(),
                &new.seen.as_micros(),
                &new.expires_at.as_micros(),
                &new.notice.as_ref().map(|n| rows::text(&n.text)),
                &new.notice.as_ref().is_some_and(|n| n.bad),
            ],
        )
        .await
        .map(|_| ())
    }

    async fn session(&self, hash: KeyHash) -> Result<Option<Session>, StoreError> {
        let Some(row) = self.pool.read_first(SESSION, &[&&hash[..]]).await? else { return Ok(None) };
        let (notice, bad): (Option<String>, bool) = (col(&row, 6)?, col(&row, 7)?);
        Ok(Some(Session {
            hash,
            organization: col::<&str>(&row, 0)?.parse().map_err(|e| corrupt("session", "org", "", e))?,
            user: id_or_none(&row, 1, "session")?.map(UserId),
            standing: col(&row, 2)?,
            since: Timestamp::from_micros(col(&row, 3)?),
            seen: Timestamp::from_micros(col(&row, 4)?),
            expires_at: Timestamp::from_micros(col(&row, 5)?),
            notice: notice.map(|text| Notice { text, bad }),
        }))
    }

    async fn touch_session(&self, hash: KeyHash, seen: Timestamp) -> Result<(), StoreError> {
        self.pool.execute(TOUCH, &[&&hash[..], &seen.as_micros()]).await.map(|_| ())
    }

    async fn put_notice(&self, hash: KeyHash, notice: Option<Notice>) -> Result<(), StoreError> {
        let (text, bad) = (notice.as_ref().map(|n| rows::text(&n.text)), notice.as_ref().is_some_and(|n| n.bad));
        self.pool.execute(PUT_NOTICE, &[&&hash[..], &text, &bad]).await.map(|_| ())
    }

    async fn end_session(&self, hash: KeyHash) -> Result<(), StoreError> {
        self.pool.execute(END, &[&&hash[..]]).await.map(|_| ())
    }

    async fn end_sessions_of(&self, user: UserId, except: Option<KeyHash>) -> Result<u64, StoreError> {
        self.pool.execute(END_OF, &[&&user.0.0[..], &except.map(|hash| hash.to_vec())]).await
    }

    async fn count_sessions_of(&self, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
        self.count(COUNT_SESSIONS, &[&&user.0.0[..], &now.as_micros()]).await
    }

    async fn clear_ended(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut cleared = 0;
        for sql in CLEAR {
            cleared += self.pool.execute(sql, &[&now.as_micros(), &limit]).await?;
        }
        Ok(cleared)
    }
}
